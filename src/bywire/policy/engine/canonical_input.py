"""The input document as bytes: RFC 8785 (JCS), fast enough to be done for every decision.

Most inputs are ASCII objects with small numbers, for which sorted compact JSON is JCS once numbers are spelt as
ECMAScript spells them. Those are encoded natively; whatever could differ goes the strict way through `seal.jcs`.
tests/unit/policy proves the equality. Values that JSON cannot carry (NaN, infinities) become null here, and every rule
reads null as missing.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from bywire.seal import jcs

_ENCODER = msgspec.json.Encoder(order="sorted")
# With every digit a zero, literal searches find the number tokens whose spelling needs care. A token ends at a comma or
# bracket, a string at a quote, so that strings of digits do not match.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG = re.compile(rb"0000000000000000(?:\.0)?[,}\]]")
_EXPONENT = re.compile(rb"0e-?0+[,}\]]")
_WHOLE_FLOAT = re.compile(rb"\.0[,}\]]")
# Code points beyond the BMP sort differently in UTF-8 and in UTF-16, which is what RFC 8785 sorts by.
_BEYOND_BMP = re.compile(rb"[\xf0-\xf4]")


def canonical_input(value: Mapping[str, Any]) -> bytes:
    """JCS bytes of `value`.

    Raises TypeError for what JSON has no form for, EvidenceError `not_canonical` for inexact numbers.
    """
    encoded = _ENCODER.encode(value)
    zeroed = encoded.translate(_DIGITS)
    if _LONG.search(zeroed) or _EXPONENT.search(zeroed) or (not encoded.isascii() and _BEYOND_BMP.search(encoded)):
        return jcs.canonical(value)
    if _WHOLE_FLOAT.search(encoded):
        return _without_fractions(encoded)
    return encoded


def _without_fractions(encoded: bytes) -> bytes:
    """Cut `.0` off whole numbers, as ECMAScript spells them; text inside strings stays."""
    if b"\\" in encoded or b"-0.0" in encoded:
        return _ENCODER.encode(_DECODER.decode(encoded))
    # Without escapes, a place lies inside a string when an odd number of quotes stands before it.
    kept, start, counted, quotes = [], 0, 0, 0
    for found in _WHOLE_FLOAT.finditer(encoded):
        quotes += encoded.count(b'"', counted, found.start())
        counted = found.start()
        if quotes % 2 == 0:
            kept.append(encoded[start : found.start()])
            start = found.start() + 2
    return b"".join((*kept, encoded[start:]))


def _number(token: str) -> int | float:
    return int(token[:-2]) if token.endswith(".0") else float(token)


_DECODER = msgspec.json.Decoder(float_hook=_number)
