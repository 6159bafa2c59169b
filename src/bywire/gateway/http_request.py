"""The one HTTP request that a call of a tool is, made from its route and the parameters that were decided on.

Each parameter travels in its place: path, query, a header, or the body. The request is made once before the decision,
so that nobody decides or approves what can never be sent, and once more when it is sent.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
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


class _Placed(NamedTuple):
    """Each parameter in its place, not yet encoded; `body` holds what no other place took."""

    path: str
    headers: dict[str, str]
    query: list[tuple[str, str]]
    form: list[tuple[str, str]]
    body: dict[str, Any]


def check_sendable(route: Route, parameters: Mapping[str, Any]) -> None:
    """Whether `request_of` makes a request of them. Raises as it does."""
    _placed(route, parameters)


def request_of(route: Route, parameters: Mapping[str, Any]) -> HttpRequest:
    """Raises TargetError `unsupported` for a value that its place cannot hold; the error never repeats the value."""
    placed = _placed(route, parameters)
    target = f"{placed.path}?{urlencode(placed.query)}" if placed.query else placed.path
    if route.method == "GET":
        return HttpRequest(target, placed.headers, None)
    if route.body == FORM_BODY:
        kind, body = "application/x-www-form-urlencoded", urlencode(placed.form).encode()
    else:
        kind, body = "application/json", msgspec.json.encode(placed.body)
    return HttpRequest(target, placed.headers | {"Content-Type": kind}, body)


def _placed(route: Route, parameters: Mapping[str, Any]) -> _Placed:
    path, rest = filled(route.path, parameters, route.with_slashes)
    headers = {
        _as_written(name): _header(parameter, rest.pop(parameter))
        for name, parameter in route.headers.items()
        if parameter in rest
    }
    query = _pairs({name: rest.pop(name) for name in route.query if name in rest})
    form = _pairs(rest) if route.method != "GET" and route.body == FORM_BODY else []
    return _Placed(path, headers, query, form, rest)


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, _text(name, item, "a query or form"))
        for name, value in values.items()
        for item in (value if isinstance(value, list) else [value])
    ]


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
