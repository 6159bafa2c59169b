"""One plain sentence for each verdict, with the numbers that decided it."""

from collections.abc import Sequence

from bywire.release.judge_policy import StepContext
from bywire.release.verdict import AGGREGATE, ReasonCode, SegmentRow

_BAD = {"errors": "failed", "slow": "were slow"}
_NAMED_MAX = 4


def sentence(
    reason: ReasonCode, segments: Sequence[str], metric: str, rows: Sequence[SegmentRow], step: StepContext
) -> str:
    """Why the judge says what it says, ready to be shown to a person. Never raises, whatever the rows lack."""
    row = _row(rows, segments, metric)
    if reason in {ReasonCode.HARM_DETECTED, ReasonCode.INCONCLUSIVE} and row:
        others = f" (and {len(segments) - 1} more: {names(segments[1:])})" if len(segments) > 1 else ""
        return harm_sentence(row) + others
    if reason is ReasonCode.BOUND_TOO_WIDE and row:
        what = "more failing requests" if row.metric == "errors" else "more slow requests"
        return (
            f"{names((row.segment,))}: up to {points(row.upper)} points {what} than stable cannot be excluded yet, and "
            f"at most {points(row.tolerance)} are tolerated before {step.next_weight}% of traffic; {row.bad_canary} of "
            f"{row.requests_canary} canary requests against {row.bad_stable} of {row.requests_stable}"
        )
    if reason is ReasonCode.SAMPLE_TOO_SMALL:
        where = f" in {names(segments)}" if segments else ""
        return f"too few requests or intervals{where} at {step.weight}% to judge"
    if reason is ReasonCode.WITHIN_BUDGET:
        return _within_budget(rows, step)
    return _HOLDS.get(reason, "no conclusion").format(weight=step.weight)


def harm_sentence(row: SegmentRow) -> str:
    """Counts, rates, effect, bounds and minimum detectable effect of one row."""
    rate = row.bad_canary / row.requests_canary if row.requests_canary else 0.0
    return (
        f"{names((row.segment,))}: {row.bad_canary} of {row.requests_canary} canary requests "
        f"{_BAD.get(row.metric, 'were bad')} ({rate:.1%}) against {row.bad_stable} of {row.requests_stable} on stable; "
        f"effect {row.effect * 100:+.1f} points [{points(row.lower)}, {points(row.upper)}]; "
        f"minimum detectable effect {points(row.minimum_detectable_effect)} points"
    )


def names(segments: Sequence[str]) -> str:
    """Segments as words; a long list is cut."""
    said = ["all segments" if segment == AGGREGATE else segment for segment in segments]
    rest = len(said) - _NAMED_MAX
    return ", ".join(said[:_NAMED_MAX]) + (f" and {rest} more" if rest > 0 else "")


def points(rate: float) -> str:
    """A difference of rates in percentage points."""
    return f"{rate * 100:.1f}"


_HOLDS = {
    ReasonCode.TELEMETRY_INVALID: "the telemetry holds counts that cannot be true, so nothing is concluded from it",
    ReasonCode.ARTIFACT_MISMATCH: "the canary's requests were served by another artifact than the one being released",
    ReasonCode.TELEMETRY_MISSING: "the canary has sent no telemetry lately, which is never a reason to go on",
    ReasonCode.SAMPLE_RATIO_MISMATCH: (
        "the canary's share of requests does not fit its weight of {weight}%, so the arms are not comparable"
    ),
    ReasonCode.CONTROL_DEGRADED: (
        "the stable arm itself fails far more than before and the canary is no worse: a shared incident"
    ),
}


def _within_budget(rows: Sequence[SegmentRow], step: StepContext) -> str:
    segments = [row for row in rows if row.segment != AGGREGATE]
    worst = max(segments, key=lambda row: (row.upper / row.tolerance, row.segment), default=None)
    if worst is None:
        return "no segment exceeds the tolerance"
    kind = "errors" if worst.metric == "errors" else "slow requests"
    return (
        f"each of {len({row.segment for row in segments})} segments is within tolerance for {step.next_weight}% of "
        f"traffic; closest is {worst.segment} with at most {points(worst.upper)} points more {kind} "
        f"({points(worst.tolerance)} tolerated)"
    )


def _row(rows: Sequence[SegmentRow], segments: Sequence[str], metric: str) -> SegmentRow | None:
    fitting = [row for row in rows if row.segment in segments and metric in {row.metric, ""}]
    return max(fitting, key=lambda row: (row.effect, row.upper), default=None)
