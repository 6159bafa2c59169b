"""What a caller says of its own call beside the parameters: in `_meta` of MCP (`bywire/...`) or `bywire-...` headers.

It is heard strictly. A dry run that is misspelt would be the effect itself, tokens that are misspelt would cost
nothing: what cannot be read, and a header of this prefix that is not known, refuse the call.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from bywire.gateway.contract import EVIDENCE_MAX

CHARS_MAX = 200
TOKENS_MAX = 10**9
PREFIX = b"bywire-"
_NAMES = (b"bywire-change", b"bywire-plan", b"bywire-evidence", b"bywire-dry-run", b"bywire-tokens")
_TOKENS = re.compile(rb"[0-9]{1,10}")
_WORDS = {b"true": True, b"false": False}


class UndeclarableError(Exception):
    """What was declared cannot be read; says which and what it must be."""


class Declared(msgspec.Struct, frozen=True):
    """The change and the plan that a call belongs to, digests of its evidence, and what it cost to think of it.

    `dry_run`: decide, and do nothing.
    """

    change: str = ""
    plan: str = ""
    evidence: tuple[str, ...] = ()
    dry_run: bool = False
    tokens: int = 0


def from_meta(meta: Mapping[str, Any]) -> Declared:
    """Raises UndeclarableError."""
    tokens, evidence = meta.get("bywire/tokens", 0), meta.get("bywire/evidence", [])
    dry_run = meta.get("bywire/dry_run", False)
    if type(tokens) is not int or not 0 <= tokens <= TOKENS_MAX:
        raise UndeclarableError(f"bywire/tokens is a whole number up to {TOKENS_MAX}")
    if not isinstance(evidence, list) or len(evidence) > EVIDENCE_MAX or not all(map(_is_text, evidence)):
        raise UndeclarableError(f"bywire/evidence lists at most {EVIDENCE_MAX} digests")
    if type(dry_run) is not bool:
        raise UndeclarableError("bywire/dry_run is true or false")
    return Declared(text_of(meta, "bywire/change"), text_of(meta, "bywire/plan"), tuple(evidence), dry_run, tokens)


def text_of(meta: Mapping[str, Any], name: str) -> str:
    """One text of `_meta`; empty when it is not there. Raises UndeclarableError."""
    value = meta.get(name, "")
    if not _is_text(value):
        raise UndeclarableError(f"{name} is a text of at most {CHARS_MAX} characters")
    return str(value)


def from_headers(headers: list[tuple[bytes, bytes]]) -> Declared:
    """Raises UndeclarableError."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if not name.startswith(PREFIX):
            continue
        told = name.decode("latin-1")
        if name not in _NAMES:
            raise UndeclarableError(f"there is no header {told[:CHARS_MAX]}")
        if name in found:
            raise UndeclarableError(f"there are two {told} headers")
        found[name] = value
    return Declared(
        change=_header(found, b"bywire-change"),
        plan=_header(found, b"bywire-plan"),
        evidence=_evidence(found),
        dry_run=_dry_run(found),
        tokens=_tokens(found),
    )


def _header(found: Mapping[bytes, bytes], name: bytes) -> str:
    value = found.get(name, b"")
    if len(value) > CHARS_MAX or not value.isascii():
        raise UndeclarableError(f"{name.decode()} is a text of at most {CHARS_MAX} ASCII characters")
    return value.decode("ascii")


def _evidence(found: Mapping[bytes, bytes]) -> tuple[str, ...]:
    if b"bywire-evidence" not in found:
        return ()
    listed = [one.strip(b" \t") for one in found[b"bywire-evidence"].split(b",")]
    if len(listed) > EVIDENCE_MAX or not all(one.isascii() and 0 < len(one) <= CHARS_MAX for one in listed):
        raise UndeclarableError(f"bywire-evidence lists at most {EVIDENCE_MAX} digests, with a comma between two")
    return tuple(one.decode("ascii") for one in listed)


def _dry_run(found: Mapping[bytes, bytes]) -> bool:
    value = found.get(b"bywire-dry-run", b"false")
    if value not in _WORDS:
        raise UndeclarableError("bywire-dry-run is true or false")
    return _WORDS[value]


def _tokens(found: Mapping[bytes, bytes]) -> int:
    value = found.get(b"bywire-tokens", b"0")
    if _TOKENS.fullmatch(value) is None or int(value) > TOKENS_MAX:
        raise UndeclarableError(f"bywire-tokens is a whole number up to {TOKENS_MAX}")
    return int(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= CHARS_MAX
