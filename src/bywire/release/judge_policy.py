"""What the judge is told: how much harm is tolerated, how sure it must be, and which step it looks at.

Every number that decides has a name and a default here. The values belong to the operator, never to the judged change.
"""

from typing import Literal

import msgspec

from bywire.model.errors import ConfigError

Metric = Literal["errors", "slow"]


class MetricPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which a request can be bad.

    `budget` is the tolerated absolute increase of the bad rate at 100% exposure (0.02 = two points).
    `margin_log_ratio` is the practical margin d0: rate ratios up to exp(d0) are not worth a rollback.
    `margin_delta` is the least point effect (absolute) for which a segment can be rolled back.
    `dispersion` is phi >= 1: the variance of the counts over that of independent requests, as measured by
    `reference.pearson_dispersion` on identical arms. Retries and bursts make it exceed one.
    """

    metric: Metric
    budget: float
    margin_log_ratio: float
    margin_delta: float
    dispersion: float

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 1:
            raise _wrong(f"budget of {self.metric}", "greater than 0 and at most 1")
        if not 0 <= self.margin_log_ratio <= 5:
            raise _wrong(f"margin_log_ratio of {self.metric}", "between 0 and 5")
        if not 0 <= self.margin_delta <= 1:
            raise _wrong(f"margin_delta of {self.metric}", "between 0 and 1")
        if not 1 <= self.dispersion <= 100:
            raise _wrong(f"dispersion of {self.metric}", "between 1 and 100")


ERRORS = MetricPolicy(metric="errors", budget=0.02, margin_log_ratio=0.2, margin_delta=0.005, dispersion=1.6)
SLOW = MetricPolicy(metric="slow", budget=0.05, margin_log_ratio=0.4, margin_delta=0.03, dispersion=2.5)


class JudgePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When to go on, when to wait and when to retreat.

    `alpha` bounds both the chance that a healthy rollout is rolled back (over all its steps) and the chance that a
    bound misses the true effect of an arm pair (over all times of a step). Intervals are counted, never minutes:
    `bake_intervals_min` is how many must have been observed, `gap_intervals_max` how many may be missing at the end,
    `hold_intervals_max` how long a step may last before it is called inconclusive. `requests_min` is per arm and
    segment. `bad_requests_min` is the least number of bad canary requests in a segment that can be rolled back, so that
    one client that retries is never enough. `share_tolerance` is the relative error of the traffic split that is
    accepted, `share_dispersion` how much clients that stay with one arm make it vary, `share_alpha` the chance of
    calling a sound split unsound. `control_degraded_delta` is the rise of the stable arm's error rate over its
    reference that is called a shared incident.
    """

    metrics: tuple[MetricPolicy, ...] = (ERRORS, SLOW)
    alpha: float = 0.05
    bake_intervals_min: int = 5
    requests_min: int = 50
    bad_requests_min: int = 5
    gap_intervals_max: int = 3
    hold_intervals_max: int = 240
    share_tolerance: float = 0.2
    share_dispersion: float = 2.0
    share_alpha: float = 0.001
    control_degraded_delta: float = 0.05
    segments_max: int = 64

    def __post_init__(self) -> None:
        names = [metric.metric for metric in self.metrics]
        if not names or len(set(names)) != len(names):
            raise _wrong("metrics", "one or two different metrics")
        if not 0 < self.alpha <= 0.5 or not 0 < self.share_alpha <= 0.5:
            raise _wrong("alpha and share_alpha", "greater than 0 and at most 0.5")
        if not 0 <= self.share_tolerance < 1 or not 0 < self.control_degraded_delta <= 1:
            raise _wrong("share_tolerance and control_degraded_delta", "between 0 and 1")
        if not 1 <= self.share_dispersion <= 100:
            raise _wrong("share_dispersion", "between 1 and 100")
        counts = (self.bake_intervals_min, self.requests_min, self.bad_requests_min, self.segments_max)
        if min(counts) < 1 or self.gap_intervals_max < 0 or self.hold_intervals_max < self.bake_intervals_min:
            raise _wrong("interval and request limits", "positive, and hold_intervals_max at least bake_intervals_min")


class ReferenceCounts(msgspec.Struct, frozen=True):
    """What the stable arm looked like before: whole-number counts of one segment over healthy intervals."""

    segment: str
    requests: int
    errors: int
    slow: int


class StepContext(msgspec.Struct, frozen=True):
    """The step under judgement. Weights are percent of traffic; intervals are indexes since the epoch.

    Only rows of intervals `started_interval` to `through_interval` (both included) at `weight` belong to the step.
    `next_weight` is the exposure that a promotion would lead to. `segments` restricts the step (empty = all that are
    seen). `artifact` is the digest the canary must be serving (empty = not checked). `judged_steps` is the number of
    steps in the rollout, among which `alpha` is divided. `reference` describes the stable arm before this step.
    """

    weight: int
    next_weight: int
    started_interval: int
    through_interval: int
    segments: tuple[str, ...] = ()
    artifact: str = ""
    judged_steps: int = 1
    reference: tuple[ReferenceCounts, ...] = ()

    def tolerance(self, metric: MetricPolicy) -> float:
        """The largest upper bound of the effect with which the next exposure stays within the error budget.

        An effect U met by a share w of the traffic costs the service U * w in its overall bad rate. The budget is what
        the service may lose in total, so the gate asks for U * next_weight / 100 <= budget: little exposure needs
        little certainty, full exposure needs all of it.
        """
        return min(1.0, metric.budget / (min(max(self.next_weight, 1), 100) / 100))

    def level(self, alpha: float) -> float:
        """The share of `alpha` that this step may spend (union bound over the steps of a rollout)."""
        return alpha / max(self.judged_steps, 1)


def _wrong(what: str, expected: str) -> ConfigError:
    return ConfigError(
        f"the judge's {what} must be {expected}", next_step="correct the judge's limits in the operator file"
    )
