"""The rollout: what it asks for, when, and what it never does."""

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from release_fleet import LAST_GOOD, SEGMENTS, row
from release_world import LIMITS, QUIET, World, plan

from bywire.model.decision import OutcomeStatus
from bywire.model.errors import ConfigError
from bywire.release.rollout import transition
from bywire.release.rollout_state import (
    FINAL,
    ActionOutcome,
    Observation,
    Phase,
    RetreatOrder,
    RolloutLimits,
    RolloutState,
    Telemetry,
    Tick,
    begin,
)

EXPOSE = ["deploy_release", "warm_release", ("set_canary_weight", 5)]
UP = [*EXPOSE, ("set_canary_weight", 25), ("set_canary_weight", 50), ("set_canary_weight", 100)]


def test_a_healthy_release_climbs_every_step_and_is_promoted():
    world = World().run()
    assert world.tools() == [*UP, "promote_release"]
    state = world.state
    assert (state.phase, state.verified, state.reason) == (Phase.SUCCESSFUL, True, "")
    assert [m.weight for m in state.verdicts if m.decision == "promote"] == [5, 25, 50, 100]
    assert_every_exposed_request_is_counted(world)


def assert_every_exposed_request_is_counted(world):
    canary = [r for r in world.rows if r.arm == "canary"]
    assert world.state.exposure_requests == sum(r.requests for r in canary) > 0
    assert world.state.exposure_bad == sum(r.errors for r in canary)


def test_a_harmful_release_is_rolled_back_and_the_retreat_is_verified_by_telemetry():
    world = World(harmed={"mobile-web": 0.4}).run()
    assert world.tools() == [*EXPOSE, "rollback_release"]
    state = world.state
    assert (state.phase, state.reason, state.verified) == (Phase.ROLLED_BACK, "harm_detected", True)
    assert state.verdict.segments == state.verdicts[-1].segments == ("mobile-web",)
    rollback = next(r for r in world.asked if r.tool == "rollback_release")
    assert rollback.parameters == {"artifact": LAST_GOOD, "reason": "harm_detected"}
    assert 0 < state.exposure_bad < state.exposure_requests
    assert_every_exposed_request_is_counted(world)


def test_a_plan_that_stops_at_fifty_promotes_from_there_only_if_its_ceiling_allows():
    assert World(plan((5, 50))).run().tools()[-1] == "promote_release"
    world = World(plan((5, 50), ceiling=50)).run()
    assert (world.tools()[-1], world.state.phase, world.state.reason) == (
        "rollback_release",
        "RolledBack",
        "ceiling_reached",
    )


def test_a_first_release_goes_straight_to_promotion():
    world = World(plan((), last_good="")).run()
    assert world.tools() == ["deploy_release", "warm_release", "promote_release"]
    assert world.state.phase is Phase.SUCCESSFUL


def test_without_warm_up_exposure_follows_the_deployment():
    assert World(plan(warm=False)).run().tools()[:2] == ["deploy_release", ("set_canary_weight", 5)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (plan((5, 60), ceiling=50), "plan_exceeds_ceiling"),
        (plan((0, 5)), "plan_exceeds_ceiling"),
        (plan((5, 101), ceiling=101), "plan_exceeds_ceiling"),
        (plan(()), "plan_without_steps"),
        (plan((), ceiling=50, last_good=""), "plan_exceeds_ceiling"),
    ],
)
def test_a_plan_that_contradicts_itself_does_nothing(broken, reason):
    world = World(broken).run()
    assert (world.asked, world.state.phase, world.state.reason) == ([], Phase.FAILED, reason)


D, F, U, P, C = (OutcomeStatus[n] for n in ("DENIED", "FAILED", "UNKNOWN", "PENDING", "COMMITTED"))


@pytest.mark.parametrize(
    ("answers", "tools", "phase", "reason"),
    [
        ({"deploy_release": D}, ["deploy_release"], "Failed", "deploy_release_denied"),
        ({"deploy_release": F}, ["deploy_release", "rollback_release"], "RolledBack", "deploy_release_failed"),
        ({"warm_release": D}, [*EXPOSE[:2], "rollback_release"], "RolledBack", "warm_release_denied"),
        ({"warm_release": U}, [*EXPOSE[:2], "rollback_release"], "RolledBack", "outcome_unknown"),
        ({"set_canary_weight": D}, [*EXPOSE, "rollback_release"], "RolledBack", "set_canary_weight_denied"),
        ({"set_canary_weight": [C, F]}, [*UP[:4], "rollback_release"], "RolledBack", "set_canary_weight_failed"),
        ({"set_canary_weight": [C, U]}, [*UP[:4], "rollback_release"], "RolledBack", "lease_lost"),
        ({"promote_release": F}, [*UP, "promote_release", "rollback_release"], "RolledBack", "promote_release_failed"),
        ({"renew_canary_lease": D}, [*EXPOSE, "rollback_release"], "RolledBack", "lease_denied"),
        ({"renew_canary_lease": F}, [*EXPOSE, "rollback_release"], "RolledBack", "lease_failed"),
    ],
)
def test_what_goes_wrong_leads_back(answers, tools, phase, reason):
    world = World(answers=answers, per_segment=60 if "renew_canary_lease" in answers else 500).run()
    assert (world.tools(), world.state.phase, world.state.reason) == (tools, phase, reason)


