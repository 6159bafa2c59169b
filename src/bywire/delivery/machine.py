"""The delivery machine: goal -> plan -> change set -> verification -> artifact -> gate -> approval -> rollout.

`transition` is pure and total. Each phase has one function here; each asks for one thing and reads one answer. A
delivery ends in exactly one of: successful, denied (with recourse), stopped (a role's threshold), rolled back, failed.
"""

from typing import Any

import msgspec

from bywire.delivery.rolling import advance_rollout, begin_rollout
from bywire.delivery.state import (
    Ask,
    Asked,
    DeliveryState,
    Phase,
    Request,
    Work,
    WorkDone,
)
from bywire.delivery.story import Step, conclude, end, note, request_key
from bywire.model.errors import BywireError
from bywire.model.rollout_plan import RolloutPlan, RolloutStep
from bywire.seal import jcs

_WHOLE = RolloutStep(100)
_TEXT_MAX = 400
Observation = WorkDone | Asked


class DeliveryMachine:
    """The pure machine with its JSON encoding, as the runtime ticks it."""

    def transition(self, state: DeliveryState, observations: tuple[Any, ...], now_ms: int) -> Step:
        """Advance by what was observed; without observations, ask for what the phase needs."""
        return transition(state, observations, now_ms)

    def encode(self, state: DeliveryState, requests: tuple[Request, ...]) -> tuple[bytes, bytes]:
        """State and outbox as JSON bytes."""
        return msgspec.json.encode(state), msgspec.json.encode(requests)

    def decode(self, state: bytes, requests: bytes) -> tuple[DeliveryState, tuple[Request, ...]]:
        """The inverse of `encode`; msgspec.ValidationError when the database holds something else."""
        return (
            msgspec.json.decode(state, type=DeliveryState),
            msgspec.json.decode(requests, type=tuple[Work | Ask, ...]),
        )


def start(state: DeliveryState, now_ms: int) -> Step:
    """A new delivery and its first request."""
    return _ask_work(note(state, now_ms, f"goal: {state.goal}"), "plan")


def transition(state: DeliveryState, observations: tuple[Observation, ...], now_ms: int) -> Step:
    """One pure step. A terminal delivery absorbs everything."""
    if state.terminal:
        return state, ()
    if state.phase is Phase.ROLLING:
        return advance_rollout(state, observations, now_ms)
    answer = next((item for item in observations if _is_awaited(state, item)), None)
    if answer is None:
        return _ask_again(state)
    failure = _failure(answer)
    if failure is not None:
        return _failed(state, failure, now_ms)
    try:
        if isinstance(answer, WorkDone):
            return _WORK[state.phase][1](state, answer, now_ms)
        return _ASKED[state.phase][1](state, answer, now_ms)
    except (LookupError, TypeError, ValueError, AttributeError, msgspec.MsgspecError, BywireError) as error:
        # What a role handed over has another shape than agreed: nothing may be built on it.
        return _failed(state, {"code": "answer_malformed", "message": f"{answer.key}: {error!r}"[:_TEXT_MAX]}, now_ms)


def _is_awaited(state: DeliveryState, seen: Observation) -> bool:
    """Each phase waits for one answer, known by its key: a late or repeated one of another phase says nothing here."""
    expected = (_WORK if isinstance(seen, WorkDone) else _ASKED).get(state.phase)
    return expected is not None and seen.key == request_key(state, expected[0])


def _ask_again(state: DeliveryState) -> Step:
    """The request that the phase stands for, under the same key as before."""
    if state.phase is Phase.APPROVING and state.plan is not None:
        return state, (_start_rollout(state, state.plan),)
    if state.phase is Phase.FIXING and state.recourse is not None:
        return state, (_create_fix_branch(state, state.recourse),)
    if state.phase is Phase.CONCLUDING and state.ending is not None:
        return conclude(state, state.ending.phase, state.ending.text)
    if state.phase is Phase.RECOURSE:
        return _ask_work(_to(state, Phase.AUDITING), "audit")
    if state.phase in _WORK and state.phase is not Phase.CONCLUDING:
        return _ask_work(state, _WORK[state.phase][0])
    return conclude(state, Phase.FAILED, f"a delivery in {state.phase} has lost what it needs")


