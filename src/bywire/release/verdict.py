"""What the judge says: a decision with its reason, the numbers behind it, and one sentence a person can read.

A verdict is a value that is signed and logged, so its numbers are rounded: the same counts give the same bytes on
machines whose mathematical libraries differ in the last digit.
"""

from enum import StrEnum

import msgspec

AGGREGATE = "*"  # the row over all segments of the step; no client can send it as a segment


class VerdictDecision(StrEnum):
    """The three answers of a judge."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLLBACK = "rollback"


class ReasonCode(StrEnum):
    """Why; stable codes. The first belongs to promote, the next two to rollback, the others to hold."""

    WITHIN_BUDGET = "within_budget"
    HARM_DETECTED = "harm_detected"
    INCONCLUSIVE = "inconclusive"
    TELEMETRY_INVALID = "telemetry_invalid"
    ARTIFACT_MISMATCH = "artifact_mismatch"
    TELEMETRY_MISSING = "telemetry_missing"
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    CONTROL_DEGRADED = "control_degraded"
    SAMPLE_TOO_SMALL = "sample_too_small"
    BOUND_TOO_WIDE = "bound_too_wide"


class SegmentRow(msgspec.Struct, frozen=True):
    """One metric in one segment (or in `*`, all of them together) over the step.

    `bad_*` counts errors or slow requests, as `metric` says. `effect` is the difference of the bad rates, canary minus
    stable, absolute (0.01 = one point); `lower` and `upper` bound it at all times at once; `minimum_detectable_effect`
    is the least difference that these request counts could tell from none. `e_value` weighs the evidence for harm
    beyond the margin (1 = none; at most 1e12). `tolerance` is what `upper` must not exceed to promote.
    """

    segment: str
    metric: str
    requests_canary: int
    requests_stable: int
    bad_canary: int
    bad_stable: int
    effect: float
    lower: float
    upper: float
    e_value: float
    minimum_detectable_effect: float
    tolerance: float


class Verdict(msgspec.Struct, frozen=True):
    """The judge's answer for one step at one time.

    `segments` names the segments that are harmed (rollback; `*` when only all of them together show it) or that stand
    in the way (hold). `metric` is the metric in which. `e_value` is the mean of the rows' e-values and `threshold` what
    it must reach for a rollback. `intervals_observed` counts intervals in which both arms reported;
    `intervals_excluded` those left out of the bounds because of a shared incident. `exposure_*` counts canary requests
    of the step and how many of them failed. `control` is `concurrent`, or `reference` when nothing was served by the
    stable arm.
    """

    decision: VerdictDecision
    reason: ReasonCode
    segments: tuple[str, ...]
    metric: str
    rows: tuple[SegmentRow, ...]
    weight: int
    next_weight: int
    through_interval: int
    intervals_observed: int
    intervals_excluded: int
    e_value: float
    threshold: float
    canary_share: float
    exposure_requests: int
    exposure_bad: int
    control: str
    explanation: str
