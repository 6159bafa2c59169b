"""Which plain YAML words are numbers, truth values or nothing: the part on which all YAML readers agree.

Follows the YAML 1.2 core schema (section 10.3), plus leading-zero octal as Kubernetes reads it. Where YAML 1.1 and 1.2
readers differ, the word is refused rather than guessed.
"""

import math
import re
from typing import Any

DIGITS_MAX = 19
INTEGER_MAX = 2**63 - 1

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_DISPUTED = frozenset(
    word for base in ("y", "n", "yes", "no", "on", "off") for word in (base, base.title(), base.upper())
)
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OCTAL = re.compile(r"[-+]?0o?([0-7]+)")
_HEX = re.compile(r"[-+]?0x([0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_UNCARRIED = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNDERSCORED = re.compile(r"[-+]?(0[box])?[0-9][0-9a-fA-F_]*_[0-9a-fA-F_.]*|[-+]?0b[01]+")


def plain_scalar(word: str) -> tuple[Any, str]:
    """(value, "") of an unquoted word, or (None, what is wrong with it)."""
    if word in _NULL:
        return None, ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE, ""
    if word in _DISPUTED:
        return None, f"'{word}' is a truth value to some YAML readers and text to others"
    if _UNCARRIED.fullmatch(word) or _UNDERSCORED.fullmatch(word):
        return None, f"'{word[:40]}' is not a number that every reader takes alike"
    for pattern, radix in ((_DECIMAL, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(word):
            return _integer(word, radix)
    if _FLOAT.fullmatch(word):
        value = float(word)
        return (value, "") if math.isfinite(value) else (None, f"the number {word[:40]} is too large")
    return word, ""


def _integer(word: str, radix: int) -> tuple[Any, str]:
    digits = word.lstrip("+-")
    if radix != 10:
        digits = digits.lower().lstrip("0").lstrip("ox") or "0"
    if len(digits) > DIGITS_MAX * 2:
        return None, f"the number {word[:40]} is too large"
    value = int(digits, radix) * (-1 if word.startswith("-") else 1)
    return (value, "") if abs(value) <= INTEGER_MAX else (None, f"the number {word[:40]} is too large")
