"""In which periods things are counted, and when there is room again.

Hours and days are those of the calendar (UTC). A second and a minute slide, as a log does: of entries (t, a),
used(now) is the sum of all a with t > now - period, and `asked` is entered when used(now) + asked <= limit. So no
stretch of a period's length holds more than the limit, wherever it begins: whichever of its entries came last was
entered while all the others counted. There is no turn of the minute at which twice as much would fit.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

SECOND, MINUTE, HOUR, DAY = "second", "minute", "hour", "day"
PERIOD_MS: Mapping[str, int] = MappingProxyType({SECOND: 1_000, MINUTE: 60_000, HOUR: 3_600_000, DAY: 86_400_000})
SLIDING = (SECOND, MINUTE)
LONGEST_SLIDING_MS = PERIOD_MS[MINUTE]
# (when in ms since the epoch, how much).
Entry: TypeAlias = tuple[int, int]


def room_at(entries: Iterable[Entry], period: str, limit: int, asked: int, now_ms: int) -> int | None:
    """When there is first room for `asked`, if nobody else takes it: now or later; None for more than the limit."""
    if asked > limit:
        return None
    kept = sorted(entry for entry in entries if entry[0] > now_ms - PERIOD_MS[period])
    left, free_ms = sum(amount for _, amount in kept), now_ms
    for at_ms, amount in kept:
        if left + asked <= limit:
            break
        left, free_ms = left - amount, at_ms + PERIOD_MS[period]
    return free_ms


def next_period_ms(period: str, now_ms: int) -> int:
    """When the hour or day ends that `now_ms` lies in."""
    return (now_ms // PERIOD_MS[period] + 1) * PERIOD_MS[period]