def _failed(state: DeliveryState, failure: dict[str, str], now_ms: int) -> Step:
    """A role or the door could not do its part. When not even that can be recorded, the delivery ends unrecorded."""
    if state.phase is Phase.CONCLUDING:
        return end(state, now_ms, -1), ()
    reasons = ({"rule": failure["code"], "facts": dict(failure)},)
    text = f"{failure['code']}: {failure.get('message', '')}"
    return conclude(state, Phase.FAILED, text, reasons=reasons)


def _concluded(state: DeliveryState, done: WorkDone, now_ms: int) -> Step:
    return end(state, now_ms, done.entries[0] if done.entries else -1), ()


def _failure(observation: Observation) -> dict[str, str] | None:
    if isinstance(observation, WorkDone):
        return observation.error
    return observation.error if observation.status == "failed" else None


def _ask_work(state: DeliveryState, kind: str, **arguments: Any) -> Step:
    return state, (Work(kind=kind, key=request_key(state, kind), arguments=arguments),)


def _to(state: DeliveryState, phase: Phase, **fields: Any) -> DeliveryState:
    return msgspec.structs.replace(state, phase=phase, **fields)


def _told(state: DeliveryState, done: WorkDone, now_ms: int) -> DeliveryState:
    """Note the deliverable's lines; each names the ledger entry of its statement."""
    entries = (*done.entries, *(-1,) * len(done.result.get("lines", ())))
    for position, line in enumerate(done.result.get("lines", ())):
        state = note(state, now_ms, line, entries[position])
    evidence = dict.fromkeys((*state.evidence, *done.result.get("statements", ())))
    return msgspec.structs.replace(state, evidence=tuple(evidence))


def _planned(state: DeliveryState, done: WorkDone, now_ms: int) -> Step:
    state = _told(state, done, now_ms)
    return _ask_work(_to(state, Phase.CODING, tier=done.result["tier"]), "change")


def _coded(state: DeliveryState, done: WorkDone, now_ms: int) -> Step:
    return _or_stop(_told(state, done, now_ms), done, Phase.VERIFYING, "verify")


def _verified(state: DeliveryState, done: WorkDone, now_ms: int) -> Step:
    return _or_stop(_told(state, done, now_ms), done, Phase.BUILDING, "build")


def _or_stop(state: DeliveryState, done: WorkDone, phase: Phase, kind: str) -> Step:
    """Below a threshold the delivery stops here: nothing later may make up for it."""
    shortfalls = tuple(done.result.get("shortfalls", ()))
    if shortfalls:
        text = "; ".join(item["says"] for item in shortfalls)
        return conclude(state, Phase.STOPPED, text, reasons=shortfalls)
    return _ask_work(_to(state, phase), kind)


def _built(state: DeliveryState, done: WorkDone, now_ms: int) -> Step:
    state = msgspec.structs.replace(_told(state, done, now_ms), artifact=done.result["artifact"])
    return _or_stop(state, done, Phase.AUDITING, "audit")


def _audited(state: DeliveryState, done: WorkDone, now_ms: int) -> Step:
    state = _told(state, done, now_ms)
    reasons = tuple(done.result["reasons"])
    state = msgspec.structs.replace(state, reasons=reasons, decision_id=done.result["decision_id"])
    if done.result["effect"] != "allow":
        return _ask_work(_to(state, Phase.RECOURSE), "recourse", decision=done.result["decision"])
    plan = RolloutPlan(
        service=state.service,
        environment=state.environment,
        artifact=state.artifact,
        last_good=state.last_good,
        # Where nothing serves yet there is no traffic to split.
        steps=tuple(msgspec.convert(step, RolloutStep) for step in state.steps) if state.last_good else (_WHOLE,),
        ceiling=state.ceiling,
        warm=state.warm,
        origin=state.plan_origin,
    )
    state = _to(state, Phase.APPROVING, plan=plan, plan_digest=jcs.digest(plan.as_json()))
    return state, (_start_rollout(state, plan),)


