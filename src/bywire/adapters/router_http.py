"""HTTP/1.1 message heads and bodies, read strictly: what two readers could understand differently is refused.

A request with both Content-Length and Transfer-Encoding, a bare CR or LF, an obsolete fold, a repeated length or a
second Host ends the connection (RFC 9112 sections 2.2, 5.2, 6.3: request smuggling). Bodies are read whole, within a
limit, and sent on with a length.
"""

import asyncio
import re
from typing import NamedTuple

HEAD_BYTES_MAX = 32 * 1024
BODY_BYTES_MAX = 10 * 1024 * 1024
_HEADERS_MAX = 100
_CHUNK_LINE_MAX = 1024

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"/[!-~]*")
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
     b"proxy-authenticate", b"proxy-authorization", b"content-length", b"expect")
)  # fmt: skip
_FORWARDING = frozenset((b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"))
_OURS = b"x-bywire-"

Headers = list[tuple[bytes, bytes]]  # names in lower case


class MessageError(Exception):
    """A message that is not forwarded; `status` is what the sender is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RequestHead(NamedTuple):
    """A parsed request head. `length` is -1 for a chunked body."""

    method: bytes
    target: bytes
    headers: Headers
    length: int
    keep_alive: bool
    expects_continue: bool

    def header(self, name: bytes) -> bytes:
        """The first value of a header, or empty."""
        for known, value in self.headers:
            if known == name:
                return value
        return b""


class ResponseHead(NamedTuple):
    """A parsed response head. `length` is -1 for a chunked body and -2 for one that ends with the connection."""

    status: int
    headers: Headers
    length: int
    keep_alive: bool


def parse_request_head(raw: bytes) -> RequestHead:
    """Parse a head that ends with an empty line. Raises `MessageError`."""
    line, headers = _split(raw)
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise MessageError(400, "malformed request line")
    if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise MessageError(505, "only HTTP/1.1 is spoken here")
    modern = parts[2] == b"HTTP/1.1"
    hosts = sum(1 for name, _ in headers if name == b"host")
    if hosts > 1 or (modern and hosts == 0):
        raise MessageError(400, "exactly one Host is required")
    length = _body_length(headers)
    if length == -1 and not modern:
        raise MessageError(400, "chunked body in HTTP/1.0")
    expects = any(name == b"expect" for name, _ in headers)
    return RequestHead(parts[0], parts[1], headers, max(length, -1), _keeps_alive(headers, modern), expects)


def parse_response_head(raw: bytes, method: bytes) -> ResponseHead:
    """Parse a backend's head. Raises `MessageError` with status 502."""
    try:
        line, headers = _split(raw)
        length = _body_length(headers)
    except MessageError as error:
        raise MessageError(502, str(error)) from None
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MessageError(502, "malformed status line")
    status = int(match[1])
    has_length = any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
    if method == b"HEAD" or status < 200 or status in (204, 304):
        length = 0
    elif not has_length:
        length = -2
    return ResponseHead(status, headers, length, length != -2 and _keeps_alive(headers, line.startswith(b"HTTP/1.1")))


def end_to_end(headers: Headers, *, request: bool) -> Headers:
    """Headers that travel on: not hop-by-hop, not named by Connection, no forwarding claims, none of our own."""
    named = {option.strip() for name, value in headers if name == b"connection" for option in value.lower().split(b",")}
    named -= {b"host"}
    dropped = _HOP_BY_HOP | named | (_FORWARDING if request else frozenset())
    return [(name, value) for name, value in headers if name not in dropped and not name.startswith(_OURS)]


def encode_head(line: bytes, headers: Headers, length: int) -> bytes:
    """A head with a Content-Length."""
    fields = b"".join(b"%b: %b\r\n" % field for field in headers)
    return b"%b\r\n%bcontent-length: %d\r\n\r\n" % (line, fields, length)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """The next head with its empty line; empty bytes when the peer closed before sending any. Raises `MessageError`."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise MessageError(400, "the connection ended inside a head") from None
        return b""
    except asyncio.LimitOverrunError:
        raise MessageError(431, f"the head is longer than {HEAD_BYTES_MAX} bytes") from None


async def read_body(reader: asyncio.StreamReader, length: int) -> bytes:
    """A body of `length` (see the heads). Raises `MessageError` above the limit or when it is cut short."""
    if length > BODY_BYTES_MAX:
        raise MessageError(413, f"the body is longer than {BODY_BYTES_MAX} bytes")
    try:
        if length >= 0:
            return await reader.readexactly(length) if length else b""
        return await (_read_chunks(reader) if length == -1 else _read_to_end(reader))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        raise MessageError(400, "the body is cut short or malformed") from None


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        size_text = line[:-2].split(b";", 1)[0].strip(b" \t")
        if len(line) > _CHUNK_LINE_MAX or not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size_text):
            raise ValueError(size_text)
        size = int(size_text, 16)
        if len(body) + size > BODY_BYTES_MAX:
            raise MessageError(413, f"the body is longer than {BODY_BYTES_MAX} bytes")
        if size == 0:
            break
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise ValueError(size)
    for _ in range(_HEADERS_MAX):  # trailers are read and dropped
        if await reader.readuntil(b"\r\n") == b"\r\n":
            return bytes(body)
    raise ValueError(_HEADERS_MAX)


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while chunk := await reader.read(65_536):
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise MessageError(413, f"the body is longer than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _split(raw: bytes) -> tuple[bytes, Headers]:
    lines = raw[:-4].split(b"\r\n")
    if len(lines) > _HEADERS_MAX + 1:
        raise MessageError(431, f"more than {_HEADERS_MAX} headers")
    if any(_FORBIDDEN.search(line) for line in lines):
        raise MessageError(400, "control character in the head")
    headers: Headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise MessageError(400, "malformed header")
        headers.append((name.lower(), value.strip(b" \t")))
    return lines[0], headers


def _body_length(headers: Headers) -> int:
    """Length in bytes, -1 for chunked. Raises on anything ambiguous."""
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if (lengths and codings) or len(lengths) > 1 or codings not in ([], [b"chunked"]):
        raise MessageError(400, "ambiguous body length")
    if codings:
        return -1
    if not lengths:
        return 0
    if not re.fullmatch(rb"[0-9]{1,15}", lengths[0]):
        raise MessageError(400, "malformed Content-Length")
    return int(lengths[0])


def _keeps_alive(headers: Headers, modern: bool) -> bool:
    options = b",".join(value.lower() for name, value in headers if name == b"connection")
    return b"close" not in options if modern else b"keep-alive" in options
