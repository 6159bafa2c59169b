"""One HTTP/1.1 connection with every bound that uvicorn leaves open: time, size, count, and one way to frame a request.

A request that two parsers could cut at different places is refused and its connection closed (RFC 9112, 6.1 and 6.3);
so is one that never ends, and a client that does not read what it asked for.
"""

from asyncio import TimerHandle, Transport
from typing import Any, cast

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from bywire.api.joined_writes import JoinedWrites
from bywire.model.gateway import ServeLimits
from bywire.wiring import payload

_JSON_HEADERS = b"content-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\n"


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration with our bounds beside it."""

    def __init__(self, app: Any, limits: ServeLimits, **more: Any) -> None:
        super().__init__(app, http=BoundedProtocol, **more)
        self.limits = limits


class _FramingError(Exception):
    """Raised inside the parser, which then stops; the connection is answered and closed."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, bounded."""

    config: BoundedConfig

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        """Refuse one connection too many; otherwise the first request has to arrive in time."""
        super().connection_made(cast("Transport", JoinedWrites(transport, self.loop)))
        self._limits = self.config.limits
        self._problem = (400, "this is no HTTP request", "send HTTP/1.1")
        self._deadline: TimerHandle | None = None
        self._unread: TimerHandle | None = None
        self._head_bytes = self._framing_bytes = 0
        self._in_head = True
        if len(self.connections) > self._limits.connections:
            self._problem = (503, "the gateway has as many connections as it takes", "come back later")
            self.send_400_response("")
            return
        self._expect_request(self._limits.idle_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_waiting()
        self._read_on()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound what a head may hold and how long it may take, then let the parser have it."""
        begins = self._in_head and self._head_bytes == 0
        if not self._in_head:
            self._framing_bytes += len(data)
        elif not (begins and self._is_answering() and not data.strip(b"\r\n")):  # a line end more begins no request
            self._head_bytes += len(data)
        super().data_received(data)
        if begins and self._head_bytes:  # most requests are here whole by now, and need no timer
            self._expect_request(self._limits.request_seconds)
        # What is of no body is a head, a trailer, or says how long a chunk is; the parser tells of whole ones alone.
        size = self._head_bytes if self._in_head else self._framing_bytes
        if size > self._limits.header_bytes and not self.transport.is_closing():
            self._problem = (431, "the head of the request is too large", "send fewer or shorter headers")
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A new request on this connection."""
        super().on_message_begin()
        self._parsed_bytes = 0

    def on_url(self, url: bytes) -> None:
        """The target counts towards the head."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Each header counts, and so does each trailer, which is none of the headers (RFC 9110, 6.5.1)."""
        self._parsed_bytes += len(name) + len(value) + 4
        if self._parsed_bytes > self._limits.header_bytes or len(self.headers) >= self._limits.headers:
            self._refuse(431, "the head of the request is too large", "send fewer or shorter headers")
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """One way to frame it, one way to name its target, or none."""
        if ambiguous(self.headers, self.parser.get_http_version()):
            self._refuse(400, "the request can be framed in two ways", "send one Content-Length, or chunked")
        if not self.url.startswith(b"/"):
            self._refuse(400, "the target is no path", "this is no forward proxy: that has a port of its own")
        if self.parser.should_upgrade():
            self._refuse(400, "this connection stays HTTP/1.1", "send no Upgrade and no CONNECT")
        self._in_head = False
        self._framing_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a body."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here; from now on it is ours to be quick."""
        self._stop_waiting()
        self._head_bytes = 0
        self._in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        """A client that does not read is waited for as long as one that does not speak."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self._limits.idle_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        self._read_on()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer with the payload, and close; while a call is under way its answer is the next one, so only close."""
        if self._is_answering():
            self.transport.close()
            return
        status, reason, next_step = self._problem
        code = payload.BUSY if status == 503 else payload.INVALID_PARAMETERS
        body = msgspec.json.encode({"error": payload.refusal(code, reason, next_step=next_step)})
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + _JSON_HEADERS + length + body)
        self.transport.close()

    def _is_answering(self) -> bool:
        """Whether a request is here whole, or has begun to be answered, and its answer is not over."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and (not cycle.more_body or cycle.response_started)

    def _count(self, size: int) -> None:
        self._parsed_bytes += size
        if self._parsed_bytes > self._limits.header_bytes:
            self._refuse(431, "the head of the request is too large", "send fewer or shorter headers")

    def _refuse(self, status: int, reason: str, next_step: str) -> None:
        self._problem = (status, reason, next_step)
        raise _FramingError(reason)

    def _expect_request(self, seconds: int) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        if self._head_bytes:
            self._problem = (408, "the request did not arrive in time", "send it in one go")
            self.send_400_response("")
        else:
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def ambiguous(headers: list[tuple[bytes, bytes]], version: str) -> bool:
    """Whether two parsers could end this request at different places (RFC 9112, 6.1 and 6.3).

    The parser refuses most of it by itself; which of it depends on its version.
    """
    framing = [(name, value) for name, value in headers if name in {b"content-length", b"transfer-encoding"}]
    if not framing:
        return False
    (name, value), *more = framing
    if name == b"content-length":
        return bool(more) or not value.isdigit()
    return bool(more) or value != b"chunked" or version != "1.1"
