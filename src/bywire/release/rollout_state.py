"""Where a rollout stands and what it can be told: plain frozen values that a store can keep and a log can hold."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from bywire.model.decision import OutcomeStatus
from bywire.model.errors import ConfigError
from bywire.model.rollout_plan import RolloutPlan
from bywire.model.telemetry import ArmInterval
from bywire.release.judge_policy import JudgePolicy, ReferenceCounts
from bywire.release.reference import calibrated, reference_from_rows
from bywire.release.verdict import Verdict


class Phase(StrEnum):
    """The life of a rollout. The last three are final."""

    PENDING = "Pending"
    STAGING = "Staging"
    WARMING = "Warming"
    RUNNING = "Running"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    VERIFYING = "Verifying"
    SUCCESSFUL = "Successful"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"


FINAL = frozenset({Phase.SUCCESSFUL, Phase.ROLLED_BACK, Phase.FAILED})


class Request(msgspec.Struct, frozen=True):
    """An intended action as data; the caller makes an `ActionRequest` of it.

    `key` is the idempotency key: the same intention always has the same key, a deliberate retry another generation.
    """

    tool: str
    parameters: dict[str, Any]
    key: str


class Awaited(msgspec.Struct, frozen=True):
    """The one request whose outcome decides what comes next. `status` is None until anything was heard of it."""

    request: Request
    since_ms: int
    status: OutcomeStatus | None = None


class ActionOutcome(msgspec.Struct, frozen=True, tag="action_outcome"):
    """How the action with this key ended, or that it has not ended yet (pending, unknown)."""

    key: str
    status: OutcomeStatus
    result: dict[str, Any] | None = None


class Telemetry(msgspec.Struct, frozen=True, tag="telemetry"):
    """What was measured since the interval that the last `read_telemetry` asked for; complete intervals only."""

    intervals: tuple[ArmInterval, ...]


class Tick(msgspec.Struct, frozen=True, tag="tick"):
    """Time has passed."""


class RetreatOrder(msgspec.Struct, frozen=True, tag="retreat_order"):
    """A person, a stop or an incident asks for the stable version back. `reason` is a code for the record."""

    reason: str


Observation = ActionOutcome | Telemetry | Tick | RetreatOrder


class RolloutLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times and counts within which a rollout must move. From the operator; seconds, intervals or attempts as named.

    `lease_seconds`: how long the router keeps a canary weight that nobody renews. `settle_timeout_seconds`: how long
    an action may stay without a known outcome before the rollout retreats. `verify_intervals_min`: healthy intervals in
    a row that prove a promotion or a retreat; `verify_timeout_intervals`: how long to wait for them.
    `healthy_rate_delta`: the rise of the error rate over the reference (absolute) that still counts as healthy.
    """

    judge: JudgePolicy = JudgePolicy()
    interval_seconds: float = 60.0
    lease_seconds: float = 180.0
    settle_timeout_seconds: float = 600.0
    verify_intervals_min: int = 3
    verify_timeout_intervals: int = 15
    healthy_rate_delta: float = 0.02
    rollback_attempts_max: int = 5
    verdicts_max: int = 64

    def __post_init__(self) -> None:
        seconds = (self.interval_seconds, self.lease_seconds, self.settle_timeout_seconds)
        counts = (self.verify_intervals_min, self.rollback_attempts_max, self.verdicts_max)
        if not all(0.001 <= value <= 10**7 for value in seconds) or min(counts) < 1:
            raise ConfigError(
                "rollout limits must be positive", next_step="correct the rollout limits of the operator file"
            )
        if self.verify_timeout_intervals < self.verify_intervals_min or not 0 < self.healthy_rate_delta <= 1:
            raise ConfigError(
                "verify_timeout_intervals must be at least verify_intervals_min, healthy_rate_delta between 0 and 1",
                next_step="correct the rollout limits of the operator file",
            )

    def interval_at(self, now_ms: int) -> int:
        """The index of the interval that contains `now_ms`."""
        return int(now_ms // (self.interval_seconds * 1000))


class VerdictMark(msgspec.Struct, frozen=True):
    """One change of the judge's mind, for the record: where, when, what and why."""

    step: int
    weight: int
    interval: int
    decision: str
    reason: str
    segments: tuple[str, ...]


class RolloutState(msgspec.Struct, frozen=True):
    """Everything a rollout knows.

    `object` names the rollout in idempotency keys. `step` is the index of the step that is exposed (-1 before the
    first) and `weight` its canary weight in percent, as last committed. `step_started_interval` is the first whole
    interval of the step. `verifying` says what is being proved: `promotion`, `retreat` or nothing. `exposure_*` count
    canary requests and how many of them failed since the rollout began, up to interval `counted_through`; `settled_*`
    the same up to `settled_through`, when the step began. `verdict`
    is the judge's latest, `verdicts` its changes of mind. `reason` says why the rollout retreated or failed. `verified`
    is true once telemetry proved the end state.
    """

    object: str
    plan: RolloutPlan
    limits: RolloutLimits
    phase: Phase = Phase.PENDING
    step: int = -1
    weight: int = 0
    generation: int = 1
    awaiting: Awaited | None = None
    step_started_interval: int = -1
    intervals_observed: int = 0
    lease_until_ms: int = 0
    verdict: Verdict | None = None
    verdicts: tuple[VerdictMark, ...] = ()
    reference: tuple[ReferenceCounts, ...] = ()
    exposure_requests: int = 0
    exposure_bad: int = 0
    settled_requests: int = 0
    settled_bad: int = 0
    settled_through: int = -1
    counted_through: int = -1
    verifying: str = ""
    verify_from_interval: int = -1
    retreats: int = 0
    reason: str = ""
    verified: bool = False


def begin(
    object_name: str, plan: RolloutPlan, limits: RolloutLimits, baseline: Sequence[ArmInterval] = ()
) -> RolloutState:
    """A rollout that has not started.

    `baseline` is telemetry from before any exposure: it sets the reference and may raise the judge's dispersion.
    """
    return RolloutState(
        object=object_name,
        plan=plan,
        limits=msgspec.structs.replace(limits, judge=calibrated(limits.judge, baseline)),
        reference=reference_from_rows(baseline),
    )
