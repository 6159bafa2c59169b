"""Rule 1 of the judge: is there conclusive evidence that the canary harms anyone, and whom does it harm.

With a stable arm beside the canary the evidence is an e-process per segment and metric. Where the canary serves
everything there is no concurrent control; then only a lower bound above the margin, against the stable arm as it was
before, counts as harm. Both are valid at every look, so the judge may be asked in each interval.
"""

import math
from collections.abc import Mapping

import msgspec

from bywire.release.bounds import risk_difference
from bywire.release.eprocess import attribute, log_e_value
from bywire.release.judge_policy import JudgePolicy, MetricPolicy, StepContext
from bywire.release.log_space import log_mean
from bywire.release.tally import NOTHING, Counts, StepTally, reference_by_segment
from bywire.release.verdict import AGGREGATE

Question = tuple[str, str]  # (segment or *, metric)


class Harm(msgspec.Struct, frozen=True):
    """The evidence, and the segments it convicts in one metric (empty = none)."""

    segments: tuple[str, ...] = ()
    metric: str = ""
    log_e_values: dict[Question, float] = {}
    log_mean: float = 0.0


def find_harm(tally: StepTally, policy: JudgePolicy, step: StepContext) -> Harm:
    """Weigh every segment and metric, decide whether any is harmed, and name those that are.

    The decision is taken on the mean of all e-values (level alpha whatever their dependence); e-BH only attributes,
    within the metric of the strongest evidence, to single segments if it can, else to all of them together. A
    segment is named only when its point effect exceeds the absolute margin and enough of its requests failed.
    """
    if step.weight >= 100:
        return _harm_against_reference(tally, policy, step)
    log_e_values: dict[Question, float] = {
        (segment, metric.metric): log_e_value(
            (pair.arm_counts(metric.metric) for pair in tally.cells[segment].values()),
            margin_log_ratio=metric.margin_log_ratio,
            dispersion=metric.dispersion,
        )
        for metric in policy.metrics
        for segment in (*tally.segments, AGGREGATE)
    }
    mean = log_mean(list(log_e_values.values()))
    weighed = Harm(log_e_values=log_e_values, log_mean=mean)
    if mean < -math.log(step.level(policy.alpha)):
        return weighed
    metric_names: list[str] = [metric.metric for metric in policy.metrics]
    for metric_name in sorted(metric_names, key=lambda name: -_log_mean_of(name, log_e_values)):
        by_segment = {
            key: value for key, value in log_e_values.items() if key[1] == metric_name and key[0] != AGGREGATE
        }
        overall = {(AGGREGATE, metric_name): log_e_values[AGGREGATE, metric_name]}
        for candidates in (by_segment, overall):
            convicted = [key for key in attribute(candidates, policy.alpha) if _material(key, tally, policy)]
            if convicted:
                return _convict(convicted, log_e_values, mean)
    return weighed


def _log_mean_of(metric: str, log_e_values: Mapping[Question, float]) -> float:
    return log_mean([value for (_, name), value in log_e_values.items() if name == metric])


def _harm_against_reference(tally: StepTally, policy: JudgePolicy, step: StepContext) -> Harm:
    reference = reference_by_segment(step.reference)
    questions = len(policy.metrics) * (len(tally.segments) + 1)
    convicted: list[Question] = []
    for metric in policy.metrics:
        for segment in (*tally.segments, AGGREGATE):
            now, before = tally.total(segment).canary, reference.get(segment, NOTHING)
            bounds = risk_difference(
                (now.bad(metric.metric), now.requests),
                (before.bad(metric.metric), before.requests),
                alpha=step.level(policy.alpha) / questions,
                dispersion=metric.dispersion,
            )
            if bounds.lower > metric.margin_delta and now.bad(metric.metric) >= policy.bad_requests_min:
                convicted.append((segment, metric.metric))
    named = [key for key in convicted if key[0] != AGGREGATE] or convicted
    return _convict(named, {}, 0.0) if named else Harm()


def _material(key: Question, tally: StepTally, policy: JudgePolicy) -> bool:
    segment, name = key
    metric = next(metric for metric in policy.metrics if metric.metric == name)
    total = tally.total(segment)
    bad = total.canary.bad(metric.metric)
    return bad >= policy.bad_requests_min and _rate(total.canary, metric) - _rate(total.stable, metric) >= (
        metric.margin_delta
    )


def _rate(counts: Counts, metric: MetricPolicy) -> float:
    return counts.bad(metric.metric) / counts.requests if counts.requests else 0.0


def _convict(convicted: list[Question], log_e_values: Mapping[Question, float], mean: float) -> Harm:
    """Report the metric of the strongest evidence, and every segment convicted in it."""
    metric = convicted[0][1]
    return Harm(
        segments=tuple(segment for segment, name in convicted if name == metric),
        metric=metric,
        log_e_values=dict(log_e_values),
        log_mean=mean,
    )
