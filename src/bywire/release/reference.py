"""What the stable arm was like before: the yardstick where no concurrent control exists, and the source of phi."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from bywire.model.telemetry import ArmInterval
from bywire.release.judge_policy import JudgePolicy, Metric, ReferenceCounts
from bywire.release.tally import Counts
from bywire.release.verdict import AGGREGATE, Verdict

DISPERSION_MAX = 10.0
_INTERVALS_MIN = 10


def reference_from_rows(intervals: Iterable[ArmInterval]) -> tuple[ReferenceCounts, ...]:
    """The stable arm's counts per segment. Rows that cannot be true are left out."""
    found: defaultdict[str, Counts] = defaultdict(Counts)
    for row in _stable(intervals):
        found[row.segment] += Counts(row.requests, row.errors, row.slow)
    return tuple(
        ReferenceCounts(segment=segment, requests=counts.requests, errors=counts.errors, slow=counts.slow)
        for segment, counts in sorted(found.items())
    )


def reference_from_verdict(verdict: Verdict, earlier: Iterable[ReferenceCounts] = ()) -> tuple[ReferenceCounts, ...]:
    """The stable arm over a promoted step; segments that the step did not cover keep their earlier reference."""
    found = {row.segment: row for row in earlier}
    if verdict.control != "concurrent":
        return tuple(found[segment] for segment in sorted(found))
    bad = {(row.segment, row.metric): row.bad_stable for row in verdict.rows}
    for row in verdict.rows:
        if row.segment != AGGREGATE:
            found[row.segment] = ReferenceCounts(
                segment=row.segment,
                requests=row.requests_stable,
                errors=bad.get((row.segment, "errors"), 0),
                slow=bad.get((row.segment, "slow"), 0),
            )
    return tuple(found[segment] for segment in sorted(found))


def pearson_dispersion(intervals: Iterable[ArmInterval], metric: Metric) -> float:
    """Dispersion phi of the stable arm: Pearson's chi-square over its degrees of freedom, per segment and interval.

    1.0 when there are fewer than ten intervals with a bad request to learn from; never below 1 nor above 10. A baseline
    that drifts raises it, which errs on the side of caution (McCullagh and Nelder, Generalized Linear Models, 4.5).
    """
    by_segment: defaultdict[str, list[ArmInterval]] = defaultdict(list)
    for row in _stable(intervals):
        if row.requests > 0:
            by_segment[row.segment].append(row)
    chi_square, freedom = 0.0, 0
    for rows in by_segment.values():
        requests = sum(row.requests for row in rows)
        bad = sum(_bad(row, metric) for row in rows)
        rate = bad / requests
        if len(rows) < _INTERVALS_MIN or not 0 < rate < 1:
            continue
        chi_square += math.fsum(
            (_bad(row, metric) - row.requests * rate) ** 2 / (row.requests * rate * (1 - rate)) for row in rows
        )
        freedom += len(rows) - 1
    return min(max(chi_square / freedom, 1.0), DISPERSION_MAX) if freedom else 1.0


def calibrated(policy: JudgePolicy, history: Sequence[ArmInterval]) -> JudgePolicy:
    """The policy with each dispersion raised to what `history` (before any exposure) shows; never lowered."""
    metrics = tuple(
        msgspec.structs.replace(metric, dispersion=max(metric.dispersion, pearson_dispersion(history, metric.metric)))
        for metric in policy.metrics
    )
    return msgspec.structs.replace(policy, metrics=metrics)


def _stable(intervals: Iterable[ArmInterval]) -> list[ArmInterval]:
    return [
        row
        for row in intervals
        if row.arm == "stable" and 0 <= row.errors <= row.requests and 0 <= row.slow <= row.requests
    ]


def _bad(row: ArmInterval, metric: Metric) -> int:
    return row.errors if metric == "errors" else row.slow
