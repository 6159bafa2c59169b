"""JSON Canonicalization Scheme (RFC 8785): one byte string for one JSON value."""

from typing import Any

import msgspec
import rfc8785

from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex

_SORTED = msgspec.json.Encoder(order="sorted")
_INT_MAX = 2**53 - 1
_EXPONENT_FROM = 1e21
DEPTH_MAX = 64


def canonical(value: Any) -> bytes:
    """Encode `value` (dict, list, str, int, float, bool, None) as RFC 8785 bytes.

    Raises EvidenceError `not_canonical` for values JSON cannot carry exactly: NaN, integers beyond 2**53 - 1 and floats
    spelt like them, keys that are not strings, lone surrogates, nesting beyond DEPTH_MAX.
    """
    if _is_direct(value, 0):
        # msgspec sorts by code point and escapes as RFC 8785 does on this subset; tests/unit/seal proves the equality.
        return _SORTED.encode(value)
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise _refused(str(error)) from error


def digest(value: Any) -> str:
    """sha256 hex over the canonical bytes of `value`."""
    return sha256_hex(canonical(value))


def _is_direct(value: Any, depth: int) -> bool:
    """Whether msgspec's encoding is RFC 8785. Walks the whole value: its bounds hold for the other path, too."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii() and value.isprintable())
    if kind is int:
        return bool(-_INT_MAX <= value <= _INT_MAX)
    if kind is bool or value is None:
        return True
    if kind is float and _INT_MAX < abs(value) < _EXPONENT_FROM:
        # ECMAScript spells it without an exponent, so a reader would find an integer beyond 2**53 - 1.
        raise _refused(f"{value} would be read as an integer that is not exact")
    return isinstance(value, dict | list | tuple) and _are_members_direct(value, kind, depth + 1)


def _are_members_direct(value: Any, kind: type, depth: int) -> bool:
    if depth > DEPTH_MAX:
        raise _refused("it nests too deeply")
    direct = kind is dict or kind is list or kind is tuple
    if isinstance(value, dict):
        for key in value:
            direct = direct and type(key) is str and key.isascii() and key.isprintable()
        value = value.values()
    for item in value:
        # Most members are short texts: asked here, because each call would cost more than the question.
        if type(item) is str:
            direct = direct and item.isascii() and item.isprintable()
        else:
            direct = _is_direct(item, depth) and direct
    return direct


def _refused(why: str) -> EvidenceError:
    return EvidenceError(
        f"this value has no canonical JSON form: {why}",
        code="not_canonical",
        next_step=f"use strings, integers below 2**53, finite floats, lists and objects, at most {DEPTH_MAX} deep",
    )
