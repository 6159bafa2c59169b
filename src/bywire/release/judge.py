"""Compare the canary with the stable arm, segment by segment, and say promote, hold or rollback.

The rules, in order; the first that applies is the verdict:
1. harm: the evidence against the canary is conclusive -> rollback, naming the segments;
2. the telemetry cannot be trusted or is missing -> hold;
3. there is too little of it, or the bounds are too wide for the next exposure -> hold;
4. in every segment and metric the upper bound stays within the error budget -> promote.
A hold that lasts too long becomes a rollback: exposure without an answer is not a place to stay.

The judge is pure, total and deterministic: the same rows, in any order, give the same verdict, and no counts, however
empty or absurd, raise. It holds no credential and learns nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bywire.model.telemetry import ArmInterval
from bywire.release import explain
from bywire.release.eprocess import reported
from bywire.release.harm import Harm, find_harm
from bywire.release.judge_policy import JudgePolicy, StepContext
from bywire.release.measure import measure
from bywire.release.sample_ratio import log_split_mismatch
from bywire.release.tally import Pair, StepTally, tally_step
from bywire.release.verdict import AGGREGATE, ReasonCode, SegmentRow, Verdict, VerdictDecision

# An interval without canary requests is a gap only if the canary should have had some.
_EXPECTED_REQUESTS_MIN = 5.0


class _Obstacle(NamedTuple):
    reason: ReasonCode
    segments: tuple[str, ...] = ()
    metric: str = ""


def judge(intervals: Sequence[ArmInterval], policy: JudgePolicy, step: StepContext) -> Verdict:
    """The verdict on one step from its telemetry rows; see the module for the rules. Never raises."""
    tally = tally_step(intervals, step, policy)
    if len(tally.segments) > policy.segments_max:
        tally = tally_step((), step, policy)
        return _verdict(_Obstacle(ReasonCode.TELEMETRY_INVALID), (), Harm(), tally, policy, step)
    harm = find_harm(tally, policy, step)
    if harm.segments:
        return _verdict(None, measure(tally, policy, step, harm.log_e_values), harm, tally, policy, step)
    rows = measure(tally, policy, step, harm.log_e_values, excluded=_excluded(tally, step))
    obstacle = _untrusted(tally, policy, step) or _uncertain(rows, tally, policy, step)
    return _verdict(obstacle, rows, harm, tally, policy, step)


def _excluded(tally: StepTally, step: StepContext) -> tuple[int, ...]:
    """Leave shared incidents out of the bounds, unless nothing would remain."""
    healthy = set(tally.observed(step.weight)) - set(tally.degraded)
    return tally.degraded if healthy else ()


def _untrusted(tally: StepTally, policy: JudgePolicy, step: StepContext) -> _Obstacle | None:
    """Rule 2: reasons not to believe the numbers."""
    if tally.malformed:
        return _Obstacle(ReasonCode.TELEMETRY_INVALID)
    if tally.foreign:
        return _Obstacle(ReasonCode.ARTIFACT_MISMATCH)
    if _gap(tally, step) > policy.gap_intervals_max:
        return _Obstacle(ReasonCode.TELEMETRY_MISSING)
    log_mismatch = log_split_mismatch(
        [(pair.canary.requests, pair.canary.requests + pair.stable.requests) for pair in _totals(tally)],
        weight=step.weight,
        tolerance=policy.share_tolerance,
        dispersion=policy.share_dispersion,
    )
    if reported(log_mismatch) >= 1 / policy.share_alpha:
        return _Obstacle(ReasonCode.SAMPLE_RATIO_MISMATCH)
    observed = tally.observed(step.weight)
    if observed and (observed[-1] in tally.degraded or 2 * len(tally.degraded) > len(observed)):
        return _Obstacle(ReasonCode.CONTROL_DEGRADED)
    return None


def _uncertain(
    rows: Sequence[SegmentRow], tally: StepTally, policy: JudgePolicy, step: StepContext
) -> _Obstacle | None:
    """Rule 3. Every segment must pass on its own (intersection-union), so no correction for their number is due."""
    baked = set(tally.observed(step.weight)) - set(tally.degraded)
    segments = [row for row in rows if row.segment != AGGREGATE]
    small = {row.segment for row in segments if _least_requests(row, step) < policy.requests_min}
    if small or not segments or len(baked) < policy.bake_intervals_min:
        return _Obstacle(ReasonCode.SAMPLE_TOO_SMALL, tuple(sorted(small)))
    for metric in policy.metrics:
        wide = {row.segment for row in rows if row.metric == metric.metric and row.upper > row.tolerance}
        if wide:
            return _Obstacle(ReasonCode.BOUND_TOO_WIDE, tuple(sorted(wide - {AGGREGATE} or wide)), metric.metric)
    return None


def _least_requests(row: SegmentRow, step: StepContext) -> int:
    return row.requests_canary if step.weight >= 100 else min(row.requests_canary, row.requests_stable)


def _totals(tally: StepTally) -> list[Pair]:
    return [tally.total(segment) for segment in (*tally.segments, AGGREGATE)]


def _gap(tally: StepTally, step: StepContext) -> int:
    """Intervals at the end of the step in which the canary should have reported and did not."""
    cells = tally.cells[AGGREGATE]
    last = max((index for index, pair in cells.items() if pair.canary.requests > 0), default=step.started_interval - 1)
    since = [pair.stable.requests for index, pair in cells.items() if index > last]
    share = min(step.weight / 100, 0.99)
    alive = bool(since) and max(cells) >= step.through_interval - 1
    if alive and sum(since) * share / (1 - share) < _EXPECTED_REQUESTS_MIN:
        return 0
    return step.through_interval - last


def _verdict(
    obstacle: _Obstacle | None,
    rows: tuple[SegmentRow, ...],
    harm: Harm,
    tally: StepTally,
    policy: JudgePolicy,
    step: StepContext,
) -> Verdict:
    decision, cause = VerdictDecision.PROMOTE, _Obstacle(ReasonCode.WITHIN_BUDGET)
    if harm.segments:
        decision, cause = VerdictDecision.ROLLBACK, _Obstacle(ReasonCode.HARM_DETECTED, harm.segments, harm.metric)
    elif obstacle:
        decision, cause = VerdictDecision.HOLD, obstacle
    detail = explain.sentence(cause.reason, cause.segments, cause.metric, rows, step)
    if decision is VerdictDecision.HOLD and _elapsed(step) >= policy.hold_intervals_max:
        decision, cause = VerdictDecision.ROLLBACK, cause._replace(reason=ReasonCode.INCONCLUSIVE)
        detail = f"no conclusion after {_elapsed(step)} intervals: {detail}"
    exposed = tally.total(AGGREGATE)
    requests = exposed.canary.requests + exposed.stable.requests
    return Verdict(
        decision=decision,
        reason=cause.reason,
        segments=cause.segments,
        metric=cause.metric,
        rows=rows,
        weight=step.weight,
        next_weight=step.next_weight,
        through_interval=step.through_interval,
        intervals_observed=len(tally.observed(step.weight)),
        intervals_excluded=0 if harm.segments else len(_excluded(tally, step)),
        e_value=reported(harm.log_mean),
        threshold=round(1 / step.level(policy.alpha), 6),
        canary_share=round(exposed.canary.requests / requests, 6) if requests else 0.0,
        exposure_requests=exposed.canary.requests,
        exposure_bad=exposed.canary.errors,
        control="reference" if step.weight >= 100 else "concurrent",
        explanation=detail,
    )


def _elapsed(step: StepContext) -> int:
    return max(step.through_interval - step.started_interval + 1, 0)
