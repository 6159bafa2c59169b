"""One HTTP/1.1 connection as a client: one request at a time, every answer bounded in time and in size of its head.

The parser is llhttp in its strict mode. What an origin sends beyond an answer is never taken for the next one: such a
connection is not used again.
"""

import select
import socket
import time
from collections.abc import Iterator, Mapping

import httptools
import msgspec

HEAD_BYTES_MAX = 65_536
HEADERS_MAX = 128
INTERIM_MAX = 8
SKIPPED_BYTES_MAX = 65_536
_PART_BYTES = 65_536


class Head(msgspec.Struct, frozen=True):
    """Status and headers of an answer; names in lower case, the first of equal names wins."""

    status: int
    headers: Mapping[str, str]


class _Parsed:
    """What the parser tells: llhttp calls these methods."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.head_done = self.complete = self.beyond = self.keeps = False
        self.count = self.interim = 0
        self.body: list[bytes] = []
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self.beyond = self.beyond or self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count += 1
        if self.count > HEADERS_MAX:
            raise OSError("it sends too many headers")
        if not self.head_done:
            self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.head_done = self.parser.get_status_code() >= 200
            self.keeps = bool(self.parser.should_keep_alive())

    def on_body(self, part: bytes) -> None:
        if not self.beyond:
            self.body.append(part)

    def on_message_complete(self) -> None:
        if self.head_done or self.complete:
            self.complete = True
            return
        self.interim += 1
        self.headers.clear()
        if self.interim > INTERIM_MAX:
            raise OSError("it never stops continuing")


class HttpConnection:
    """A connected socket. Errors are OSError: nobody knows then what the other side understood."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._parsed = _Parsed()
        self._keeps = self._ends = False

    def request(self, message: bytes, deadline: float) -> None:
        """Send a whole request; `deadline` is of `time.monotonic`."""
        self._parsed, self._keeps, self._ends = _Parsed(), False, False
        self._raw.settimeout(_left(deadline))
        self._raw.sendall(message)

    def head(self, deadline: float) -> Head:
        """Status and headers. ConnectionResetError when it was closed before it said anything."""
        parsed, taken = self._parsed, 0
        while not parsed.head_done:
            part = self._receive(deadline)
            if not part:
                raise ConnectionResetError("closed before it answered") if not taken else OSError("its head has no end")
            taken += len(part)
            self._feed(part)
            if taken > HEAD_BYTES_MAX and not parsed.head_done:
                raise OSError(f"its head is longer than {HEAD_BYTES_MAX} bytes")
        return Head(parsed.parser.get_status_code(), parsed.headers)

    def parts(self, deadline: float) -> Iterator[bytes]:
        """The body as it comes. One that ends before its announced end is none: OSError."""
        parsed, had = self._parsed, 0
        while True:
            while parsed.body:
                part = parsed.body.pop(0)
                had += len(part)
                yield part
            if parsed.complete:
                self._keeps = parsed.keeps and not parsed.beyond
                return
            part = self._receive(deadline)
            if not part:
                self._ended(had)
                return
            self._feed(part)

    def has_enough(self) -> None:
        """Its reader needs no more of the answer: what is left of it, a little, may be skipped."""
        self._ends = True

    def is_quiet(self, *, soon: bool = False) -> bool:
        """Whether it may carry another request: the last answer is whole, and nothing came after it.

        `soon`: or the answer has nothing left that its reader wanted, so that it will be whole in a moment.
        """
        if soon:  # it is looked at again before it is used
            return self._ends or self._keeps
        if self._ends and not self._keeps and not self._skipped():
            return False
        return self._keeps and not self._is_readable()

    def abort(self) -> None:
        """Wake up whoever reads from it, from any thread; it is of no use any more."""
        self._keeps = self._ends = False
        try:
            socket.socket.shutdown(self._raw, socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Give the socket back."""
        self._keeps = self._ends = False
        self._raw.close()

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self._raw, select.POLLIN | select.POLLHUP | select.POLLERR)
        pending = getattr(self._raw, "pending", None)
        return bool(poll.poll(0) or (pending and pending()))

    def _skipped(self) -> bool:
        """Read the rest of an answer that is here already; whether it is whole now."""
        parsed, left = self._parsed, SKIPPED_BYTES_MAX
        try:
            while not parsed.complete and left > 0 and self._is_readable():
                part = self._receive(time.monotonic() + 1)
                left -= len(part)
                if not part:
                    break
                self._feed(part)
        except OSError:
            return False
        self._keeps = parsed.complete and parsed.keeps and not parsed.beyond
        return self._keeps

    def _receive(self, deadline: float) -> bytes:
        self._raw.settimeout(_left(deadline))
        return self._raw.recv(_PART_BYTES)

    def _feed(self, part: bytes) -> None:
        try:
            self._parsed.parser.feed_data(part)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            raise cause if isinstance(cause, OSError) else OSError(f"it does not speak HTTP: {error}") from error

    def _ended(self, had: int) -> None:
        headers = self._parsed.headers
        if "chunked" in headers.get("transfer-encoding", "").lower():
            raise OSError("it ended in the middle: the end of the body is missing")
        if "content-length" in headers:
            raise OSError(f"{int(headers['content-length']) - had} bytes are missing")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for the whole answer is over")
    return left
