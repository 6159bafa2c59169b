"""HTTP/1.1 messages on asyncio streams: the part of RFC 9112 this service needs, with a limit on all input.

Bodies need a Content-Length; a Transfer-Encoding is refused, so no two parsers can disagree about where a message ends.
"""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

HEAD_BYTES_MAX = 8192
BODY_BYTES_MAX = 16384
HEADERS_MAX = 64
QUERY_FIELDS_MAX = 16


class Refused(Exception):
    """The request cannot be served; `status` and the message are the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One parsed request. Header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    keep_alive: bool = True

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object, or raise `Refused` 400."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused(400, "the body is not JSON") from None
        if not isinstance(document, dict):
            raise Refused(400, "the body is not a JSON object")
        return document


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, ready to encode."""

    status: int
    body: bytes
    content_type: str = "application/json"

    def encode(self, *, keep_alive: bool) -> bytes:
        """Return the bytes for the wire."""
        return (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            f"content-type: {self.content_type}\r\n"
            f"content-length: {len(self.body)}\r\n"
            f"connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
        ).encode("ascii") + self.body


def json_response(status: int, document: dict[str, Any]) -> Response:
    """Return `document` as a JSON answer."""
    return Response(status, json.dumps(document, separators=(",", ":")).encode())


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request, or None when the peer is gone; raise `Refused` when it is malformed or too large."""
    try:
        head = await read_head(reader)
        method, target, version = _request_line(head[0])
        headers = parse_headers(head[1:])
        body = await read_body(reader, headers)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    path, _, query = target.partition("?")
    try:
        fields = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX))
    except ValueError:
        raise Refused(400, "too many query fields") from None
    connection = headers.get("connection", "").lower()
    keep_alive = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
    return Request(method, path, fields, headers, body, keep_alive)


async def read_head(reader: asyncio.StreamReader) -> list[str]:
    """Return the lines of a message head (start line first), without their line ends."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refused(431, "the message head is too large") from None
    return head[:-4].decode("latin-1").split("\r\n")


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Return the header fields by lower-case name; a repeated Content-Length or a malformed line is refused."""
    if len(lines) > HEADERS_MAX:
        raise Refused(431, "too many headers")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        lowered = name.lower()
        if not colon or not name or name != name.strip() or (lowered == "content-length" and lowered in headers):
            raise Refused(400, "a header is malformed")
        headers[lowered] = value.strip()
    return headers


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """Return exactly the bytes that Content-Length announces."""
    if "transfer-encoding" in headers:
        raise Refused(501, "send a content-length instead of a transfer-encoding")
    announced = headers.get("content-length", "0")
    if not (announced.isascii() and announced.isdigit()):
        raise Refused(400, "content-length is not a number")
    if len(announced) > 9 or int(announced) > BODY_BYTES_MAX:
        raise Refused(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
    return await reader.readexactly(int(announced))


def _request_line(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or not parts[1].startswith("/") or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refused(400, "the request line is malformed")
    return parts[0], parts[1], parts[2]
