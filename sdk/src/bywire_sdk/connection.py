"""HTTP to one origin over the standard library: pooled connections, a deadline for the whole answer, bounded bodies.

Redirects are answers like any other and never followed, proxies of the environment are not asked, and compressed
answers are refused: the token reaches the gateway and nobody else, and no answer grows after it was measured.
"""

import http.client
import io
import ssl
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from socket import socket
from typing import Any

from bywire_sdk import system
from bywire_sdk.errors import BadAnswer, Unreachable
from bywire_sdk.limits import Limits
from bywire_sdk.origin import Origin

_CHUNK = 65_536


@dataclass(frozen=True)
class Reply:
    """One answer, whole. `content_type` is lower case and without parameters."""

    status: int
    content_type: str
    body: bytes


class _Timed(io.RawIOBase):
    """A socket whose every read ends at one deadline, so that an answer cannot drip for ever."""

    def __init__(self, sock: socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - system.seconds()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


class _Deadlined:
    """What `HTTPResponse` wants of a socket: a file to read."""

    def __init__(self, sock: socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_Timed(self._sock, self._deadline))


def _deadlined(deadline: float, sock: socket, *more: Any, **named: Any) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_Deadlined(sock, deadline), *more, **named)  # type: ignore[arg-type]


class Connections:
    """The connections to one origin. Thread-safe; a forked child starts with none."""

    def __init__(self, place: Origin, limits: Limits, tls: ssl.SSLContext | None = None) -> None:
        self._place, self._limits = place, limits
        self._tls = (tls or ssl.create_default_context()) if place.secure else None
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._begin()
        weakref.finalize(self, _close, self._idle)  # a client that nobody closed leaves nothing open

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(self._limits.connections_max)
        self._process = system.process_id()

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request and return its answer. Raises Unreachable, BadAnswer."""
        if len(body) > self._limits.request_bytes_max:
            raise BadAnswer.local("the request is too large", f"send at most {self._limits.request_bytes_max} bytes")
        if self._process != system.process_id():
            self._begin()
            self.close()
        deadline = system.seconds() + self._limits.answer_seconds
        if not self._free.acquire(timeout=self._limits.answer_seconds):
            raise Unreachable.local("every connection to the gateway is in use", "raise connections_max or call less")
        try:
            return self._exchange(method, path, headers, body, deadline)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close what is idle; a later request connects anew."""
        with self._lock:
            _close(self._idle)

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes, deadline: float) -> Reply:
        for kept in (self._kept(), None):
            connection = kept or self._connect()
            try:
                return self._answer(connection, method, path, headers, body, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                if kept is None or not isinstance(error, ConnectionError):
                    raise _lost(error) from error
                # It was closed while idle. Sending again is safe: a call carries a key, a report is heard once.
            except BaseException:
                connection.close()
                raise
        raise Unreachable.local("no connection to the gateway lasted", "see that `bywire serve` runs there")

    def _connect(self) -> http.client.HTTPConnection:
        place, seconds = self._place, self._limits.connect_seconds
        connection = (
            http.client.HTTPSConnection(place.host, place.port, timeout=seconds, context=self._tls)
            if place.secure
            else http.client.HTTPConnection(place.host, place.port, timeout=seconds)
        )
        try:
            connection.connect()
        except (OSError, ValueError) as error:
            connection.close()
            raise Unreachable.local(
                f"no connection to the gateway at {place.host}:{place.port}: {error}",
                "see that `bywire serve` runs there; nothing was asked and nothing was run",
            ) from error
        return connection

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
    ) -> Reply:
        sock = connection.sock
        sock.settimeout(max(deadline - system.seconds(), 0.001))
        connection.response_class = partial(_deadlined, deadline)  # type: ignore[assignment]  # a factory will do
        connection.request(method, f"{self._place.prefix}{path}", body=body or None, headers=dict(headers))
        with connection.getresponse() as response:
            reply = Reply(response.status, _content_type(response), self._body(response))
            again = not response.will_close
        if again:
            self._keep(connection)
        else:
            connection.close()
        return reply

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        most = self._limits.response_bytes_max
        if response.getheader("content-encoding", "identity").lower() != "identity":
            raise BadAnswer.local("the answer is compressed, which was not asked for", "look at what runs there")
        if (response.length or 0) > most:
            raise _too_large(most)
        body = bytearray()
        while chunk := response.read(min(_CHUNK, most + 1 - len(body))):
            body += chunk
            if len(body) > most:
                raise _too_large(most)
        if response.length:
            raise ConnectionResetError("the answer ended early")
        return bytes(body)

    def _kept(self) -> http.client.HTTPConnection | None:
        now = system.seconds()
        with self._lock:
            while self._idle:
                connection, since = self._idle.pop()
                if now - since <= self._limits.connection_idle_seconds:
                    return connection
                connection.close()
        return None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.append((connection, system.seconds()))


def _close(idle: list[tuple[http.client.HTTPConnection, float]]) -> None:
    while idle:
        idle.pop()[0].close()


def _content_type(response: http.client.HTTPResponse) -> str:
    return response.getheader("content-type", "").partition(";")[0].strip().lower()


def _too_large(most: int) -> BadAnswer:
    error = BadAnswer.local(f"the answer is larger than {most} bytes", "look at what runs there")
    error.sent = True
    return error


def _lost(error: Exception) -> Unreachable:
    """The request was sent, or partly; what became of it is not known here."""
    broken = isinstance(error, http.client.HTTPException | ValueError) and not isinstance(
        error, http.client.RemoteDisconnected | http.client.IncompleteRead
    )
    kind = BadAnswer if broken else Unreachable
    lost = kind.local(
        f"the gateway's answer did not arrive: {error or type(error).__name__}",
        "ask again with the same key: what was carried out is not repeated",
    )
    lost.sent = True
    return lost
