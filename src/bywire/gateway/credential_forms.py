"""Taking a credential out of whatever comes back, in every form in which a target might repeat it (RULES 23).

It is known exactly, so it is matched exactly: as it was sent, and as base64, hex, percent-encoding and the escapes of
JSON and HTML write it. Base64 of a longer text that holds it, such as that of basic authentication, is found in all
three positions. Nothing here is kept: a cache of forms would be one of credentials.
"""

import base64
import html
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

from bywire.gateway.ports import Credential

CREDENTIAL = "credential"
TAKEN_OUT = f"[{CREDENTIAL}]"
_TALLY: ContextVar[Counter[str] | None] = ContextVar("bywire_taken_out", default=None)
# Shorter texts stand in encoded ones by chance.
ENCODED_CHARS_MIN = 8


@contextmanager
def tallied() -> Iterator[Counter[str]]:
    """What `without` takes out meanwhile, by this executor or by the door, is counted here."""
    counts = Counter[str]()
    before = _TALLY.set(counts)
    try:
        yield counts
    finally:
        _TALLY.reset(before)


def without(value: Any, credential: Credential | None) -> Any:
    """`value` without the credential, wherever an executor's answer repeats it; object keys, too."""
    if credential is None or not credential.value:
        return value
    tally = _TALLY.get()
    return _without(value, forms(credential.value), Counter() if tally is None else tally)


def taken_out(text: str, credential: Credential) -> str:
    """`text` without the credential."""
    return str(without(text, credential))


def forms(value: str) -> tuple[str, ...]:
    """Every text that stands for `value`, longest first."""
    found = {value}
    if len(value) >= ENCODED_CHARS_MIN:
        raw = value.encode()
        escaped = {quote(value, safe=""), quote(value), "".join(f"%{byte:02X}" for byte in raw)}
        found |= escaped | {_with_lower_escapes(text) for text in escaped}
        found |= {raw.hex(), raw.hex().upper(), html.escape(value), html.escape(value, quote=False)}
        found |= {json.dumps(value)[1:-1], json.dumps(value)[1:-1].replace("/", "\\/")}
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found |= {_inside(encode(bytes(before) + raw).decode(), before, len(raw)) for before in range(3)}
            found.add(encode(raw).decode().rstrip("="))
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def _without(value: Any, found: tuple[str, ...], counts: Counter[str]) -> Any:
    if isinstance(value, str):
        for form in found:
            if times := value.count(form):
                counts[CREDENTIAL] += times
                value = value.replace(form, TAKEN_OUT)
        return value
    if isinstance(value, dict):
        return {_without(key, found, counts): _without(item, found, counts) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without(item, found, counts) for item in value]
    return value


def _inside(text: str, before: int, length: int) -> str:
    """The characters of a base64 text that `length` bytes alone determine when `before` others stand before them."""
    return text[-(-8 * before // 6) : 8 * (before + length) // 6]


def _with_lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)
