"""Reading a request: who vouches for it, and one JSON document of bounded size with one reading.

A document that two readers could take for two things is refused: equal members, NaN, another encoding than UTF-8. A
token travels in one Authorization header and nowhere else.
"""

import re
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from bywire.api.errors import malformed, unauthenticated
from bywire.seal.strict_json import one_reading

T = TypeVar("T")
Headers = list[tuple[bytes, bytes]]

DEPTH_MAX = 48
TOKEN_BYTES_MAX = 8_192
# RFC 6750, 2.1, and whatever else is printable: what a token may hold is its reader's business.
_PRINTABLE = bytes(range(0x21, 0x7F))
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# RFC 6750, 2.3: where others take a token from; what is in a URL is in every log.
_QUERY_TOKENS = frozenset({"access_token", "token", "bearer", "authorization"})
_QUERY_FIELDS_MAX = 64
_AGENTS = ((b"bywire-sdk/", "sdk"), (b"bywire-hook/", "hook"))
_OUTSIDE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^\[\]{}"]+')
# Of these a request has one: what reads the first and what reads the last must not differ.
ONCE = frozenset(
    {
        b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"origin",
        b"authorization", b"traceparent", b"x-request-id", b"if-none-match",
    }
)  # fmt: skip
_FIELDS = "bywire.headers"


def fields_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers, read once. Raises RefusedError when one of `ONCE` is there twice."""
    known: dict[bytes, bytes] | None = scope.get(_FIELDS)
    if known is None:
        headers = scope["headers"]
        known = scope[_FIELDS] = dict(headers)
        if len(known) != len(headers):
            _check_repeats([name for name, _ in headers])
    return known


def token_of(request: Request) -> str:
    """The bearer token. Raises RefusedError `unauthenticated` unless there is exactly one (RFC 6750, 2)."""
    return token_in(request.scope)


def token_in(scope: Scope) -> str:
    """The bearer token of an ASGI scope. Raises as `token_of`."""
    if scope["query_string"]:
        _no_token_in(scope["query_string"])
    found = fields_of(scope).get(b"authorization")
    if found is None:
        raise unauthenticated("there is no Authorization header")
    scheme, _, given = found.partition(b" ")
    token = given.strip(b" ")
    if scheme.lower() != b"bearer" or not token or token.translate(None, _PRINTABLE) or len(found) > TOKEN_BYTES_MAX:
        raise unauthenticated("the Authorization header holds no bearer token")
    return token.decode("ascii")


async def body_of(request: Request, bytes_max: int) -> bytes:
    """The whole body. Raises RefusedError with 413 or 415."""
    return await body_in(request.scope, request.receive, bytes_max)


async def body_in(scope: Scope, receive: Receive, bytes_max: int) -> bytes:
    """The whole body of an ASGI request. Raises as `body_of`, ClientDisconnect when it never ends."""
    fields = fields_of(scope)
    declared = fields.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > bytes_max:
        raise _too_large(bytes_max)
    if fields.get(b"content-encoding", b"identity") != b"identity":
        raise malformed("the body is encoded", "send it as it is, without Content-Encoding", 415)
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        if not message.get("more_body", False):
            return body


async def document_of(request: Request, shape: type[T], bytes_max: int) -> T:
    """The body as one JSON document of this shape. Raises RefusedError."""
    return decoded(await json_of(request, bytes_max), shape)


async def json_of(request: Request, bytes_max: int) -> bytes:
    """The body that is said to be JSON. Raises RefusedError."""
    kind = fields_of(request.scope).get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        raise malformed("the body is not JSON", "send Content-Type: application/json", 415)
    return await body_of(request, bytes_max)


def decoded(body: bytes, shape: type[T]) -> T:
    """One JSON document with one reading. Raises RefusedError; what it says repeats nothing of the body."""
    try:
        value = msgspec.json.decode(body, type=shape)
        # Only what was parsed is searched: in a text that never closes, each quote would be searched to the end.
        if body.count(b"{") + body.count(b"[") > DEPTH_MAX:
            _check_depth(body)
        # msgspec keeps the last of two equal members, other readers the first.
        one_reading(body.decode("utf-8"))
    except msgspec.ValidationError as error:
        raise malformed(f"the body is not of this form: {error}", "see GET /openapi.json") from error
    except (ValueError, RecursionError) as error:
        raise malformed(
            f"the body is no JSON document that has one reading: {_why(error)}", "send one JSON object in UTF-8"
        ) from error
    return value


def header(headers: Headers, name: bytes) -> bytes:
    """One header's value; empty when it is not there. Raises RefusedError when it is there twice."""
    found = [value for other, value in headers if other == name]
    if len(found) > 1:
        raise malformed(f"there are two {name.decode()} headers", "send one")
    return found[0] if found else b""


def trace_of(request: Request) -> str:
    """The W3C traceparent, when it is one."""
    text = fields_of(request.scope).get(b"traceparent", b"").decode("latin-1")
    return text if text and _TRACE.fullmatch(text) else ""


def surface_of(request: Request) -> str:
    """Which of our own clients says it is calling; only ever told, never believed."""
    agent = fields_of(request.scope).get(b"user-agent", b"")
    return next((surface for prefix, surface in _AGENTS if agent.startswith(prefix)), "api")


def _check_repeats(names: list[bytes]) -> None:
    for name in ONCE:
        if names.count(name) > 1:
            raise malformed(f"there are two {name.decode()} headers", "send one")


def _no_token_in(query: bytes) -> None:
    try:
        fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX)
    except ValueError as error:
        raise malformed("the query has too many fields", f"send at most {_QUERY_FIELDS_MAX}") from error
    if any(name.lower() in _QUERY_TOKENS for name, _ in fields):
        raise unauthenticated("a token in a URL is in every log: this one is refused")


def _check_depth(body: bytes) -> None:
    """The nesting outside strings."""
    depth = 0
    for mark in _OUTSIDE.sub(b"", body):
        depth += 1 if mark in b"[{" else -1
        if depth > DEPTH_MAX:
            raise ValueError(f"it nests deeper than {DEPTH_MAX}")


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return "it nests too deeply" if isinstance(error, RecursionError) else str(error)


def _too_large(bytes_max: int) -> Exception:
    return malformed("the body is too large", f"send at most {bytes_max} bytes", 413)