def _start_rollout(state: DeliveryState, plan: RolloutPlan) -> Ask:
    return Ask(
        tool="start_rollout",
        key=request_key(state, "start_rollout"),
        parameters=plan.as_json(),
        evidence=state.evidence,
        plan=state.plan_digest,
        dry_run=state.dry_run,
    )


def _recourse_found(state: DeliveryState, done: WorkDone, now_ms: int) -> Step:
    state = msgspec.structs.replace(_told(state, done, now_ms), recourse=done.result)
    patches = done.result.get("patches", ())
    if not patches or state.dry_run:
        return conclude(state, Phase.DENIED, "the gate denied this change")
    state = _to(state, Phase.FIXING)
    return state, (_create_fix_branch(state, done.result),)


def _create_fix_branch(state: DeliveryState, recourse: dict[str, Any]) -> Ask:
    return Ask(
        tool="create_fix_branch",
        key=request_key(state, "create_fix_branch"),
        parameters={
            "branch": recourse["fix_branch"],
            "base": state.head_commit,
            "files": [{"path": patch["path"], "sha256": patch["sha256"]} for patch in recourse["patches"]],
        },
    )


def _fixed(state: DeliveryState, asked: Asked, now_ms: int) -> Step:
    if asked.status == "unknown" and state.recourse is not None:
        return state, (_create_fix_branch(state, state.recourse),)
    if asked.status == "committed" and state.recourse is not None:
        branch = state.recourse["fix_branch"]
        state = note(state, now_ms, f"fix committed on branch {branch}", asked.entry)
    else:
        state = note(state, now_ms, f"the fix could not be placed on a branch: {asked.status}", asked.entry, "bad")
    return conclude(state, Phase.DENIED, "the gate denied this change")


def _approved(state: DeliveryState, asked: Asked, now_ms: int) -> Step:
    plan = state.plan
    if plan is None:
        return conclude(state, Phase.FAILED, "a delivery in approval has no plan")
    if asked.status == "pending" and state.dry_run:
        return conclude(state, Phase.SUCCESSFUL, "dry run: every check passed; the rollout would wait for an approval")
    if asked.status == "pending":
        if asked.approval_id != state.approval_id:
            state = note(state, now_ms, f"waiting for approval {asked.approval_id}", asked.entry)
        return msgspec.structs.replace(state, approval_id=asked.approval_id), (_start_rollout(state, plan),)
    if asked.status == "unknown":
        # Recovery settles it; nothing is exposed until it is known to have happened.
        return state, (_start_rollout(state, plan),)
    if asked.status != "committed":
        return conclude(state, Phase.DENIED, "the rollout was denied", reasons=asked.reasons)
    if state.dry_run:
        return conclude(state, Phase.SUCCESSFUL, "dry run: every check passed and the rollout would be allowed")
    state = note(state, now_ms, "rollout authorised", asked.entry, "good")
    return begin_rollout(_to(state, Phase.ROLLING))


# What each phase asks for, and what reads the answer.
_WORK = {
    Phase.PLANNING: ("plan", _planned),
    Phase.CODING: ("change", _coded),
    Phase.VERIFYING: ("verify", _verified),
    Phase.BUILDING: ("build", _built),
    Phase.AUDITING: ("audit", _audited),
    Phase.RECOURSE: ("recourse", _recourse_found),
    Phase.CONCLUDING: ("conclude", _concluded),
}
_ASKED = {Phase.FIXING: ("create_fix_branch", _fixed), Phase.APPROVING: ("start_rollout", _approved)}