def test_pending_waits_without_losing_its_exposure_and_goes_on_when_granted():
    world = World(answers={"set_canary_weight": [C, *[P] * 40, C]}).run()
    assert world.state.phase is Phase.SUCCESSFUL
    assert world.tools() == [*UP, "promote_release"]


def test_promote_verdicts_change_nothing_while_an_outcome_is_awaited():
    world = World(answers={"set_canary_weight": [C, P]})
    while not (world.state.awaiting and world.state.awaiting.status is P):
        world.run(1)
    awaited = world.state.awaiting
    world.run(5)
    assert world.state.awaiting == awaited


def test_unknown_that_settles_goes_on():
    world = World(answers={"set_canary_weight": [U, U, C]}).run()
    assert world.state.phase is Phase.SUCCESSFUL


def test_harm_while_the_next_step_awaits_approval_still_rolls_back():
    world = World(answers={"set_canary_weight": [C, P]})
    world.run(30)
    assert world.state.awaiting.status is P
    world.harmed = {"ios": 0.5}
    world.run()
    assert (world.state.phase, world.state.reason) == (Phase.ROLLED_BACK, "harm_detected")


def test_a_rollback_that_fails_is_retried_under_new_keys_and_then_given_to_a_person():
    world = World(harmed={"ios": 0.5}, answers={"rollback_release": [F, U, C]}).run()
    assert (world.state.phase, world.state.generation) == (
        Phase.ROLLED_BACK,
        2,
    )  # unknown is asked again under its own key
    world = World(harmed={"ios": 0.5}, answers={"rollback_release": F}).run()
    assert (world.state.phase, world.state.reason) == (Phase.FAILED, "harm_detected:rollback_failed")
    keys = {r.key for r in world.asked if r.tool == "rollback_release"}
    assert len(keys) == LIMITS.rollback_attempts_max


def test_a_rollback_waits_for_nobody():
    world = World(harmed={"ios": 0.5}, answers={"rollback_release": [P] * 60 + [C]}).run()
    assert (world.state.phase, world.state.reason) == (Phase.ROLLED_BACK, "harm_detected")
    assert world.state.generation > 1


def test_a_retreat_that_telemetry_does_not_confirm_is_not_called_rolled_back():
    world = World(harmed={"ios": 0.5})
    act = world.act
    world.act = lambda request: None if request.tool == "rollback_release" else act(request)
    world.run()
    assert (world.state.phase, world.state.verified) == (Phase.FAILED, False)
    assert world.state.reason == "harm_detected:retreat_unverified"


def test_a_promotion_that_turns_out_unhealthy_or_unseen_is_taken_back():
    sick = World()
    act = sick.act

    def fail_after_promotion(request):
        act(request)
        sick_rate = 0.4 if request.tool == "promote_release" else 0.002
        sick.rng_rate = sick_rate

    sick.act = fail_after_promotion
    sick.rng_rate = 0.002
    sick.run(1)
    while sick.state.phase not in FINAL:
        sick.run(1)
        sick.rows[-2 * len(SEGMENTS) :] = [
            msgspec.structs.replace(r, errors=int(r.requests * sick.rng_rate)) for r in sick.rows[-2 * len(SEGMENTS) :]
        ]
    assert (sick.state.phase, sick.state.reason, sick.serving) == (Phase.ROLLED_BACK, "promotion_unhealthy", LAST_GOOD)

    unseen = World()
    while unseen.state.phase is not Phase.VERIFYING:
        unseen.run(1)
    unseen.silent = True
    unseen.run()
    assert (unseen.state.phase, unseen.state.reason) == (Phase.FAILED, "promotion_unverified:retreat_unverified")
    assert unseen.serving == LAST_GOOD


def test_silence_is_never_a_promotion():
    world = World(silent=True).run()
    assert world.tools() == [*EXPOSE, "rollback_release"]
    assert world.state.reason == "inconclusive:retreat_unverified"


def test_an_order_to_retreat_is_obeyed_at_once_and_once():
    world = World()
    world.run(5)
    world.step(RetreatOrder("stopped_by_person"))
    world.step(RetreatOrder("another"))
    world.run()
    assert [r.tool for r in world.asked].count("rollback_release") == 1
    assert (world.state.phase, world.state.reason) == (Phase.ROLLED_BACK, "stopped_by_person")


def test_a_tick_twice_asks_for_the_same_under_the_same_keys():
    world = World(answers={"deploy_release": P})
    world.run(3)
    once, asked = transition(world.state, Tick(), world.now_ms)
    twice, again = transition(once, Tick(), world.now_ms)
    assert (once, asked) == (twice, again)
    exposed = World()
    exposed.run(4)
    once, asked = transition(exposed.state, Tick(), exposed.now_ms)
    twice, again = transition(once, Tick(), exposed.now_ms)
    assert (once, asked) == (twice, again)
    assert {r.tool for r in asked} == QUIET


