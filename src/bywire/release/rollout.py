"""The rollout as a state machine without IO: (state, observation, now) -> (state, requests), pure and total.

What it promises, whatever it is told and in whatever order:
- it exposes the plan's steps in order, none skipped, each only after a promote verdict on the one before, and never
  more than the plan's ceiling;
- it awaits one outcome at a time; an unknown outcome is never taken for a success, and after too long it retreats;
- once it retreats it never asks for exposure again; final states stay final; nothing it is told raises;
- the same tick twice asks for the same things under the same keys.

A retreat is over when telemetry shows it (`verification`), or it ends as Failed, for a person to look at.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from bywire.model.decision import OutcomeStatus
from bywire.model.telemetry import ArmInterval
from bywire.release import rollout_requests as ask
from bywire.release.judge import judge
from bywire.release.judge_policy import StepContext
from bywire.release.reference import reference_from_verdict
from bywire.release.rollout_state import (
    FINAL,
    ActionOutcome,
    Awaited,
    Observation,
    Phase,
    Request,
    RetreatOrder,
    RolloutState,
    Telemetry,
    Tick,
    VerdictMark,
)
from bywire.release.verdict import Verdict, VerdictDecision
from bywire.release.verification import Expectation, Finding, exposed, verify

Moved = tuple[RolloutState, tuple[Request, ...]]


def transition(state: RolloutState, observation: Observation, now_ms: int) -> Moved:
    """The next state and what to ask for. `now_ms` is milliseconds since the epoch and must not run backwards."""
    if state.phase in FINAL:
        return state, ()
    if isinstance(observation, Tick):
        return _tick(state, now_ms)
    if isinstance(observation, ActionOutcome):
        return _outcome(state, observation, now_ms)
    if isinstance(observation, RetreatOrder):
        return _stay(state) if _retreating(state) else _retreat(state, observation.reason, now_ms)
    return _telemetry(state, observation, now_ms)


def plan_fault(state: RolloutState) -> str:
    """Why this plan cannot be carried out, or nothing. Only a first release may do without steps."""
    plan = state.plan
    weights = [step.weight for step in plan.steps]
    if not 1 <= plan.ceiling <= 100 or any(not 1 <= weight <= plan.ceiling for weight in weights):
        return "plan_exceeds_ceiling"
    if plan.last_good and not weights:
        return "plan_without_steps"
    if not plan.last_good and plan.ceiling < 100:
        return "plan_exceeds_ceiling"
    return ""


def _tick(state: RolloutState, now_ms: int) -> Moved:
    if state.phase is Phase.PENDING:
        fault = plan_fault(state)
        if fault:
            return _fail(state, fault)
        return _await(replace(state, phase=Phase.STAGING), ask.deploy(state), now_ms)
    if _overdue(state, now_ms):
        return _retry_retreat(state, now_ms) if _retreating(state) else _retreat(state, "outcome_unknown", now_ms)
    if _exposing(state) and now_ms > state.lease_until_ms:
        return _retreat(state, "lease_lost", now_ms)
    if state.phase is Phase.VERIFYING and _verify_overdue(state, now_ms):
        return _unverified(state, now_ms)
    requests: tuple[Request, ...] = (state.awaiting.request,) if state.awaiting else ()
    if _exposing(state) and not _unsettled(state):
        requests += (ask.renew_lease(state, now_ms),)
    if state.phase is Phase.VERIFYING or _exposing(state):
        since = state.settled_through + 1 if state.step >= 0 else state.verify_from_interval
        requests += (ask.read_telemetry(state, since, now_ms),)
    return state, requests


def _outcome(state: RolloutState, outcome: ActionOutcome, now_ms: int) -> Moved:
    awaiting = state.awaiting
    if awaiting is None or awaiting.request.key != outcome.key:
        return _lease_outcome(state, outcome, now_ms)
    tool = awaiting.request.tool
    if outcome.status in {OutcomeStatus.PENDING, OutcomeStatus.UNKNOWN}:
        since_ms = awaiting.since_ms if outcome.status is awaiting.status else now_ms
        return _stay(replace(state, awaiting=replace(awaiting, status=outcome.status, since_ms=since_ms)))
    state = replace(state, awaiting=None)
    if outcome.status is OutcomeStatus.COMMITTED:
        return _committed(state, tool, now_ms)
    if _retreating(state):
        return _retry_retreat(state, now_ms)
    if outcome.status is OutcomeStatus.DENIED and state.phase is Phase.STAGING:
        return _fail(state, f"{tool}_denied")
    return _retreat(state, f"{tool}_{outcome.status.value}", now_ms)


def _lease_outcome(state: RolloutState, outcome: ActionOutcome, now_ms: int) -> Moved:
    if not _exposing(state) or not outcome.key.startswith(f"{state.object}:{state.generation}:lease/{state.step}/"):
        return _stay(state)
    if outcome.status is OutcomeStatus.COMMITTED:
        return _stay(replace(state, lease_until_ms=_lease_end(state, now_ms)))
    if outcome.status is OutcomeStatus.DENIED:
        return _retreat(state, "lease_denied", now_ms)
    if outcome.status is OutcomeStatus.FAILED and state.awaiting is None:
        # The target took the exposure away already. While a promotion is under way that may be its doing.
        return _retreat(state, "lease_failed", now_ms)
    return _stay(state)


def _committed(state: RolloutState, tool: str, now_ms: int) -> Moved:
    following = state.limits.interval_at(now_ms) + 1
    if tool == "deploy_release" and state.plan.warm:
        return _await(replace(state, phase=Phase.WARMING), ask.warm(state), now_ms)
    if tool in {"deploy_release", "warm_release"}:
        if not state.plan.last_good:
            return _await(replace(state, phase=Phase.PROMOTING), ask.promote(state), now_ms)
        return _await(replace(state, phase=Phase.RUNNING), ask.set_weight(state, 0), now_ms)
    if tool == "set_canary_weight":
        return _stay(_enter_step(state, following, now_ms))
    if tool == "promote_release":
        return _stay(
            replace(state, phase=Phase.VERIFYING, verifying="promotion", verify_from_interval=following, weight=0)
        )
    return _stay(replace(state, phase=Phase.VERIFYING, verifying="retreat", verify_from_interval=following, weight=0))


def _enter_step(state: RolloutState, started_interval: int, now_ms: int) -> RolloutState:
    return replace(
        state,
        step=state.step + 1,
        weight=state.plan.steps[state.step + 1].weight,
        step_started_interval=started_interval,
        intervals_observed=0,
        lease_until_ms=_lease_end(state, now_ms),
        settled_requests=state.exposure_requests,
        settled_bad=state.exposure_bad,
        settled_through=state.counted_through if state.step >= 0 else started_interval - 2,
    )


def _telemetry(state: RolloutState, telemetry: Telemetry, now_ms: int) -> Moved:
    state = _count_exposure(state, telemetry.intervals, now_ms)
    if state.phase is Phase.VERIFYING:
        return _verify(state, telemetry.intervals, now_ms)
    if not _exposing(state):
        return _stay(state)
    verdict = judge(telemetry.intervals, state.limits.judge, _context(state, now_ms))
    if state.awaiting and verdict.decision is not VerdictDecision.ROLLBACK:
        return _stay(state)
    state = _record(state, verdict)
    if verdict.decision is VerdictDecision.ROLLBACK:
        return _retreat(state, verdict.reason.value, now_ms)
    if verdict.decision is VerdictDecision.PROMOTE:
        return _advance(replace(state, reference=reference_from_verdict(verdict, state.reference)), now_ms)
    return _stay(state)


def _advance(state: RolloutState, now_ms: int) -> Moved:
    if state.step + 1 < len(state.plan.steps):
        return _await(state, ask.set_weight(state, state.step + 1), now_ms)
    if state.plan.ceiling < 100:
        return _retreat(state, "ceiling_reached", now_ms)
    return _await(replace(state, phase=Phase.PROMOTING), ask.promote(state), now_ms)


def _verify(state: RolloutState, intervals: Sequence[ArmInterval], now_ms: int) -> Moved:
    promotion = state.verifying == "promotion"
    expected = Expectation(
        digest=state.plan.artifact if promotion else state.plan.last_good,
        since_interval=state.verify_from_interval,
        through_interval=state.limits.interval_at(now_ms) - 1,
        intervals_min=state.limits.verify_intervals_min,
        rate_delta=state.limits.healthy_rate_delta,
        reference=state.reference,
    )
    finding = verify(intervals, expected, state.limits.judge)
    if finding is Finding.PROVED:
        return _stay(replace(state, phase=Phase.SUCCESSFUL if promotion else Phase.ROLLED_BACK, verified=True))
    if finding is Finding.REFUTED and promotion:
        return _retreat(state, "promotion_unhealthy", now_ms)
    if _nobody_came(state, intervals, now_ms):
        return _stay(replace(state, phase=Phase.SUCCESSFUL, reason="first_release_unobserved"))
    return _unverified(state, now_ms) if _verify_overdue(state, now_ms) else _stay(state)


def _nobody_came(state: RolloutState, intervals: Sequence[ArmInterval], now_ms: int) -> bool:
    """A first release has no earlier one to go back to and perhaps no users yet: it stands, but unverified."""
    if state.plan.last_good or state.verifying != "promotion":
        return False
    waited = state.limits.interval_at(now_ms) - state.verify_from_interval
    seen = any(row.requests > 0 for row in intervals if row.interval >= state.verify_from_interval)
    return waited > state.limits.verify_intervals_min and not seen


def _unverified(state: RolloutState, now_ms: int) -> Moved:
    if state.verifying == "promotion":
        return _retreat(state, "promotion_unverified", now_ms)
    return _fail(state, f"{state.reason}:retreat_unverified")


def _retreat(state: RolloutState, reason: str, now_ms: int) -> Moved:
    """Ask for the last good digest back. Without one there is nothing to go back to, and a person must look."""
    state = replace(state, awaiting=None, reason=reason, verifying="")
    if not state.plan.last_good or state.phase is Phase.PENDING:
        return _fail(state, reason)
    state = replace(state, phase=Phase.ROLLING_BACK, retreats=1)
    return _await(state, ask.rollback(state), now_ms)


def _retry_retreat(state: RolloutState, now_ms: int) -> Moved:
    if state.retreats >= state.limits.rollback_attempts_max:
        return _fail(state, f"{state.reason}:rollback_failed")
    state = replace(state, generation=state.generation + 1, retreats=state.retreats + 1)
    return _await(state, ask.rollback(state), now_ms)


def _fail(state: RolloutState, reason: str) -> Moved:
    return replace(state, phase=Phase.FAILED, awaiting=None, reason=reason, verified=False), ()


def _stay(state: RolloutState) -> Moved:
    return state, ()


def _await(state: RolloutState, request: Request, now_ms: int) -> Moved:
    return replace(state, awaiting=Awaited(request=request, since_ms=now_ms)), (request,)


def _record(state: RolloutState, verdict: Verdict) -> RolloutState:
    mark = VerdictMark(
        step=state.step,
        weight=state.weight,
        interval=verdict.through_interval,
        decision=verdict.decision.value,
        reason=verdict.reason.value,
        segments=verdict.segments,
    )
    last = state.verdicts[-1] if state.verdicts else None
    same = last is not None and replace(last, interval=mark.interval) == mark
    verdicts = state.verdicts if same else (*state.verdicts, mark)[-state.limits.verdicts_max :]
    return replace(state, verdict=verdict, verdicts=verdicts, intervals_observed=verdict.intervals_observed)


def _context(state: RolloutState, now_ms: int) -> StepContext:
    steps = state.plan.steps
    following = steps[state.step + 1].weight if state.step + 1 < len(steps) else state.plan.ceiling
    return StepContext(
        weight=state.weight,
        next_weight=max(following, state.weight),
        started_interval=state.step_started_interval,
        through_interval=state.limits.interval_at(now_ms) - 1,
        segments=steps[state.step].segments,
        artifact=state.plan.artifact,
        judged_steps=len(steps),
        reference=state.reference,
    )


def _count_exposure(state: RolloutState, intervals: Sequence[ArmInterval], now_ms: int) -> RolloutState:
    """Every interval, also those in which the weight changed and those after the verdict: all of it was exposure."""
    if state.step < 0:
        return state
    requests, bad = exposed(intervals, state.settled_through + 1, state.plan.artifact)
    return replace(
        state,
        counted_through=max(state.counted_through, state.limits.interval_at(now_ms) - 1),
        exposure_requests=max(state.exposure_requests, state.settled_requests + requests),
        exposure_bad=max(state.exposure_bad, state.settled_bad + bad),
    )


def _exposing(state: RolloutState) -> bool:
    return state.weight > 0 and state.phase in {Phase.RUNNING, Phase.PROMOTING}


def _retreating(state: RolloutState) -> bool:
    return state.phase is Phase.ROLLING_BACK or state.verifying == "retreat"


def _unsettled(state: RolloutState) -> bool:
    return state.awaiting is not None and state.awaiting.status is OutcomeStatus.UNKNOWN


def _overdue(state: RolloutState, now_ms: int) -> bool:
    awaiting = state.awaiting
    if awaiting is None:
        return False
    if awaiting.status is OutcomeStatus.PENDING and not _retreating(state):
        return False  # a person may take their time while the exposure stays where it is; a retreat waits for nobody
    return now_ms - awaiting.since_ms > state.limits.settle_timeout_seconds * 1000


def _verify_overdue(state: RolloutState, now_ms: int) -> bool:
    waited = state.limits.interval_at(now_ms) - state.verify_from_interval
    return waited > state.limits.verify_timeout_intervals


def _lease_end(state: RolloutState, now_ms: int) -> int:
    return now_ms + int(state.limits.lease_seconds * 1000)
