"""HTTP to one origin and no other: the address that was checked is the one that is connected to (RULES 23).

No redirect is followed, no proxy or netrc of the environment is read, no header of a caller is forwarded. Answers are
bounded in time and size. A name that resolves to a link-local, multicast or unspecified address is refused always, one
that resolves to a loopback or private address unless the operator declared the origin private.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bywire.model.errors import ConfigError, TargetError

TIMEOUT_SECONDS = 20.0
ANSWER_BYTES_MAX = 8 * 1024 * 1024
_PART_BYTES = 65_536
_PORTS = {"https": 443, "http": 80}

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
    """What came back."""

    status: int
    body: bytes


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


class _HurriedReads(io.RawIOBase):
    """Reads of a socket that end together at one deadline: an origin that drips, head or body, holds nothing up."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        super().__init__()
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What has come, or TimeoutError."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole answer is over")
        self._raw.settimeout(left)
        return self._raw.recv_into(buffer)

    def close(self) -> None:
        """The socket, too."""
        self._raw.close()
        super().close()


class _Hurried:
    """A socket as `http.client` uses one. Closed by its reader once there is one, which may outlive the connection."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._deadline = deadline
        self._is_read = False

    def sendall(self, data: bytes) -> None:
        """Everything, within the socket's own time."""
        self._raw.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What the answer is read from."""
        self._is_read = True
        return io.BufferedReader(_HurriedReads(self._raw, self._deadline))

    def close(self) -> None:
        """The socket, unless its reader does."""
        if not self._is_read:
            self._raw.close()


class PinnedHttp:
    """Requests to one origin."""

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

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request, one answer.

        TargetError when nothing was sent or the answer is refused; TimeoutError when nobody knows whether it arrived.
        """
        connection = self._connection(time.monotonic() + self._timeout)
        try:
            connection.request(method, path, body=body, headers={"Host": self._host(), **headers})
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise TimeoutError(f"{self.origin}: {error}") from error
        try:
            with closing(connection.getresponse()) as response:
                content = self._content(response)
        except (OSError, http.client.HTTPException) as error:
            raise TimeoutError(f"{self.origin} gave no whole answer: {error}") from error
        finally:
            connection.close()
        return self._accepted(response.status, content)

    def _content(self, response: http.client.HTTPResponse) -> bytes:
        """The whole body: one that ends before its announced length is none."""
        content = b""
        while len(content) <= ANSWER_BYTES_MAX:
            part = response.read1(_PART_BYTES)
            if not part:
                if response.length:
                    raise TimeoutError(f"{response.length} bytes are missing")
                return content
            content += part
        return content

    def _accepted(self, status: int, content: bytes) -> Answer:
        if len(content) > ANSWER_BYTES_MAX:
            raise TimeoutError(f"{self.origin} answered more than {ANSWER_BYTES_MAX} bytes")
        if 300 <= status < 400:
            raise TargetError(
                f"{self.origin} redirects, and a credential goes nowhere else",
                code="redirect_refused",
                next_step="name the final origin and path in `connections`",
            )
        return Answer(status=status, body=content)

    def _connection(self, deadline: float) -> http.client.HTTPConnection:
        """Connected to an address that was checked; TLS still verifies the name."""
        address = self._address()
        try:
            raw = socket.create_connection((address, self.origin.port), timeout=self._timeout)
            if self.origin.scheme == "https":
                raw = self._context.wrap_socket(raw, server_hostname=self.origin.host)
        except OSError as error:
            raise TargetError(
                f"{self.origin} cannot be reached: {error}", code="target_unreachable", next_step="bywire doctor"
            ) from error
        connection = http.client.HTTPConnection(self.origin.host, self.origin.port, timeout=self._timeout)
        connection.sock = _Hurried(raw, deadline)
        return connection

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
        found = ipaddress.ip_address(address.partition("%")[0])
        # An IPv6 address that stands for an IPv4 address leads where that one does.
        found = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None) or found
        if found.is_link_local or found.is_multicast or found.is_unspecified or found.is_reserved:
            return False
        if getattr(found, "is_site_local", False) and not self.origin.private:
            return False
        return self.origin.private or found.is_global

    def _host(self) -> str:
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        default = self.origin.port == _PORTS[self.origin.scheme]
        return host if default else f"{host}:{self.origin.port}"