def test_the_lease_is_renewed_on_every_tick_while_exposed_and_never_otherwise():
    world = World(harmed={"ios": 0.1}, per_segment=60)
    while world.state.phase not in FINAL:
        exposed, before = world.state.phase is Phase.RUNNING and world.state.weight > 0, len(world.asked)
        world.run(1)
        renewed = any(r.tool == "renew_canary_lease" for r in world.asked[before:])
        assert renewed == exposed
    assert len({r.key for r in world.asked if r.tool == "renew_canary_lease"}) >= world.now_ms // 10_000


def test_state_survives_storage():
    world = World()
    world.run(30)
    stored = msgspec.json.encode(world.state)
    assert msgspec.json.decode(stored, type=RolloutState) == world.state
    for observation in (Tick(), Telemetry(tuple(world.rows[:3])), ActionOutcome("k", C), RetreatOrder("x")):
        assert msgspec.json.decode(msgspec.json.encode(observation), type=Observation) == observation


def test_limits_that_cannot_be_meant_are_refused():
    for wrong in (
        {"lease_seconds": 0},
        {"rollback_attempts_max": 0},
        {"verify_timeout_intervals": 1},
        {"healthy_rate_delta": 0},
    ):
        with pytest.raises(ConfigError):
            RolloutLimits(**wrong)


# Arbitrary histories


MOVES = [
    *[("go", "")] * 40,
    *[("outcome", status) for status in OutcomeStatus],
    *[("stray", status) for status in OutcomeStatus],
    *[("telemetry", kind) for kind in ("healthy", "harmed", "empty", "odd")],
    *[("tick", passed_ms) for passed_ms in (0, 300, 4000, 30_000)],
    ("order", "stop"),
]
plans = st.builds(
    plan,
    st.lists(st.sampled_from([5, 25, 50, 100]), min_size=1, max_size=4, unique=True).map(lambda w: tuple(sorted(w))),
    st.sampled_from([50, 100, 100, 100]),
    st.sampled_from([LAST_GOOD, LAST_GOOD, LAST_GOOD, ""]),
    st.booleans(),
)


def measured(state, kind, now_ms):
    start, through = state.step_started_interval, now_ms // 1000 - 1
    if kind == "empty" or start < 0:
        return ()
    if kind == "odd":
        return (row(start, "canary", requests=-5), row(-(10**12), "stable"))
    share = state.weight / 100
    return tuple(
        row(
            i,
            arm,
            "ios",
            int(1000 * part),
            int(1000 * part * (0.5 if kind == "harmed" and arm == "canary" else 0)),
            weight=state.weight,
        )
        for i in range(max(start, through - 8), through + 1)
        for arm, part in (("canary", share), ("stable", 1 - share))
    )


def observe(what, value, state, key, now_ms):
    """`go` is what a world that works would say next."""
    if what == "go" and state.awaiting:
        return ActionOutcome(state.awaiting.request.key, OutcomeStatus.COMMITTED)
    if what == "go":
        return Telemetry(measured(state, "healthy", now_ms))
    if what == "tick":
        return Tick()
    if what == "order":
        return RetreatOrder(value)
    if what == "telemetry":
        return Telemetry(measured(state, value, now_ms))
    return ActionOutcome(key if what == "outcome" else "other", value)


@given(plans, st.lists(st.sampled_from(MOVES), min_size=12, max_size=40))
@settings(max_examples=300, deadline=None)
def test_whatever_it_is_told_it_stays_within_the_plan(the_plan, script):
    state, now_ms, key = begin("r", the_plan, LIMITS), 10_000, "none"
    weights = [step.weight for step in the_plan.steps]
    exposed, promoted, retreated = [], False, False
    for what, value in [("tick", 0), *script]:
        now_ms += value if what == "tick" else 6000 if what == "go" and not state.awaiting else 50
        before = state
        state, requests = transition(state, observe(what, value, state, key, now_ms), now_ms)
        if before.phase in FINAL:
            assert (state, requests) == (before, ())
        for request in requests:
            if request.tool in {"set_canary_weight", "promote_release", "renew_canary_lease"}:
                assert not retreated
            if request.tool == "set_canary_weight":
                assert request.parameters["weight"] <= the_plan.ceiling
                if [request.parameters["weight"]] != exposed[-1:]:
                    exposed.append(request.parameters["weight"])
            if request.tool == "promote_release":
                assert the_plan.ceiling == 100
                assert not the_plan.last_good or exposed == weights
                promoted = True
            retreated |= request.tool == "rollback_release"
            key = key if request.tool in QUIET else request.key
        assert exposed == weights[: len(exposed)]
        assert state.step < len(weights)
        assert state.weight in {0, *weights}
        assert state.phase is not Phase.SUCCESSFUL or promoted
        assert len(state.verdicts) <= LIMITS.verdicts_max
        again, _ = transition(state, Tick(), now_ms)
        assert transition(again, Tick(), now_ms) == transition(again, Tick(), now_ms)
        event(f"{state.phase} at step {state.step}")
