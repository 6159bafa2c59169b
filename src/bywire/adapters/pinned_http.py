"""HTTP to one origin and no other: the address that was checked is the one that is connected to (RULES 23).

No redirect is followed, no proxy or netrc of the environment is read, no header of a caller is forwarded. Answers are
bounded in time and size. A name that resolves to a link-local, multicast or unspecified address is refused always, one
that resolves to a loopback or private address unless the operator declared the origin private.

A connection is used again only where the caller asks for it (`reuse`), which is for requests that may be sent twice:
one that was closed at the same moment answers nothing, and the request goes out once more on a new one.
"""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import msgspec

from bywire.adapters.http_connection import Head, HttpConnection
from bywire.gateway.destination import AddressClass, address_class
from bywire.gateway.http_request import HEADER_VALUE
from bywire.model.errors import ConfigError, TargetError

TIMEOUT_SECONDS = 20.0
ANSWER_BYTES_MAX = 8 * 1024 * 1024
IDLE_CONNECTIONS_MAX = 16
# Servers close idle connections after five seconds and more.
IDLE_SECONDS = 4.0
_PORTS = {"https": 443, "http": 80}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH = re.compile(r"[\x21-\x7e]+")
_BODIED = frozenset({"POST", "PUT", "PATCH"})

Resolve = Callable[[str, int], Iterable[str]]


class Origin(msgspec.Struct, frozen=True):
    """Scheme, host and port. `private`: the operator says that it lies on this host or network."""

    scheme: str
    host: str
    port: int
    private: bool

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


class Answer(msgspec.Struct, frozen=True):
    """What came back; header names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Abort:
    """Ends one exchange from another thread, at whatever point it is: whoever waits for it gets a TimeoutError."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: HttpConnection | None = None
        self.is_set = False

    def holds(self, connection: HttpConnection) -> None:
        """The connection that the exchange is on now."""
        with self._lock:
            self._connection = connection
            if self.is_set:
                connection.abort()

    def set(self) -> None:
        """End it."""
        with self._lock:
            self.is_set = True
            if self._connection is not None:
                self._connection.abort()


class Exchange:
    """An answer that is under way: its head is here, its body comes in parts until `deadline` (`time.monotonic`)."""

    def __init__(self, connection: HttpConnection, head: Head, deadline: float, origin: Origin) -> None:
        self.status = head.status
        self.headers = head.headers
        self._connection = connection
        self._deadline = deadline
        self._origin = origin

    def parts(self, most: int = ANSWER_BYTES_MAX) -> Iterator[bytes]:
        """The body, at most `most` bytes. TimeoutError when it is longer, late, or has no proper end."""
        had = 0
        try:
            for part in self._connection.parts(self._deadline):
                had += len(part)
                if had > most:
                    break
                yield part
        except OSError as error:
            raise TimeoutError(f"{self._origin} gave no whole answer: {error}") from error
        if had > most:
            raise TimeoutError(f"{self._origin} answered more than {most} bytes")

    def has_enough(self) -> None:
        """What was read is the answer; its end need not be waited for."""
        self._connection.has_enough()

    def abort(self) -> None:
        """End it from another thread: whoever reads gets a TimeoutError."""
        self._connection.abort()


