"""What an upstream says of a tool: which part of it is approved, and whether it orders the model about.

A model reads descriptions as it reads its instructions, so that a definition is the shortest way to make an agent do
something else (tool poisoning), and one that changes after it was approved is the second shortest. The digest pins what
a person approved; `suspicions` names what no definition needs: hidden characters, markup that people do not see, and
phrases that order a model about. Nothing here is certain. Whoever needs a flagged wording writes another in the
contract file: that one is what is listed.
"""

import difflib
import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec

from bywire.gateway.model_orders import told_to_model
from bywire.model.errors import EvidenceError
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex

# What is approved, and all that is shown of a definition.
APPROVED = ("name", "description", "inputSchema", "outputSchema", "annotations")
TEXT_CHARS_MAX, TEXTS_MAX, DEPTH_MAX = 16_384, 4_096, 48
SUSPICIONS_MAX = 16
SHOWN_CHARS = 60
BLANKS_MAX = 64
_CONTROL = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_PLAIN_CONTROL = frozenset("\n\t\r")
# Variation selectors and fillers that draw nothing and carry bits all the same.
_BLANK = frozenset({0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800, 0x034F, 0x180E})


class Suspicion(msgspec.Struct, frozen=True, order=True):
    """One thing that a definition should not hold: where, what kind, and a printable part of it."""

    where: str
    kind: str
    shown: str


def approved_part(tool: dict[str, Any]) -> dict[str, Any]:
    """The part of a definition, as `tools/list` gives it, that the digest covers."""
    return {name: tool[name] for name in APPROVED if tool.get(name) is not None}


def definition_digest(tool: dict[str, Any]) -> str:
    """`sha256:` and hex over JCS of the approved part. EvidenceError `not_canonical` for what has no canonical form."""
    return f"sha256:{sha256_hex(jcs.canonical(approved_part(tool)))}"


def suspicions(tool: dict[str, Any]) -> tuple[Suspicion, ...]:
    """What makes a definition unfit to be shown to a model, sorted, at most SUSPICIONS_MAX; none when it is fit."""
    found: set[Suspicion] = set()
    for count, (where, text) in enumerate(_texts(approved_part(tool), "", 0)):
        if count > TEXTS_MAX or len(text) > TEXT_CHARS_MAX:
            found.add(Suspicion(where[:SHOWN_CHARS], "too_large", f"{len(text)} characters"))
            break
        found.update(Suspicion(where[:SHOWN_CHARS], kind, shown) for kind, shown in _suspicious(text))
        if len(found) >= SUSPICIONS_MAX:
            break
    return tuple(sorted(found)[:SUSPICIONS_MAX])


def difference(approved: dict[str, Any], found: dict[str, Any]) -> tuple[str, ...]:
    """The lines by which two definitions differ, as a unified diff of their indented JSON; printable."""
    before, after = (_lines(approved_part(one)) for one in (approved, found))
    lines = difflib.unified_diff(before, after, "approved", "upstream", lineterm="", n=2)
    return tuple(printable(line, 400) for line in lines)


def printable(text: str, most: int = SHOWN_CHARS) -> str:
    """`text` with everything escaped that a person would not see, cut to `most` characters."""
    cut = text if len(text) <= most else f"{text[: most - 3]}..."
    return "".join(one if one.isprintable() and ord(one) not in _BLANK else f"\\u{{{ord(one):x}}}" for one in cut)


def _lines(definition: dict[str, Any]) -> list[str]:
    try:
        text = msgspec.json.format(jcs.canonical(definition), indent=1).decode()
    except EvidenceError as error:
        return [error.message]
    return text.splitlines()


def _texts(value: Any, where: str, depth: int) -> Iterator[tuple[str, str]]:
    """Every text of a definition with its place; names of parameters are texts, too."""
    if depth > DEPTH_MAX:
        yield where, "x" * (TEXT_CHARS_MAX + 1)
    elif isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, item in value.items():
            place = f"{where}.{name}" if where else str(name)
            yield place, str(name)
            yield from _texts(item, place, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, f"{where}[]", depth + 1)


def _suspicious(text: str) -> Iterator[tuple[str, str]]:
    hidden = [one for one in text if _is_hidden(one)]
    if hidden:
        yield "hidden_characters", printable("".join(hidden))
    if _blank_run(text) > BLANKS_MAX:
        yield "hidden_by_blanks", f"{_blank_run(text)} blanks in a row"
    # Read as a model reads it: what is drawn wide, hidden or split over lines is the same word.
    plain = unicodedata.normalize("NFKC", "".join(one for one in text if not _is_hidden(one)))
    yield from ((kind, printable(shown)) for kind, shown in told_to_model(plain))


def _is_hidden(one: str) -> bool:
    if one.isascii():
        return not one.isprintable() and one not in _PLAIN_CONTROL
    code = ord(one)
    return (
        unicodedata.category(one) in _CONTROL
        or code in _BLANK
        or 0xFE00 <= code <= 0xFE0E
        or 0xE0100 <= code <= 0xE01EF
    )


def _blank_run(text: str) -> int:
    longest = run = 0
    for one in text:
        run = run + 1 if one.isspace() else 0
        longest = max(longest, run)
    return longest
