"""Change windows: whether a scheduled change may happen now, and when it may next.

Windows are weekly, at a fixed offset from UTC. No time zone database takes part, so that a decision replays alike
everywhere; where clocks change with the season, the operator changes the offset.
"""

from bywire.model.operator import ChangeWindow

MINUTE_MS = 60_000
DAY_MINUTES = 24 * 60
WEEK_DAYS = 7
# 1970-01-01 was a Thursday; Monday is 0.
_EPOCH_WEEKDAY = 3


def open_window(windows: tuple[ChangeWindow, ...], now_ms: int) -> bool | None:
    """Whether some window is open at `now_ms`; None when the operator configured none."""
    if not windows:
        return None
    return any(_is_open(window, now_ms) for window in windows)


def next_opening_ms(windows: tuple[ChangeWindow, ...], now_ms: int) -> int | None:
    """When the next window opens (`now_ms` itself while one is open); None when there is none."""
    if not windows:
        return None
    return min(_next_ms(window, now_ms) for window in windows)


def _is_open(window: ChangeWindow, now_ms: int) -> bool:
    day, minute = _local(window, now_ms)
    return _weekday(day) in window.days and window.start_minute <= minute < window.end_minute


def _next_ms(window: ChangeWindow, now_ms: int) -> int:
    if _is_open(window, now_ms):
        return now_ms
    day, minute = _local(window, now_ms)
    first = day if minute < window.start_minute else day + 1
    ahead = next(step for step in range(WEEK_DAYS) if _weekday(first + step) in window.days)
    return ((first + ahead) * DAY_MINUTES + window.start_minute - window.utc_offset_minutes) * MINUTE_MS


def _local(window: ChangeWindow, now_ms: int) -> tuple[int, int]:
    """Days since the epoch and minute of the day, on the window's clock."""
    return divmod(now_ms // MINUTE_MS + window.utc_offset_minutes, DAY_MINUTES)


def _weekday(day: int) -> int:
    return (day + _EPOCH_WEEKDAY) % WEEK_DAYS
