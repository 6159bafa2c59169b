"""What a rollout report is drawn from: verdicts over time, and where each is recorded in the ledger."""

import msgspec

from bywire.release.verdict import SegmentRow, Verdict


class HistoryPoint(msgspec.Struct, frozen=True):
    """The judge's table after one interval, at the canary weight (percent) of its step."""

    interval: int
    weight: int
    rows: tuple[SegmentRow, ...]


class VerdictEvent(msgspec.Struct, frozen=True):
    """A verdict worth marking. `entry` is its ledger index, -1 when it has none."""

    interval: int
    weight: int
    decision: str
    reason: str
    segments: tuple[str, ...]
    explanation: str
    entry: int = -1


class RolloutHistory(msgspec.Struct, frozen=True):
    """One rollout from first exposure to its end.

    `artifact` is a sha256 hex digest; `outcome` a final phase such as `RolledBack` (or the present one); `metric` the
    one that is drawn. Points and events are in the order of time.
    """

    title: str
    service: str
    environment: str
    artifact: str
    interval_seconds: float
    points: tuple[HistoryPoint, ...]
    events: tuple[VerdictEvent, ...]
    outcome: str
    exposure_requests: int = 0
    exposure_bad: int = 0
    metric: str = "errors"


def point_from_verdict(verdict: Verdict) -> HistoryPoint:
    """The point that a verdict adds."""
    return HistoryPoint(interval=verdict.through_interval, weight=verdict.weight, rows=verdict.rows)


def event_from_verdict(verdict: Verdict, entry: int = -1) -> VerdictEvent:
    """The marker that a verdict adds; `entry` is the ledger index under which it was recorded."""
    return VerdictEvent(
        interval=verdict.through_interval,
        weight=verdict.weight,
        decision=verdict.decision.value,
        reason=verdict.reason.value,
        segments=verdict.segments,
        explanation=verdict.explanation,
        entry=entry,
    )
