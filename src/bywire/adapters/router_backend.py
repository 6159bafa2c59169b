"""One service instance as the router sees it: pooled keep-alive connections, one exchange at a time on each."""

import asyncio
import contextlib
import time
from typing import NamedTuple

from bywire.adapters import router_http as http

_IDLE_SECONDS_MAX = 2.0  # shorter than any server's own keep-alive, so that a pooled connection is rarely dead
_IDLE_CONNECTIONS_MAX = 64
_IN_FLIGHT_MAX = 256
_INTERIM_MAX = 8
_CONNECT_SECONDS = 2.0
_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))  # idempotent, RFC 9110 section 9.2.2

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class BackendError(Exception):
    """The instance did not answer properly; `status` is what the client is told (502 or 504)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class BackendResponse(NamedTuple):
    """A whole response."""

    head: http.ResponseHead
    body: bytes


class Backend:
    """An instance on a loopback port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[tuple[float, Connection]] = []
        self._slots = asyncio.Semaphore(_IN_FLIGHT_MAX)

    async def exchange(self, method: bytes, message: bytes, timeout_seconds: float) -> BackendResponse:
        """Send a whole request and read the whole response. Raises `BackendError`.

        A request is repeated once, on a fresh connection to the same instance, only when a pooled connection turned
        out to be closed before any byte of the answer and the method may be repeated (RFC 9110 section 9.2.2).
        """
        try:
            async with asyncio.timeout(timeout_seconds), self._slots:
                connection = self._pooled()
                if connection is not None:
                    response = await self._attempt(connection, method, message, reused=True)
                    if response is not None:
                        return response
                connection = await self._connect()
                response = await self._attempt(connection, method, message, reused=False)
                if response is None:
                    raise BackendError(502, "the instance closed the connection")
                return response
        except TimeoutError:
            raise BackendError(504, f"no answer within {timeout_seconds:g} s") from None

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop()[1][1].close()

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await asyncio.open_connection("127.0.0.1", self.port, limit=http.HEAD_BYTES_MAX)
        except OSError as error:
            raise BackendError(502, f"cannot connect to the instance: {error}") from None

    async def _attempt(
        self, connection: Connection, method: bytes, message: bytes, *, reused: bool
    ) -> BackendResponse | None:
        """One exchange. None means: closed before the first byte of an answer, and repeating is safe."""
        reader, writer = connection
        finished = False
        try:
            writer.write(message)
            raw = await http.read_head(reader)
            if not raw:
                if reused and method in _REPEATABLE:
                    return None
                raise BackendError(502, "the instance closed the connection")
            head = http.parse_response_head(raw, method)
            for _ in range(_INTERIM_MAX):
                if head.status >= 200:
                    break
                head = http.parse_response_head(await http.read_head(reader), method)
            if head.status < 200:
                raise BackendError(502, "the instance switched protocols")
            body = await http.read_body(reader, head.length)
            finished = head.keep_alive
            return BackendResponse(head, body)
        except http.MessageError as error:
            raise BackendError(502, f"bad answer of the instance: {error}") from None
        except OSError as error:
            if reused and method in _REPEATABLE:
                return None
            raise BackendError(502, f"the connection to the instance broke: {error}") from None
        finally:
            self._release(connection, reusable=finished)

    def _pooled(self) -> Connection | None:
        while self._idle:
            since, (reader, writer) = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS_MAX and not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    def _release(self, connection: Connection, *, reusable: bool) -> None:
        if reusable and len(self._idle) < _IDLE_CONNECTIONS_MAX:
            self._idle.append((time.monotonic(), connection))
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closing
                connection[1].close()
