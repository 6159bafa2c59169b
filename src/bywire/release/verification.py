"""Did the end of a rollout really happen? Telemetry decides, not the answer of the tool that was asked to do it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from bywire.model.telemetry import ArmInterval
from bywire.release.bounds import risk_difference
from bywire.release.judge_policy import JudgePolicy, ReferenceCounts
from bywire.release.tally import NOTHING, Counts, reference_by_segment
from bywire.release.verdict import AGGREGATE


class Finding(StrEnum):
    """What the telemetry shows so far."""

    PROVED = "proved"
    OPEN = "open"
    REFUTED = "refuted"


class Expectation(msgspec.Struct, frozen=True):
    """What should be seen from `since_interval` on: only `digest` serves, no canary traffic, a healthy error rate.

    `intervals_min` is the number of observed intervals in a row that prove it; `rate_delta` the tolerated rise of the
    error rate over `reference` (or over zero when nothing is known).
    """

    digest: str
    since_interval: int
    through_interval: int
    intervals_min: int
    rate_delta: float
    reference: tuple[ReferenceCounts, ...]


def verify(intervals: Iterable[ArmInterval], expected: Expectation, policy: JudgePolicy) -> Finding:
    """Look at the latest `intervals_min` observed intervals; anything amiss in them keeps the question open.

    Refuted when some segment is beyond doubt worse than its reference (lower bound of the increase above `rate_delta`),
    which no further waiting cures.
    """
    by_interval: defaultdict[int, list[ArmInterval]] = defaultdict(list)
    for row in intervals:
        if expected.since_interval <= row.interval <= expected.through_interval and row.requests > 0:
            by_interval[row.interval].append(row)
    latest = sorted(by_interval)[-expected.intervals_min :]
    rows = [row for index in latest for row in by_interval[index]]
    reference = reference_by_segment(expected.reference)
    counts = _stable_counts(rows)
    if _worse(counts, reference, expected, policy):
        return Finding.REFUTED
    settled = all(row.arm == "stable" and row.digest == expected.digest for row in rows)
    if len(latest) < expected.intervals_min or not settled:
        return Finding.OPEN
    rise = _rate(counts.get(AGGREGATE, NOTHING)) - _rate(reference.get(AGGREGATE, NOTHING))
    return Finding.PROVED if rise <= expected.rate_delta else Finding.OPEN


def exposed(intervals: Iterable[ArmInterval], since_interval: int, artifact: str) -> tuple[int, int]:
    """(requests, failed) that the artifact served as canary since an interval, whatever became of it."""
    rows = [
        row
        for row in intervals
        if row.arm == "canary" and row.interval >= since_interval and row.digest == artifact and row.requests > 0
    ]
    return sum(row.requests for row in rows), sum(min(max(row.errors, 0), row.requests) for row in rows)


def _stable_counts(rows: Sequence[ArmInterval]) -> dict[str, Counts]:
    found: defaultdict[str, Counts] = defaultdict(Counts)
    for row in rows:
        if row.arm == "stable":
            counts = Counts(row.requests, min(max(row.errors, 0), row.requests), 0)
            found[row.segment] += counts
            found[AGGREGATE] += counts
    return dict(found)


def _worse(counts: dict[str, Counts], reference: dict[str, Counts], expected: Expectation, policy: JudgePolicy) -> bool:
    dispersion = max((metric.dispersion for metric in policy.metrics if metric.metric == "errors"), default=1.0)
    return any(
        risk_difference(
            (now.errors, now.requests),
            (reference.get(segment, NOTHING).errors, reference.get(segment, NOTHING).requests),
            alpha=policy.alpha / len(counts),
            dispersion=dispersion,
        ).lower
        > expected.rate_delta
        for segment, now in counts.items()
    )


def _rate(counts: Counts) -> float:
    return counts.errors / counts.requests if counts.requests else 0.0
