"""The data plane of the local target: an HTTP/1.1 reverse proxy with a stable and a canary arm.

It decides per request by `router_split`, counts every answer for the arm that gave it, and never retries a failed
canary on stable: that would hide the failure from the judge. Nothing that a client sends chooses the arm, and no
response says which arm served.
"""

import asyncio
import contextlib
import json
import secrets
import time

from bywire.adapters import router_http as http
from bywire.adapters.router_backend import Backend, BackendError
from bywire.adapters.router_split import BUCKETS, CANARY, TrafficSplit, segment_of
from bywire.adapters.router_telemetry import TrafficCounts

_CLIENTS_MAX = 1_024
_IDLE_SECONDS = 60.0
_RECEIVE_SECONDS = 30.0
_BACKEND_SECONDS = 30.0
_USER_BYTES_MAX = 256
_REASONS = {
    400: b"Bad Request", 413: b"Content Too Large", 431: b"Request Header Fields Too Large", 502: b"Bad Gateway",
    503: b"Service Unavailable", 504: b"Gateway Timeout", 505: b"HTTP Version Not Supported",
}  # fmt: skip
_BACKEND_MESSAGES = {502: "the service did not answer properly", 504: "the service did not answer in time"}


class RouterSettings:
    """How requests are told apart and judged; replaced as a whole by `configure`."""

    def __init__(
        self, user_header: str, segment_header: str, segments: tuple[str, ...], slow_threshold_ms: float
    ) -> None:
        self.user_header = user_header.lower().encode()
        self.segment_header = segment_header.lower().encode()
        self.segments = frozenset(segments)
        self.slow_threshold_ms = slow_threshold_ms


class Router:
    """`split`, `settings` and `counts` may be replaced at any time; each request reads them once."""

    def __init__(self, split: TrafficSplit, settings: RouterSettings, counts: TrafficCounts) -> None:
        self.split = split
        self.settings = settings
        self.counts = counts
        self._backends: dict[str, Backend] = {}
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._wall_offset = time.time() - time.monotonic()

    @property
    def now_ms(self) -> int:
        """Milliseconds since the epoch, never running backwards while the process lives."""
        return int((time.monotonic() + self._wall_offset) * 1000)

    async def listen(self, port: int) -> int:
        """Listen on 127.0.0.1; returns the port."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, limit=http.HEAD_BYTES_MAX, backlog=512
        )
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    async def close(self) -> None:
        """Stop listening and drop every client."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._clients):
            writer.close()
        for backend in self._backends.values():
            backend.close()

    def attach(self, digest: str, port: int) -> None:
        """Route requests for `digest` to an instance's port."""
        self.detach(digest)
        self._backends[digest] = Backend(port)

    def detach(self, digest: str) -> None:
        """Forget an instance; requests for it fail from now on."""
        backend = self._backends.pop(digest, None)
        if backend is not None:
            backend.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= _CLIENTS_MAX:
            writer.close()
            return
        self._clients.add(writer)
        try:
            while await self._serve_one(reader, writer):
                pass
        except http.MessageError as error:
            with contextlib.suppress(OSError):
                writer.write(_refusal(error.status, str(error), keep_alive=False))
        except (OSError, TimeoutError):
            pass  # the client went away or idled; whatever was answered is already counted
        finally:
            self._clients.discard(writer)
            with contextlib.suppress(RuntimeError):
                writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer. Returns whether the connection goes on."""
        async with asyncio.timeout(_IDLE_SECONDS):
            raw = await http.read_head(reader)
        if not raw:
            return False
        request = http.parse_request_head(raw)
        body = b""
        if request.length:
            if request.expects_continue:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async with asyncio.timeout(_RECEIVE_SECONDS):
                body = await http.read_body(reader, request.length)
        peer = writer.get_extra_info("peername")
        writer.write(await self._answer(request, body, peer[0].encode() if peer else b"unknown"))
        async with asyncio.timeout(_RECEIVE_SECONDS):
            await writer.drain()
        return request.keep_alive

    async def _answer(self, request: http.RequestHead, body: bytes, peer: bytes) -> bytes:
        split, settings, started = self.split, self.settings, time.monotonic()
        segment = segment_of(request.header(settings.segment_header), settings.segments)
        share = split.share(segment, started)
        user = request.header(settings.user_header)[:_USER_BYTES_MAX]
        bucket = split.bucket(user) if user else secrets.randbelow(BUCKETS)
        arm = split.arm(bucket, segment, started)
        digest = split.canary if arm == CANARY else split.stable
        if not digest:
            return _refusal(503, "no release is serving", keep_alive=request.keep_alive and request.method != b"HEAD")
        headers = [*http.end_to_end(request.headers, request=True), (b"x-forwarded-for", peer)]
        line = b"%b %b HTTP/1.1" % (request.method, request.target)
        try:
            message = http.encode_head(line, headers, len(body)) + body
            response = await self._backend(digest).exchange(request.method, message, _BACKEND_SECONDS)
            status, answer = response.head.status, _forwarded(request, response.head, response.body)
        except BackendError as error:
            # What went wrong inside is not the client's to read, and a body must not follow an answer to HEAD.
            keep_alive = request.keep_alive and request.method != b"HEAD"
            status, answer = (
                error.status,
                _refusal(error.status, _BACKEND_MESSAGES[error.status], keep_alive=keep_alive),
            )
        latency_ms = (time.monotonic() - started) * 1000
        self.counts.add(
            self.now_ms, arm, segment, digest,
            error=status >= 500, slow=latency_ms > settings.slow_threshold_ms, latency_ms=latency_ms, weight=share,
        )  # fmt: skip
        return answer

    def _backend(self, digest: str) -> Backend:
        backend = self._backends.get(digest)
        if backend is None:
            raise BackendError(502, "the release has no running instance")
        return backend


def _forwarded(request: http.RequestHead, head: http.ResponseHead, body: bytes) -> bytes:
    headers = http.end_to_end(head.headers, request=False)
    if not request.keep_alive:
        headers.append((b"connection", b"close"))
    line = b"HTTP/1.1 %d " % head.status
    if head.status in (204, 304) or request.method == b"HEAD":
        # No body follows; a length here would describe one that other readers might wait for (RFC 9110 section 8.6).
        return line + b"\r\n" + b"".join(b"%b: %b\r\n" % field for field in headers) + b"\r\n"
    return http.encode_head(line, headers, len(body)) + body


def _refusal(status: int, message: str, *, keep_alive: bool) -> bytes:
    """An answer of the router itself: a JSON error that names no release and no arm."""
    body = json.dumps({"error": {"code": f"http_{status}", "message": message}}).encode()
    headers = [(b"content-type", b"application/json")]
    if not keep_alive:
        headers.append((b"connection", b"close"))
    return http.encode_head(b"HTTP/1.1 %d %b" % (status, _REASONS.get(status, b"Error")), headers, len(body)) + body
