"""The rollout inside a delivery: translates between the rollout machine and the delivery's requests.

Everything the rollout wants is asked of the door under the approved plan; every verdict of the judge becomes a signed
statement before the next tick.
"""

from typing import Any

import msgspec

from bywire.delivery.state import Ask, Asked, DeliveryState, Phase, Work, WorkDone
from bywire.delivery.story import Step, conclude, note, request_key
from bywire.model.decision import OutcomeStatus
from bywire.model.telemetry import ArmInterval
from bywire.release.rollout import transition
from bywire.release.rollout_state import ActionOutcome, Observation, RolloutState, Telemetry, Tick, begin
from bywire.release.rollout_state import Phase as RolloutPhase
from bywire.release.verdict import Verdict

FENCED = "state.fenced"
_LINES = {
    "deploy_release": "canary instance ready, no traffic yet",
    "warm_release": "release warmed up before exposure",
    "promote_release": "promoted: the canary is stable now",
    "rollback_release": "rolled back: all traffic on the last good release",
    "settle_release": "superseded instance stopped",
}


def begin_rollout(state: DeliveryState) -> Step:
    """Read what traffic looked like before any exposure; the judge needs it as reference."""
    return state, (Ask(tool="read_telemetry", key=request_key(state, "baseline"), parameters={"since_interval": 0}),)


def advance_rollout(state: DeliveryState, observations: tuple[WorkDone | Asked, ...], now_ms: int) -> Step:
    """One step of the rolling phase. Pure and total."""
    if state.plan is None or state.limits is None:
        return conclude(state, Phase.FAILED, "a rollout needs an approved plan")
    rollout = state.rollout
    if rollout is None:
        baseline = next((_intervals(item) for item in observations if isinstance(item, Asked)), ())
        rollout = begin(f"{state.id}:{state.generation}", state.plan, state.limits, baseline)
    for observation in observations:
        state = _tell(state, observation, rollout, now_ms)
        for told in _translate(observation):
            rollout, _ = transition(rollout, told, now_ms)
    if any(_is_fenced(item) for item in observations):
        text = "another bywire process took over this rollout, as `bywire rollback` does; see `bywire status`"
        return conclude(state, Phase.FAILED, text, reasons=({"rule": FENCED, "facts": {"message": text}},))
    rollout, wanted = transition(rollout, Tick(), now_ms)
    state = msgspec.structs.replace(state, rollout=rollout)
    verdict = _verdict_work(state, rollout)
    if rollout.phase in {RolloutPhase.SUCCESSFUL, RolloutPhase.ROLLED_BACK, RolloutPhase.FAILED} and not verdict:
        return _finish(state, rollout, observations, now_ms)
    return state, (*verdict, *(_ask(state, request.tool, request.parameters, request.key) for request in wanted))


def _is_fenced(seen: WorkDone | Asked) -> bool:
    return isinstance(seen, Asked) and (
        any(reason.get("rule") == FENCED for reason in seen.reasons) or (seen.error or {}).get("code") == "fenced"
    )


def _finish(
    state: DeliveryState, rollout: RolloutState, observations: tuple[WorkDone | Asked, ...], now_ms: int
) -> Step:
    if rollout.phase is RolloutPhase.ROLLED_BACK:
        text = (
            f"rolled back to {rollout.plan.last_good[:12]} and verified by telemetry;"
            f" exposure {rollout.exposure_requests} canary requests, {rollout.exposure_bad} of them failed,"
            f" {(now_ms - state.exposed_at_ms) / 1000:.1f} s from first exposure to verified"
        )
        return conclude(state, Phase.ROLLED_BACK, text, reasons=_why(rollout, observations))
    if rollout.phase is RolloutPhase.FAILED:
        text = f"the rollout failed ({rollout.reason}); a person must look: `bywire status`"
        return conclude(state, Phase.FAILED, text, reasons=_why(rollout, observations))
    if any(isinstance(item, Asked) and item.tool == "settle_release" for item in observations):
        return conclude(state, Phase.SUCCESSFUL, _success(rollout))
    key = request_key(state, "settle_release")
    return state, (_ask(state, "settle_release", {"artifact": rollout.plan.artifact}, key),)


def _success(rollout: RolloutState) -> str:
    if not rollout.verified:
        return "first release in place; no traffic came yet, so telemetry could not verify it"
    if not rollout.plan.last_good:
        return "first release in place and verified by telemetry"
    return f"promoted to 100% and verified by telemetry; {rollout.exposure_requests} canary requests were judged"


def _why(rollout: RolloutState, observations: tuple[WorkDone | Asked, ...]) -> tuple[dict[str, Any], ...]:
    verdict = rollout.verdict
    facts: dict[str, Any] = {"reason": rollout.reason, "verified": rollout.verified}
    error = next((item.error for item in observations if isinstance(item, Asked) and item.error), None)
    if error is not None:
        facts |= {name: error[name] for name in ("message", "next_step") if name in error}
    if verdict is not None:
        facts |= {"segments": list(verdict.segments), "explanation": verdict.explanation}
    return ({"rule": f"rollout.{rollout.reason or 'failed'}", "facts": facts},)


