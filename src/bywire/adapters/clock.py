"""The clock, the only place where wall time is read. `now` never runs backwards (RULES 27)."""

import threading
import time
from collections.abc import Callable


class HighWaterClock:
    """Wall time in ms, never below a persisted high-water mark.

    `persisted` is the mark the database holds at start; the journal persists a newer one with every transaction.
    """

    def __init__(self, persisted_ms: int = 0, wall: Callable[[], float] = time.time) -> None:
        self._high = persisted_ms
        self._wall = wall
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """Milliseconds since the epoch; at least what was ever returned or persisted."""
        with self._lock:
            self._high = max(self._high, int(self._wall() * 1000))
            return self._high


def pause(seconds: float) -> None:
    """Wait; only the outermost loops of the faces do."""
    time.sleep(seconds)


def elapsed_ns() -> int:
    """Nanoseconds of a clock that only measures how long something took."""
    return time.perf_counter_ns()
