"""What telemetry has to send waits here, bounded, and is sent by a thread of its own: no call ever waits for it.

A full queue refuses what is new; a batch that cannot be sent is tried a few times and then given up. Both are counted,
so that whoever reads the metrics knows what the receiver does not.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from bywire.model.ask import CallRecord
from bywire.model.errors import BywireError

BATCH_MAX = 256
LOOK_SECONDS = 0.25
ATTEMPTS = 3
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 8.0
# How long the end of the process waits for what is left.
FLUSH_SECONDS = 3.0

Send = Callable[[Sequence[CallRecord]], None]


class Outbox:
    """`model.ask.Observer` before one receiver. `send` blocks, and raises OSError or an error of ours when it fails."""

    def __init__(self, name: str, send: Send, queue_max: int, close: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.dropped = 0
        self.lost = 0
        self.sent = 0
        self._send = send
        self._close = close
        self._queue: deque[CallRecord] = deque()
        self._queue_max = queue_max
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"bywire-telemetry-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many records wait."""
        return len(self._queue)

    def observed(self, record: CallRecord) -> None:
        """Keep it to be sent, unless too many wait."""
        with self._counting:
            if len(self._queue) >= self._queue_max or self._stop.is_set():
                self.dropped += 1
                return
            self._queue.append(record)
        # Nobody is woken for one record: that would cost its call more than the rest of this.
        if len(self._queue) == BATCH_MAX:
            self._wake.set()

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Send what is left, for at most so long; what then remains is lost and counted."""
        with self._counting:
            self._stop.set()
        self._wake.set()
        self._thread.join(seconds)
        with self._counting:
            self.lost += len(self._queue)
            self._queue.clear()
        if not self._thread.is_alive():
            self._close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while batch := self._taken():
            if self._delivered(batch):
                self.sent += len(batch)
            else:
                self.lost += len(batch)

    def _taken(self) -> list[CallRecord]:
        with self._counting:
            return [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]

    def _delivered(self, batch: list[CallRecord]) -> bool:
        pause = PAUSE_SECONDS
        for attempt in range(ATTEMPTS):
            try:
                self._send(batch)
            except (OSError, BywireError):
                if attempt + 1 == ATTEMPTS or self._stop.wait(pause):
                    return False
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
            except Exception:  # noqa: BLE001  a record that cannot be told must not end the telling of others; counted
                return False
            else:
                return True
        return False
