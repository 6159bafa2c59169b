"""Plain values as YAML for people to read: one line a key where it matters, JSON below that.

What is written is what our own reader reads: every word that some reader would not take for itself is quoted.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# So many levels of mappings are written one key a line; what lies deeper stands in one line, as JSON.
BLOCKS_DEEP = 4
LINE_MAX = 100
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NO_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"))
# What YAML does not take as it is, and JSON leaves as it is.
_ESCAPED = re.compile("[\u007f-\u009f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def items_text(items: list[dict[str, Any]], indent: int = 2) -> str:
    """The lines of a list of mappings, each key of a mapping on a line of its own."""
    lines: list[str] = []
    for item in items:
        written = list(_mapping(item, indent + 2, BLOCKS_DEEP))
        written[0] = f"{' ' * indent}- {written[0].strip()}"
        lines += written
    return "".join(f"{line}\n" for line in lines)


def flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, str) and _WORD.fullmatch(value) and value.lower() not in _NO_WORDS:
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return _quoted(value)


def _mapping(value: Mapping[str, Any], indent: int, deep: int) -> Iterator[str]:
    pad = " " * indent
    for key, item in value.items():
        line = f"{pad}{flow(key)}: {flow(item)}"
        if isinstance(item, dict) and item and deep > 1 and len(line) > LINE_MAX:
            yield f"{pad}{flow(key)}:"
            yield from _mapping(item, indent + 2, deep - 1)
        else:
            yield line


def _quoted(value: Any) -> str:
    if isinstance(value, str) and _WORD.fullmatch(value) and value.lower() not in _NO_WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
