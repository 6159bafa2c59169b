"""Headers that repeat parts of a message (MCP 2026-07-28, "Request Metadata"), compared with its body.

What routes by a header and what acts on the body must see the same request, so that a header that is missing, doubled,
or says anything else is a reason to refuse.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any

from bywire.adapters.mcp_message import META_VERSION, NAMED_BY, Message

ANNOTATION = "x-mcp-header"
PREFIX = "mcp-param-"
DEPTH_MAX = 16
_BEFORE, _AFTER = "=?base64?", "?="
_PLAIN = re.compile(r"[\x20-\x7e]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_DECIMAL = re.compile(r"(-?[0-9]{1,17})(?:\.0{1,17})?")
_TYPES = frozenset({"string", "integer", "boolean"})

# Header name (lower case) and value, as they came; equal names are kept apart.
Headers = Sequence[tuple[str, str]]


def encode_value(text: str) -> str:
    """`text` as a header value; what HTTP would not carry unchanged goes as base64."""
    wrapped = text.startswith(_BEFORE) and text.endswith(_AFTER)
    if _PLAIN.fullmatch(text) and text == text.strip() and not wrapped:
        return text
    return f"{_BEFORE}{base64.b64encode(text.encode('utf-8', 'surrogatepass')).decode()}{_AFTER}"


def decode_value(value: str) -> str | None:
    """The inverse; None for what `encode_value` does not write."""
    if not (value.startswith(_BEFORE) and value.endswith(_AFTER)):
        return value if _PLAIN.fullmatch(value) else None
    packed = value[len(_BEFORE) : -len(_AFTER)]
    try:
        raw = base64.b64decode(packed, validate=True)
        return raw.decode() if base64.b64encode(raw).decode() == packed else None
    except ValueError:  # of base64, of UTF-8, or of text that is no ASCII
        return None


def mirrored(schema: dict[str, Any], arguments: dict[str, Any]) -> dict[str, str]:
    """The headers that a call with these arguments carries by the tool's schema."""
    headers = {}
    for path, token, _ in _declared(schema, ()):
        said = _spelt(_at(arguments, path))
        if said is not None:
            headers[f"Mcp-Param-{token}"] = encode_value(said)
    return headers


def disagreement(message: Message, headers: Headers) -> str:
    """Why the standard headers and the body are not the same request; empty when they are."""
    for name, said in (("mcp-protocol-version", message.meta.get(META_VERSION)), ("mcp-method", message.method)):
        found = _values(headers, name)
        if len(found) != 1:
            return f"{name} must be sent once"
        if found[0] != said:
            return f"{name} says another thing than the body"
    named = NAMED_BY.get(str(message.method))
    found = _values(headers, "mcp-name")
    if len(found) > 1 or (named is not None and not found):
        return "mcp-name must be sent once"
    if named is not None and decode_value(found[0]) != message.arguments.get(named):
        return f"mcp-name says another thing than the body's {named}"
    return ""


def parameter_disagreement(schema: dict[str, Any], arguments: dict[str, Any], headers: Headers) -> str:
    """The same for the headers that a tool's schema declares."""
    for path, token, kind in _declared(schema, ()):
        value = _at(arguments, path)
        found = _values(headers, PREFIX + token.lower())
        said = _spelt(value)
        if len(found) != (0 if said is None else 1):
            return f"Mcp-Param-{token} must be sent {'once' if said is not None else 'only with its parameter'}"
        if said is not None and not _equal(decode_value(found[0]), said, kind):
            return f"Mcp-Param-{token} says another thing than the body"
    return ""


def invalid_annotation(schema: dict[str, Any]) -> bool:
    """Whether a schema declares headers where or as it must not; such a tool is not offered."""
    declared = list(_declared(schema, ()))
    tokens = [token.lower() for _, token, _ in declared]
    sound = all(_TOKEN.fullmatch(token) and isinstance(kind, str) and kind in _TYPES for _, token, kind in declared)
    return not sound or len(set(tokens)) < len(tokens) or len(declared) != _annotations(schema)


def _declared(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """(path, token, type) of each annotated property that is reached through `properties` alone."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or len(path) > DEPTH_MAX:
        return
    for name, inner in properties.items():
        if isinstance(inner, dict):
            if isinstance(inner.get(ANNOTATION), str):
                yield (*path, name), inner[ANNOTATION], inner.get("type")
            yield from _declared(inner, (*path, name))


def _annotations(schema: Any) -> int:
    """How often the annotation appears anywhere, as a key of an object that is no list of properties."""
    count, stack = 0, [(schema, False)]
    while stack:
        value, are_names = stack.pop()
        if isinstance(value, dict):
            count += ANNOTATION in value and not are_names
            stack += [(item, key == "properties" and not are_names) for key, item in value.items()]
        elif isinstance(value, list):
            stack += [(item, False) for item in value]
    return count


def _values(headers: Headers, name: str) -> list[str]:
    return [value for key, value in headers if key == name]


def _at(arguments: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        arguments = arguments.get(name) if isinstance(arguments, dict) else None
    return arguments


def _spelt(value: Any) -> str | None:
    """A parameter as a header says it; None for what has no header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) or (isinstance(value, float) and value.is_integer()) else None


def _equal(found: str | None, said: str, kind: Any) -> bool:
    if found is None or found == said:
        return found is not None
    numbers = [_DECIMAL.fullmatch(one) for one in (found, said)] if kind == "integer" else []
    return len(numbers) > 0 and all(numbers) and len({int(one[1]) for one in numbers if one}) == 1