def parse_origin(text: str, *, private: bool) -> Origin:
    """`https://host[:port]`, nothing more; plain http only to a private origin. Raises ConfigError `origin_invalid`."""
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, port = urlsplit(""), 0
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password)
    if not parts.hostname or not port or not bare or parts.scheme not in ({"https", "http"} if private else {"https"}):
        raise ConfigError(
            f"{text[:80]!r} is no origin that a credential may be sent to",
            code="origin_invalid",
            next_step="write https://host[:port]; http only together with `private: true`",
        )
    return Origin(scheme=parts.scheme, host=parts.hostname, port=port, private=private)


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system's resolver gives them."""
    return [str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class PinnedHttp:
    """Requests to one origin. Thread-safe; `close` gives idle connections back."""

    def __init__(
        self,
        origin: Origin,
        *,
        resolve: Resolve = resolved,
        context: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.origin = origin
        self._resolve = resolve
        self._context = context or ssl.create_default_context()
        self._timeout = timeout_seconds
        self._idle: list[tuple[float, HttpConnection]] = []
        self._lock = threading.Lock()
        self._host = _host_header(origin)

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, *, reuse: bool = False
    ) -> Answer:
        """One request, one answer.

        TargetError when nothing was sent or the answer is refused; TimeoutError when nobody knows whether it arrived.
        """
        with self.exchange(method, path, headers, body, reuse=reuse) as exchange:
            content = b"".join(exchange.parts())
            return Answer(exchange.status, content, exchange.headers)

    @contextlib.contextmanager
    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        reuse: bool = False,
        timeout_seconds: float | None = None,
        abort: Abort | None = None,
    ) -> Iterator[Exchange]:
        """One request, and its answer as it comes; errors as with `send`. `reuse`: the request may be sent twice."""
        message = self._message(method, path, headers, body, keep=reuse)
        deadline = time.monotonic() + (timeout_seconds or self._timeout)
        connection, head = self._answered(message, deadline, abort or Abort(), reuse=reuse)
        try:
            if 300 <= head.status < 400:
                raise TargetError(
                    f"{self.origin} redirects, and a credential goes nowhere else",
                    code="redirect_refused",
                    next_step="name the final origin and path in `connections`",
                )
            yield Exchange(connection, head, deadline, self.origin)
        finally:
            if reuse:
                self._put_back(connection)
            else:
                connection.close()  # the origin was told so, and may not say it back

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _answered(self, message: bytes, deadline: float, abort: Abort, *, reuse: bool) -> tuple[HttpConnection, Head]:
        kept = self._kept() if reuse else None
        if kept is not None:
            try:
                return kept, _asked(kept, message, deadline, abort)
            except OSError as error:
                kept.close()
                # Closed at the same moment: nothing was answered, and it may be sent twice.
                if abort.is_set or not isinstance(error, ConnectionError):
                    raise TimeoutError(f"{self.origin}: {error}") from error
        connection = self._connected()
        try:
            return connection, _asked(connection, message, deadline, abort)
        except OSError as error:
            connection.close()
            raise TimeoutError(f"{self.origin}: {error}") from error

    def _kept(self) -> HttpConnection | None:
        """The connection used last that is still of use."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, connection = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS and connection.is_quiet():
                return connection
            connection.close()

    def _put_back(self, connection: HttpConnection) -> None:
        if not connection.is_quiet(soon=True):
            connection.close()
            return
        with self._lock:
            self._idle.append((time.monotonic(), connection))
            surplus = [self._idle.pop(0)] if len(self._idle) > IDLE_CONNECTIONS_MAX else []
        for _, oldest in surplus:
            oldest.close()

    def _message(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, *, keep: bool) -> bytes:
        told = {"Host": self._host, "Accept-Encoding": "identity", "Connection": "keep-alive" if keep else "close"}
        if body is not None or method in _BODIED:
            told["Content-Length"] = str(len(body or b""))
        told |= headers
        # A run of tokens is a token, and a run of values a value: asked once for all of them.
        sound = "" not in told and _TOKEN.fullmatch("".join(told)) and HEADER_VALUE.fullmatch("".join(told.values()))
        if not sound or _PATH.fullmatch(path) is None or _TOKEN.fullmatch(method) is None:
            raise TargetError(
                f"a request to {self.origin} has a header or path that HTTP does not allow",
                code="request_malformed",
                next_step="correct the route or the parameters",
            )
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b"")

    def _connected(self) -> HttpConnection:
        """Connected to an address that was checked; TLS still verifies the name."""
        address = self._address()
        raw = None
        try:
            raw = socket.create_connection((address, self.origin.port), timeout=self._timeout)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.origin.scheme == "https":
                raw = self._context.wrap_socket(raw, server_hostname=self.origin.host)
        except OSError as error:
            if raw is not None:
                raw.close()
            raise TargetError(
                f"{self.origin} cannot be reached: {error}", code="target_unreachable", next_step="bywire doctor"
            ) from error
        return HttpConnection(raw)

    def _address(self) -> str:
        try:
            addresses = list(self._resolve(self.origin.host, self.origin.port))
        except OSError as error:
            raise TargetError(
                f"{self.origin.host} has no address: {error}", code="target_unreachable", next_step="bywire doctor"
            ) from error
        # Every address must be acceptable: a name that also points elsewhere is one that somebody may be rebinding.
        if not addresses or not all(self._allowed(address) for address in addresses):
            raise TargetError(
                f"{self.origin.host} leads to an address that no credential may be sent to",
                code="address_refused",
                next_step="declare the connection `private: true` if it lies on your own network",
            )
        return addresses[0]

    def _allowed(self, address: str) -> bool:
        kind = address_class(address)
        return kind is AddressClass.PUBLIC or (
            self.origin.private and kind in {AddressClass.PRIVATE, AddressClass.LOOPBACK}
        )


def _asked(connection: HttpConnection, message: bytes, deadline: float, abort: Abort) -> Head:
    abort.holds(connection)
    connection.request(message, deadline)
    return connection.head(deadline)


def _host_header(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == _PORTS[origin.scheme] else f"{host}:{origin.port}"
