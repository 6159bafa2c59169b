"""The one HTTP request that a call of a tool is, made from its route and the parameters that were decided on.

Each parameter travels in its place: path, query, a header, or the body. The request is made once before the decision,
so that nobody decides or approves what can never be sent, and once more when it is sent.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from bywire.gateway.request_path import filled
from bywire.model.connection import FORM_BODY, Route
from bywire.model.errors import TargetError

HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class HttpRequest(msgspec.Struct, frozen=True):
    """`target` is path and query; `headers` those that parameters fill and the body's type; no body is None."""

    target: str
    headers: dict[str, str]
    body: bytes | None


def request_of(route: Route, parameters: Mapping[str, Any]) -> HttpRequest:
    """Raises TargetError `unsupported` for a value that its place cannot hold; the error never repeats the value."""
    path, rest = filled(route.path, parameters, route.with_slashes)
    headers = {
        _as_written(name): _header(parameter, rest.pop(parameter))
        for name, parameter in route.headers.items()
        if parameter in rest
    }
    query = _encoded({name: rest.pop(name) for name in route.query if name in rest})
    target = f"{path}?{query}" if query else path
    if route.method == "GET":
        return HttpRequest(target, headers, None)
    if route.body == FORM_BODY:
        return HttpRequest(
            target, headers | {"Content-Type": "application/x-www-form-urlencoded"}, _encoded(rest).encode()
        )
    return HttpRequest(target, headers | {"Content-Type": "application/json"}, msgspec.json.encode(rest))


def _encoded(values: Mapping[str, Any]) -> str:
    return urlencode(
        [
            (name, _text(name, item, "a query or form"))
            for name, value in values.items()
            for item in (value if isinstance(value, list) else [value])
        ]
    )


def _header(name: str, value: Any) -> str:
    text = _text(name, value, "a header")
    # Servers take spaces around a value off: it would arrive as another one than was decided on.
    if HEADER_VALUE.fullmatch(text) is None or text != text.strip():
        raise _unfit(name, "a header")
    return text


def _text(name: str, value: Any, where: str) -> str:
    """A value in the one way that servers agree on."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, dict | list):
        raise _unfit(name, where)
    return str(value)


def _unfit(name: str, where: str) -> TargetError:
    return TargetError(f"{name} cannot travel in {where}", code="unsupported", next_step="send a plain value")


def _as_written(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
