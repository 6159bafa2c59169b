"""Telemetry rows of one step, added up: per segment, arm and interval, with what is wrong about them.

Nothing is ever pooled across steps: the weight changes the mix of traffic in each arm, and rates pooled over different
mixes can point the wrong way (Simpson's paradox). Rows of another weight or outside the step's intervals do not count.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bywire.model.telemetry import ArmInterval
from bywire.release.eprocess import ArmCounts
from bywire.release.judge_policy import JudgePolicy, Metric, ReferenceCounts, StepContext
from bywire.release.verdict import AGGREGATE

COUNT_MAX = 10**15
_INCIDENT_REQUESTS_MIN = 20


class Counts(msgspec.Struct, frozen=True):
    """Requests of one arm, and how many of them were bad in which way."""

    requests: int = 0
    errors: int = 0
    slow: int = 0

    def bad(self, metric: Metric) -> int:
        """The bad requests of one metric."""
        return self.errors if metric == "errors" else self.slow

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.requests + other.requests, self.errors + other.errors, self.slow + other.slow)


NOTHING = Counts()


class Pair(msgspec.Struct, frozen=True):
    """Both arms in one interval."""

    canary: Counts = NOTHING
    stable: Counts = NOTHING

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(self.canary + other.canary, self.stable + other.stable)

    def arm_counts(self, metric: Metric) -> ArmCounts:
        """What the e-process reads."""
        return ArmCounts(self.canary.requests, self.canary.bad(metric), self.stable.requests, self.stable.bad(metric))


class StepTally(msgspec.Struct, frozen=True):
    """The step's counts: `cells[segment][interval]`, with `*` for all segments; segments in alphabetical order.

    `degraded` are the intervals of a shared incident (the stable arm far worse than its reference). `malformed` counts
    rows that cannot be true, `foreign` canary requests that another artifact served.
    """

    segments: tuple[str, ...]
    cells: dict[str, dict[int, Pair]]
    degraded: tuple[int, ...]
    malformed: int
    foreign: int

    def total(self, segment: str, *, excluded: Iterable[int] = ()) -> Pair:
        """The segment's counts over the step, without the intervals excluded."""
        left_out = frozenset(excluded)
        return sum((pair for index, pair in self.cells[segment].items() if index not in left_out), start=Pair())

    def observed(self, weight: int) -> tuple[int, ...]:
        """The intervals in which both arms reported (the canary alone, when it serves everything)."""
        return tuple(
            index
            for index, pair in self.cells[AGGREGATE].items()
            if pair.canary.requests > 0 and (pair.stable.requests > 0 or weight >= 100)
        )


def tally_step(intervals: Sequence[ArmInterval], step: StepContext, policy: JudgePolicy) -> StepTally:
    """Add up the rows that belong to the step. Rows of several sources for the same cell are summed."""
    rows = [row for row in intervals if _in_step(row, step)]
    sound = [row for row in rows if _sound(row)]
    cells: dict[str, dict[int, Pair]] = {}
    by_cell: defaultdict[tuple[str, int], Pair] = defaultdict(Pair)
    for row in sound:
        counts = Counts(row.requests, row.errors, row.slow)
        pair = Pair(canary=counts) if row.arm == "canary" else Pair(stable=counts)
        by_cell[row.segment, row.interval] += pair
        by_cell[AGGREGATE, row.interval] += pair
    for segment, index in sorted(by_cell):
        cells.setdefault(segment, {})[index] = by_cell[segment, index]
    for segment in (*step.segments, AGGREGATE):
        cells.setdefault(segment, {})
    foreign = sum(
        row.requests for row in sound if row.arm == "canary" and step.artifact and row.digest != step.artifact
    )
    return StepTally(
        segments=tuple(sorted(cells.keys() - {AGGREGATE})),
        cells=cells,
        degraded=_degraded(cells[AGGREGATE], step, policy),
        malformed=len(rows) - len(sound),
        foreign=foreign,
    )


def reference_by_segment(reference: Iterable[ReferenceCounts]) -> dict[str, Counts]:
    """The reference as counts, with `*` for all segments."""
    found: defaultdict[str, Counts] = defaultdict(Counts)
    for row in reference:
        counts = Counts(row.requests, row.errors, row.slow)
        found[row.segment] += counts
        found[AGGREGATE] += counts
    return dict(found)


def _in_step(row: ArmInterval, step: StepContext) -> bool:
    if not step.started_interval <= row.interval <= step.through_interval:
        return False
    if step.segments and row.segment not in step.segments:
        return False
    # Weights of steps are whole percents; a row of another weight was measured under another step or a decayed lease.
    return not math.isfinite(row.weight) or abs(row.weight - step.weight) < 0.5


def _sound(row: ArmInterval) -> bool:
    return (
        row.arm in {"canary", "stable"}
        and row.segment != AGGREGATE
        and math.isfinite(row.weight)
        and 0 <= row.errors <= row.requests <= COUNT_MAX
        and 0 <= row.slow <= row.requests
    )


def _degraded(cells: Mapping[int, Pair], step: StepContext, policy: JudgePolicy) -> tuple[int, ...]:
    """Chosen by the stable arm alone, so that leaving these intervals out cannot hide what the canary does."""
    counts = reference_by_segment(row for row in step.reference if not step.segments or row.segment in step.segments)
    before = counts.get(AGGREGATE, NOTHING)
    if before.requests <= 0:
        return ()
    limit = before.errors / before.requests + policy.control_degraded_delta
    return tuple(
        index
        for index, pair in cells.items()
        if pair.stable.requests >= _INCIDENT_REQUESTS_MIN and pair.stable.errors / pair.stable.requests > limit
    )
