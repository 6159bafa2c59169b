"""The rollout inside a delivery, in virtual time: exposure by verdict alone, and a retreat that telemetry proves."""

import msgspec
import pytest
from delivery_world import ARTIFACT, LAST_GOOD, MACHINE, NOW, answer, asked, at, done

from bywire.delivery.rolling import advance_rollout
from bywire.delivery.state import Ask, Asked, Phase, Work
from bywire.release.rollout_state import Phase as RolloutPhase

MINUTE = 60_000
SEGMENTS = ("ios", "android")


class Target:
    """Answers what the rollout asks, and serves minute by minute; `bad` of 1,000 canary requests fail."""

    def __init__(self, bad=0):
        self.bad = bad
        self.now = NOW
        self.weight = 0
        self.stable = LAST_GOOD
        self.rows = []
        self.calls = []
        self.statuses = {}
        self.role_error = None

    def minute(self):
        for segment in SEGMENTS:
            canary = 50 * self.weight
            for arm, digest, requests, errors in (
                ("stable", self.stable, 5_000 - canary, 5),
                ("canary", ARTIFACT, canary, canary * self.bad // 1_000),
            ):
                if requests:
                    self.rows.append(
                        {
                            "interval": self.now // MINUTE,
                            "arm": arm,
                            "segment": segment,
                            "digest": digest,
                            "requests": requests,
                            "errors": errors,
                            "slow": 0,
                            "latency_ms_sum": 10.0 * requests,
                            "weight": float(self.weight),
                        }
                    )
        self.now += MINUTE

    def answer(self, request, state):
        if isinstance(request, Work):
            return done(request, state, error=self.role_error)
        self.calls.append(request)
        status = self.statuses.get(request.tool, "committed")
        if status != "committed":
            return asked(request, status, result=None, error={"code": "x", "message": "no"}, reasons=({"rule": "r"},))
        if request.tool == "read_telemetry":
            since = request.parameters["since_interval"]
            return asked(request, result={"intervals": [row for row in self.rows if row["interval"] >= since]})
        if request.tool == "set_canary_weight":
            self.weight = request.parameters["weight"]
        elif request.tool in {"rollback_release", "promote_release"}:
            self.weight = 0
            self.stable = ARTIFACT if request.tool == "promote_release" else request.parameters["to"]
        return asked(request)


def rolled(target, *, minutes=120, **changes):
    """A delivery from authorisation to its end, one tick a minute after ten minutes of reference traffic."""
    state, requests = at(
        Phase.ROLLING, steps=({"weight": 20, "segments": []}, {"weight": 50, "segments": []}), **changes
    )
    for _ in range(10):
        target.minute()
    for _ in range(minutes):
        if state.terminal:
            break
        seen = tuple(target.answer(request, state) for request in requests)
        state, requests = MACHINE.transition(state, seen, target.now)
        again = MACHINE.decode(*MACHINE.encode(state, requests))
        assert MACHINE.encode(*again) == MACHINE.encode(state, requests)
        state, requests = again
        target.minute()
    return state


def tools(target):
    seen = []
    for call in target.calls:
        if call.tool not in {"read_telemetry", "renew_canary_lease"} and call not in seen:
            seen.append(call)
    return [call.tool for call in seen]


def test_a_healthy_release_is_exposed_step_by_step_and_promoted():
    target = Target()
    state = rolled(target)
    assert state.phase is Phase.SUCCESSFUL
    assert state.rollout.verified
    assert tools(target) == [
        "deploy_release",
        "set_canary_weight",
        "set_canary_weight",
        "promote_release",
        "settle_release",
    ]
    weights = [call.parameters["weight"] for call in target.calls if call.tool == "set_canary_weight"]
    assert sorted(set(weights)) == [20, 50]
    told = [event.text for event in state.events]
    assert "canary at 20%" in told
    assert "promoted: the canary is stable now" in told
    assert any(text.startswith("judge: promote") for text in told)


def test_rule_16_a_harmful_release_is_taken_back_to_the_last_good_digest():
    target = Target(bad=300)
    state = rolled(target)
    assert (state.phase, target.stable, target.weight) == (Phase.ROLLED_BACK, LAST_GOOD, 0)
    assert tools(target)[-1] == "rollback_release"
    (rollback,) = {call.key for call in target.calls if call.tool == "rollback_release"}
    assert next(call for call in target.calls if call.key == rollback).parameters == {"to": LAST_GOOD}
    assert state.reasons[0]["rule"] == "rollout.harm_detected"
    assert state.reasons[0]["facts"]["verified"] is True
    assert "promote_release" not in tools(target)


def test_rule_20_every_step_is_asked_under_the_approved_plan():
    target = Target()
    state = rolled(target)
    for call in target.calls:
        assert isinstance(call, Ask)
        reads = call.tool == "read_telemetry"
        assert call.plan == ("" if reads else state.plan_digest)
        assert call.evidence == (() if reads else state.evidence)
        assert call.key.startswith("dl-1:1:")


def test_the_door_is_asked_only_for_what_its_contracts_take():
    from bywire.gateway.contract import Catalogue
    from bywire.gateway.contracts import CONTRACTS

    catalogue = Catalogue(CONTRACTS)
    for target in (Target(), Target(bad=300)):
        rolled(target)
        for call in target.calls:
            catalogue.check(catalogue.find(call.tool), call.parameters)


@pytest.mark.parametrize("status", ["denied", "failed"])
def test_a_deployment_that_is_not_done_exposes_nothing(status):
    target = Target()
    target.statuses = {"deploy_release": status}
    state = rolled(target)
    assert state.phase in {Phase.FAILED, Phase.ROLLED_BACK}
    assert "set_canary_weight" not in tools(target)
    assert any(event.text.startswith(f"deploy_release {status}") for event in state.events)


@pytest.mark.parametrize("status", ["denied", "failed", "unknown"])
def test_a_step_that_is_not_done_leads_back(status):
    target = Target()
    target.statuses = {"set_canary_weight": status}
    state = rolled(target)
    assert state.phase is Phase.ROLLED_BACK
    assert "promote_release" not in tools(target)


def test_rule_16_a_retreat_that_is_refused_ends_with_a_person():
    target = Target(bad=300)
    target.statuses = {"rollback_release": "failed"}
    state = rolled(target, minutes=300)
    assert state.phase is Phase.FAILED
    assert "a person must look" in state.events[-1].text
    keys = {call.key for call in target.calls if call.tool == "rollback_release"}
    assert len(keys) > 1  # each deliberate retry is another generation


def test_missing_telemetry_never_promotes():
    target = Target()
    target.statuses = {"read_telemetry": "denied"}
    state = rolled(target, minutes=200)
    assert state.phase is not Phase.SUCCESSFUL
    assert "promote_release" not in tools(target)


@pytest.mark.parametrize("result", [None, {}, {"intervals": "all"}, {"intervals": [{"arm": "canary"}]}, {"rows": []}])
def test_telemetry_of_another_shape_is_missing_telemetry(result):
    class Broken(Target):
        def answer(self, request, state):
            seen = super().answer(request, state)
            return msgspec.structs.replace(seen, result=result) if request.key and "telemetry" in request.key else seen

    target = Broken()
    assert rolled(target, minutes=30).phase is not Phase.SUCCESSFUL
    assert "promote_release" not in tools(target)


def test_a_verdict_that_cannot_be_signed_holds_up_no_retreat():
    target = Target(bad=300)
    target.role_error = {"code": "key_missing", "message": "the controller's key is missing", "next_step": "x"}
    state = rolled(target)
    assert state.phase is Phase.ROLLED_BACK
    assert any("a verdict was not recorded" in event.text for event in state.events)


def test_a_repeated_or_foreign_answer_changes_no_weight():
    state, requests = at(Phase.ROLLING)
    state, requests = advance_rollout(state, tuple(answer(request, state) for request in requests), NOW)
    assert [request.tool for request in requests] == ["deploy_release"]
    stranger = Asked("dl-1:1:step/0", "set_canary_weight", "committed", None, "", 1, (), "")
    for seen in ((stranger,), (stranger, stranger), ()):
        after, again = advance_rollout(state, seen, NOW)
        assert (after.rollout.phase, after.rollout.weight, again) == (RolloutPhase.STAGING, 0, requests)


def test_the_same_tick_twice_asks_for_the_same_under_the_same_keys():
    target = Target()
    state, requests = at(Phase.ROLLING)
    for _ in range(30):
        target.minute()
        seen = tuple(target.answer(request, state) for request in requests)
        assert MACHINE.transition(state, seen, target.now) == MACHINE.transition(state, seen, target.now)
        state, requests = MACHINE.transition(state, seen, target.now)
