"""The table behind a verdict: per segment and metric the counts, the effect, its bounds and what could be detected."""

from collections.abc import Iterable, Mapping

from bywire.release.bounds import minimum_detectable_effect, risk_difference
from bywire.release.eprocess import reported
from bywire.release.judge_policy import JudgePolicy, MetricPolicy, StepContext
from bywire.release.tally import NOTHING, Counts, StepTally, reference_by_segment
from bywire.release.verdict import AGGREGATE, SegmentRow

_DIGITS = 6


def measure(
    tally: StepTally,
    policy: JudgePolicy,
    step: StepContext,
    log_e_values: Mapping[tuple[str, str], float],
    *,
    excluded: Iterable[int] = (),
) -> tuple[SegmentRow, ...]:
    """Rows in the order of the policy's metrics, then segments alphabetically, then `*`.

    Where the canary serves everything, the stable columns hold the reference.
    """
    left_out = frozenset(excluded)
    reference = reference_by_segment(step.reference)
    rows = []
    for metric in policy.metrics:
        for segment in (*tally.segments, AGGREGATE):
            total = tally.total(segment, excluded=left_out)
            stable = reference.get(segment, NOTHING) if step.weight >= 100 else total.stable
            log_e = log_e_values.get((segment, metric.metric), 0.0)
            rows.append(_row(segment, total.canary, stable, metric, policy, step, reported(log_e)))
    return tuple(rows)


def _row(
    segment: str,
    canary: Counts,
    stable: Counts,
    metric: MetricPolicy,
    policy: JudgePolicy,
    step: StepContext,
    e_value: float,
) -> SegmentRow:
    canary_bad, stable_bad = canary.bad(metric.metric), stable.bad(metric.metric)
    bounds = risk_difference(
        (canary_bad, canary.requests),
        (stable_bad, stable.requests),
        alpha=policy.alpha,
        dispersion=metric.dispersion,
    )
    detectable = minimum_detectable_effect(
        canary.requests, (stable_bad, stable.requests), alpha=policy.alpha, dispersion=metric.dispersion
    )
    return SegmentRow(
        segment=segment,
        metric=metric.metric,
        requests_canary=canary.requests,
        requests_stable=stable.requests,
        bad_canary=canary_bad,
        bad_stable=stable_bad,
        effect=round(bounds.estimate, _DIGITS),
        lower=round(bounds.lower, _DIGITS),
        upper=round(bounds.upper, _DIGITS),
        e_value=e_value,
        minimum_detectable_effect=round(detectable, _DIGITS),
        tolerance=round(step.tolerance(metric), _DIGITS),
    )
