"""Reading a child's streams without ever blocking it and without keeping more than a limit."""

import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Mapping

_CHUNK_BYTES = 65_536


class BoundedOutput:
    """The first and the last half of a stream, `limit_bytes` in all."""

    def __init__(self, limit_bytes: int) -> None:
        self._half = max(1, limit_bytes // 2)
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        """Keep `chunk` or forget older bytes between head and tail for it."""
        room = self._half - len(self._head)
        self._head += chunk[:room]
        rest = chunk[room:]
        if not rest:
            return
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        while self._tail_bytes - len(self._tail[0]) >= self._half:
            gone = len(self._tail.popleft())
            self._tail_bytes -= gone
            self._dropped += gone

    def text(self) -> str:
        """What was kept, with a line that says how much was left out."""
        tail = b"".join(self._tail)
        cut = max(0, len(tail) - self._half)
        omitted = self._dropped + cut
        middle = f"\n... {omitted} bytes left out ...\n".encode() if omitted else b""
        return (bytes(self._head) + middle + tail[cut:]).decode("utf-8", "replace")


def pump(
    streams: Mapping[int, BoundedOutput], deadline: float, on_deadline: Callable[[], None], grace_seconds: float
) -> None:
    """Read all `streams` (descriptors) to their end.

    Past `deadline` (monotonic seconds) call `on_deadline` once, read what is left for `grace_seconds`, and return even
    if some process still holds a stream open.
    """
    expired = False
    with selectors.DefaultSelector() as selector:
        for descriptor in streams:
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                if expired:
                    return
                expired, deadline = True, time.monotonic() + grace_seconds
                on_deadline()
                continue
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, _CHUNK_BYTES)
                if chunk:
                    streams[key.fd].add(chunk)
                else:
                    selector.unregister(key.fd)
