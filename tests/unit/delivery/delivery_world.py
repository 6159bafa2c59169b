"""A delivery in memory: a role's answer and the door's answer to each request, with the parts that a test changes."""

import msgspec

from bywire.delivery.machine import DeliveryMachine, start
from bywire.delivery.state import Asked, DeliveryState, Phase, Work, WorkDone
from bywire.model.rollout_plan import RolloutPlan, RolloutStep
from bywire.model.telemetry import ArmInterval
from bywire.release.rollout_state import RolloutLimits
from bywire.seal import jcs

NOW = 1_790_000_000_000
ARTIFACT, LAST_GOOD = "a" * 64, "b" * 64
LIMITS = RolloutLimits(interval_seconds=60.0, lease_seconds=180.0)
MACHINE = DeliveryMachine()


def delivery(**changes):
    state = DeliveryState(
        id="dl-1",
        goal="a faster checkout",
        service="storefront",
        environment="production",
        branch="feature",
        base_branch="main",
        base_commit="1" * 40,
        head_commit="2" * 40,
        generation=1,
        dry_run=False,
        steps=({"weight": 5, "segments": []}, {"weight": 50, "segments": ["ios"]}),
        warm=False,
        plan_origin="bywire.yaml",
        ceiling=100,
        last_good=LAST_GOOD,
        limits=LIMITS,
    )
    return msgspec.structs.replace(state, **changes)


def work_result(kind, state):
    """What a role delivers when all is well."""
    lines = {"lines": [f"{kind} done"], "statements": [jcs.digest([kind, state.id])]}
    return {
        "plan": {**lines, "tier": "medium"},
        "change": {**lines, "shortfalls": []},
        "verify": {**lines, "shortfalls": []},
        "build": {**lines, "artifact": ARTIFACT},
        "audit": {**lines, "effect": "allow", "decision_id": "d-1", "decision": {"id": "d-1"}, "reasons": []},
        "recourse": {
            **lines,
            "patches": [{"path": "deploy/policy.yaml", "sha256": "c" * 64}],
            "fix_branch": "bywire/fix/1-1",
        },
        "verdict": lines,
        "conclude": lines,
    }[kind]


def done(work, state, entries=(7,), error=None, **changes):
    result = {} if error else {**work_result(work.kind, state), **changes}
    return WorkDone(key=work.key, kind=work.kind, result=result, entries=entries, error=error)


def asked(ask, status="committed", **changes):
    answer = Asked(
        key=ask.key,
        tool=ask.tool,
        status=status,
        result={"version": 1},
        approval_id="",
        entry=9,
        reasons=(),
        decision_id="d-2",
    )
    return msgspec.structs.replace(answer, **changes)


def healthy(interval, weight=5):
    """One interval of both arms serving well."""
    return tuple(
        {
            "interval": interval,
            "arm": arm,
            "segment": segment,
            "digest": digest,
            "requests": requests,
            "errors": 0,
            "slow": 0,
            "latency_ms_sum": 10.0 * requests,
            "weight": float(weight),
        }
        for arm, digest, requests in (("stable", LAST_GOOD, 4_000), ("canary", ARTIFACT, 4_000))
        for segment in ("ios", "android")
    )


def answer(request, state):
    """The good answer to whatever is asked."""
    if isinstance(request, Work):
        return done(request, state)
    return asked(request)


def begun(**changes):
    return start(delivery(**changes), NOW)


def run(state, requests, *, until, answers=answer, ticks=60, now_ms=NOW):
    """Tick with `answers` until `until(state)` or the end; every state survives its encoding."""
    for _ in range(ticks):
        if state.terminal or until(state):
            break
        seen = tuple(answers(request, state) for request in requests)
        state, requests = MACHINE.transition(state, seen, now_ms)
        assert MACHINE.decode(*MACHINE.encode(state, requests)) is not None
    return state, requests


def at(phase, **changes):
    """A delivery that got to `phase` with good answers, and what it then asks for."""

    def answers(request, state):
        if isinstance(request, Work) and request.kind == "audit" and phase in {Phase.RECOURSE, Phase.FIXING}:
            return done(request, state, effect="deny", reasons=[{"rule": "gate.x", "facts": {}}])
        if isinstance(request, Work) and request.kind == "change" and phase is Phase.CONCLUDING:
            return done(request, state, shortfalls=[{"says": "does not build"}])
        return answer(request, state)

    return run(*begun(**changes), until=lambda state: state.phase is phase, answers=answers)


PLAN = RolloutPlan(
    "storefront", "production", ARTIFACT, LAST_GOOD, (RolloutStep(5),), ceiling=100, warm=False, origin="x"
)
INTERVAL = ArmInterval(1, "stable", "ios", LAST_GOOD, 10, 0, 0, 1.0, 0.0)