def _ask(state: DeliveryState, tool: str, parameters: dict[str, Any], key: str) -> Ask:
    """The rollout's intention as an action of the door's catalogue."""
    wire = dict(parameters)
    if tool == "rollback_release":
        wire = {"to": parameters["artifact"]}
    elif tool == "renew_canary_lease":
        del wire["weight"]
    elif tool == "read_telemetry":
        wire = {"since_interval": max(parameters["since_interval"], 0)}
    if "lease_seconds" in wire:
        wire["lease_seconds"] = max(1, round(wire["lease_seconds"]))
    read = tool == "read_telemetry"
    return Ask(
        tool=tool,
        key=key,
        parameters=wire,
        evidence=() if read else state.evidence,
        plan="" if read else state.plan_digest,
    )


def _verdict_work(state: DeliveryState, rollout: RolloutState) -> tuple[Work, ...]:
    verdict = rollout.verdict
    if verdict is None or verdict.through_interval <= state.recorded_interval:
        return ()
    return (
        Work(kind="verdict", key=_verdict_key(state, verdict), arguments={"verdict": msgspec.to_builtins(verdict)}),
    )


def _verdict_key(state: DeliveryState, verdict: Verdict) -> str:
    return request_key(state, f"verdict/{verdict.weight}/{verdict.through_interval}")


def _tell(state: DeliveryState, seen: WorkDone | Asked, rollout: RolloutState, now_ms: int) -> DeliveryState:
    if isinstance(seen, WorkDone):
        return _tell_verdict(state, seen, rollout, now_ms)
    if seen.status == "denied":
        rules = ", ".join(str(reason.get("rule")) for reason in seen.reasons)
        return note(state, now_ms, f"{seen.tool} denied: {rules}", seen.entry, "bad")
    if seen.status in {"failed", "unknown"}:
        return note(
            state, now_ms, f"{seen.tool} {seen.status}: {(seen.error or {}).get('message', '')}", seen.entry, "bad"
        )
    if seen.status == "pending" and seen.approval_id != state.approval_id:
        text = f"{seen.tool} waits for a person: bywire approvals show {seen.approval_id}; exposure stays where it is"
        return note(msgspec.structs.replace(state, approval_id=seen.approval_id), now_ms, text, seen.entry, "warn")
    if seen.status != "committed" or seen.replayed:
        return state
    if seen.tool == "set_canary_weight" and rollout.plan.steps:
        step = rollout.plan.steps[min(rollout.step + 1, len(rollout.plan.steps) - 1)]
        only = f" ({', '.join(step.segments)} only)" if step.segments else ""
        state = msgspec.structs.replace(state, exposed_at_ms=state.exposed_at_ms or now_ms)
        return note(state, now_ms, f"canary at {step.weight}%{only}", seen.entry)
    if seen.tool in _LINES:
        return note(state, now_ms, _LINES[seen.tool], seen.entry)
    return state


def _tell_verdict(state: DeliveryState, done: WorkDone, rollout: RolloutState, now_ms: int) -> DeliveryState:
    verdict = rollout.verdict
    if done.kind != "verdict" or verdict is None or done.key != _verdict_key(state, verdict):
        return state
    state = msgspec.structs.replace(state, recorded_interval=verdict.through_interval)
    if done.error is not None:
        # A verdict that cannot be signed holds up no retreat; the story says that it is missing.
        return note(state, now_ms, f"a verdict was not recorded: {done.error.get('message', '')}", -1, "bad")
    marker = f"{verdict.decision}: {verdict.reason}"
    if marker == state.recorded_verdict:
        return state
    level = {"promote": "good", "rollback": "bad"}.get(verdict.decision, "info")
    text = f"judge: {verdict.decision} ({verdict.reason}): {verdict.explanation}"
    state = note(state, now_ms, text, done.entries[0] if done.entries else -1, level)
    return msgspec.structs.replace(state, recorded_verdict=marker)


def _translate(seen: WorkDone | Asked) -> tuple[Observation, ...]:
    if isinstance(seen, WorkDone):
        return ()
    if seen.tool == "read_telemetry":
        return (Telemetry(intervals=_intervals(seen)),) if seen.status == "committed" else ()
    if seen.status not in set(OutcomeStatus):
        return ()
    return (ActionOutcome(key=seen.key, status=OutcomeStatus(seen.status), result=seen.result),)


def _intervals(seen: Asked) -> tuple[ArmInterval, ...]:
    if seen.tool != "read_telemetry" or not seen.result:
        return ()
    try:
        return msgspec.convert(seen.result.get("intervals", ()), tuple[ArmInterval, ...])
    except msgspec.ValidationError:
        return ()  # telemetry that cannot be read is missing telemetry: hold, never promote
