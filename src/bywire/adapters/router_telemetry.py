"""Counts per interval, arm, segment and digest: what the judge reads, kept in memory for a bounded time.

Only closed intervals are shown, and a closed interval never changes: a request is counted when it ends.
"""

from bywire.model.telemetry import ArmInterval

INTERVALS_MAX = 3_600


class _Count:
    __slots__ = ("errors", "latency_ms_sum", "requests", "slow", "weight_sum")

    def __init__(self) -> None:
        self.requests = self.errors = self.slow = 0
        self.latency_ms_sum = self.weight_sum = 0.0


class TrafficCounts:
    """`interval_seconds` long intervals since the epoch; the last `INTERVALS_MAX` are kept."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._intervals: dict[int, dict[tuple[str, str, str], _Count]] = {}

    def interval(self, now_ms: int) -> int:
        """The index of the interval that runs at `now_ms`."""
        return int(now_ms // (self.interval_seconds * 1000))

    def add(
        self,
        now_ms: int,
        arm: str,
        segment: str,
        digest: str,
        *,
        error: bool,
        slow: bool,
        latency_ms: float,
        weight: float,
    ) -> None:
        """Count one finished request; `weight` is the canary's share of its segment when it arrived."""
        interval = self.interval(now_ms)
        rows = self._intervals.get(interval)
        if rows is None:
            rows = self._intervals[interval] = {}
            self._forget(interval - INTERVALS_MAX)
        count = rows.get((arm, segment, digest))
        if count is None:
            count = rows[arm, segment, digest] = _Count()
        count.requests += 1
        count.errors += error
        count.slow += slow
        count.latency_ms_sum += latency_ms
        count.weight_sum += weight

    def rows(self, since: int, now_ms: int, rows_max: int) -> tuple[list[ArmInterval], int]:
        """Closed intervals from `since` on, whole intervals only, about `rows_max` rows.

        Returns them and the next index to ask for.
        """
        closed_before = self.interval(now_ms)
        found: list[ArmInterval] = []
        for interval in sorted(index for index in self._intervals if since <= index < closed_before):
            if len(found) >= rows_max:
                return found, interval
            rows = sorted(self._intervals[interval].items())
            found += [_row(interval, arm, segment, digest, count) for (arm, segment, digest), count in rows]
        return found, max(since, closed_before)

    def _forget(self, oldest: int) -> None:
        for interval in [index for index in self._intervals if index <= oldest]:
            del self._intervals[interval]


def _row(interval: int, arm: str, segment: str, digest: str, count: _Count) -> ArmInterval:
    latency = round(count.latency_ms_sum, 3)
    weight = round(count.weight_sum / count.requests, 4)
    return ArmInterval(interval, arm, segment, digest, count.requests, count.errors, count.slow, latency, weight)
