"""A witness spoken to over HTTP: one address from the operator's file, one deadline for everything, no redirects.

The whole answer is read under one absolute deadline and one size limit, so that a witness that trickles or floods costs
a known time and no more. Plain HTTP reaches loopback only; every other host needs TLS with a certificate that verifies.
No proxy of the environment is used and no credential is sent.
"""

import http.client
import io
import socket
import ssl
import time
from urllib.parse import urlsplit

from bywire.ledger.checkpoint import NOTE_BYTES_MAX
from bywire.ledger.witness import Answer, origin_hash
from bywire.model.errors import BywireError, EvidenceError

ANSWER_BYTES_MAX = NOTE_BYTES_MAX * 4 + 65_536
CALL_SECONDS = 3.0
_NOT_FOUND = 404
_CHUNK = 65_536


class HttpWitness:
    """`ledger.witness.WitnessPlace` at `url`, its submission and monitoring prefix."""

    answers_later = False

    def __init__(self, url: str, call_seconds: float = CALL_SECONDS) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._authority = parts.netloc
        self._prefix = parts.path.rstrip("/")
        self._seconds = call_seconds

    def latest(self, origin: str) -> str | None:
        """GET the last checkpoint it cosigned."""
        answer = self._call("GET", f"/{origin_hash(origin)}/checkpoint", b"")
        if answer.status == _NOT_FOUND:
            return None
        if answer.status != http.client.OK:
            raise _unreachable(f"it answered with status {answer.status}")
        return answer.body.decode("utf-8", "replace")

    def add_checkpoint(self, origin: str, request: bytes) -> Answer | None:
        """POST the checkpoint of `origin`, which the request carries itself."""
        del origin
        return self._call("POST", "/add-checkpoint", request)

    def _call(self, method: str, path: str, body: bytes) -> Answer:
        head = (
            f"{method} {self._prefix}{path} HTTP/1.1\r\nHost: {self._authority}\r\nConnection: close\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        deadline = time.monotonic() + self._seconds
        try:
            with self._connected(deadline) as channel:
                channel.sendall(head.encode("ascii") + body)
                raw = _read_all(channel, deadline)
            response = http.client.HTTPResponse(_Received(raw), method=method)  # type: ignore[arg-type]
            response.begin()
            return Answer(status=response.status, body=response.read())
        except (OSError, http.client.HTTPException, ValueError, OverflowError) as error:
            raise _unreachable(str(error) or type(error).__name__) from error

    def _connected(self, deadline: float) -> socket.socket:
        channel = socket.create_connection((self._host, self._port), timeout=_left(deadline))
        try:
            channel.settimeout(_left(deadline))
            if self._tls:
                return ssl.create_default_context().wrap_socket(channel, server_hostname=self._host)
        except BaseException:
            channel.close()
            raise
        return channel


class _Received:
    """What `http.client` reads a response from: bytes that are all there."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _read_all(channel: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while True:
        channel.settimeout(_left(deadline))
        chunk = channel.recv(_CHUNK)
        if not chunk:
            return bytes(received)
        received += chunk
        if len(received) > ANSWER_BYTES_MAX:
            raise ValueError(f"it answered with more than {ANSWER_BYTES_MAX} bytes")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it did not answer in time")
    return left


def _unreachable(why: str) -> BywireError:
    return EvidenceError(
        f"the witness did not answer: {why}",
        code="witness_unreachable",
        next_step="start the witness, or correct its url in operator.yaml",
    )
