"""The delivery machine: each phase reads one answer; whatever it is told, it never raises and ends in one way only."""

import msgspec
import pytest
from delivery_world import (
    ARTIFACT,
    INTERVAL,
    LAST_GOOD,
    MACHINE,
    NOW,
    PLAN,
    answer,
    asked,
    at,
    begun,
    delivery,
    done,
    healthy,
    run,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.delivery.machine import transition
from bywire.delivery.state import EVENTS_MAX, TERMINAL, Ask, Asked, Ending, Phase, Work, WorkDone
from bywire.delivery.story import note, request_key
from bywire.seal import jcs

ERROR = {"code": "work_failed", "message": "the build broke", "next_step": "fix it"}
LIVE = [phase for phase in Phase if phase not in TERMINAL]


def step(state, requests, *answers):
    return transition(state, answers or tuple(answer(request, state) for request in requests), NOW)


def ends(state, requests):
    """Let the announced end be recorded."""
    assert state.phase is Phase.CONCLUDING
    return run(state, requests, until=lambda _: False)[0]


# --- the way of a good change ---


def test_a_good_change_walks_every_phase_in_order():
    state, requests = begun()
    seen = [state.phase]
    while state.phase is not Phase.ROLLING:
        state, requests = step(state, requests)
        seen.append(state.phase)
    assert seen == [
        Phase.PLANNING,
        Phase.CODING,
        Phase.VERIFYING,
        Phase.BUILDING,
        Phase.AUDITING,
        Phase.APPROVING,
        Phase.ROLLING,
    ]
    assert (state.tier, state.artifact, state.decision_id) == ("medium", ARTIFACT, "d-1")
    assert len(state.evidence) == 5
    assert all(event.entry == 7 for event in state.events[1:-1])
    assert requests == (Ask("read_telemetry", "dl-1:1:baseline", {"since_interval": 0}),)


@pytest.mark.parametrize(
    ("phase", "wanted"),
    [
        (Phase.PLANNING, "plan"),
        (Phase.CODING, "change"),
        (Phase.VERIFYING, "verify"),
        (Phase.BUILDING, "build"),
        (Phase.AUDITING, "audit"),
        (Phase.RECOURSE, "recourse"),
        (Phase.FIXING, "create_fix_branch"),
        (Phase.APPROVING, "start_rollout"),
        (Phase.CONCLUDING, "conclude"),
    ],
)
def test_each_phase_asks_for_one_thing_under_its_own_key(phase, wanted):
    state, (request,) = at(phase)
    assert state.phase is phase
    assert (request.kind if isinstance(request, Work) else request.tool) == wanted
    assert request.key == f"dl-1:1:{wanted}"


def test_rule_20_the_plan_that_is_asked_for_is_exactly_what_is_then_rolled_out():
    state, (request,) = at(Phase.APPROVING)
    plan = msgspec.json.decode(msgspec.json.encode(request.parameters))
    assert (plan["artifact"], plan["last_good"], plan["ceiling"], plan["warm"]) == (ARTIFACT, LAST_GOOD, 100, False)
    assert plan["steps"] == [{"weight": 5, "segments": []}, {"weight": 50, "segments": ["ios"]}]
    assert request.plan == state.plan_digest == jcs.digest(plan)
    assert request.evidence == state.evidence
    assert not request.dry_run


def test_a_first_release_has_no_traffic_to_split():
    state, (request,) = at(Phase.APPROVING, last_good="")
    assert [one["weight"] for one in request.parameters["steps"]] == [100]
    assert state.plan.last_good == ""


# --- the unhappy answers ---


@pytest.mark.parametrize("phase", [Phase.CODING, Phase.VERIFYING])
def test_below_a_threshold_the_delivery_stops_here(phase):
    state, (work,) = at(phase)
    shortfalls = [{"rule": "tests.failed", "says": "2 tests fail"}, {"rule": "x", "says": "coverage 0.4 < 0.8"}]
    ended = ends(*step(state, (), done(work, state, shortfalls=shortfalls)))
    assert ended.phase is Phase.STOPPED
    assert ended.events[-1].text == "2 tests fail; coverage 0.4 < 0.8"
    assert [reason["rule"] for reason in ended.reasons] == ["tests.failed", "x"]


@pytest.mark.parametrize(
    "phase", [Phase.PLANNING, Phase.CODING, Phase.VERIFYING, Phase.BUILDING, Phase.AUDITING, Phase.RECOURSE]
)
def test_a_role_that_cannot_deliver_fails_the_delivery(phase):
    state, (work,) = at(phase)
    ended = ends(*step(state, (), done(work, state, error=ERROR)))
    assert ended.phase is Phase.FAILED
    assert ended.events[-1].text == "work_failed: the build broke"
    assert ended.reasons[0]["rule"] == "work_failed"


@pytest.mark.parametrize("effect", ["deny", "approval_needed", "sanitize", "", None, True])
def test_rule_08_anything_but_allow_leads_to_recourse(effect):
    state, (work,) = at(Phase.AUDITING)
    state, (request,) = step(state, (), done(work, state, effect=effect, reasons=[{"rule": "gate.x", "facts": {}}]))
    assert (state.phase, request.kind, request.arguments) == (Phase.RECOURSE, "recourse", {"decision": {"id": "d-1"}})
    assert state.plan is None


def test_a_denied_change_is_repaired_on_a_branch_of_its_own_and_stays_denied():
    state, (ask,) = at(Phase.FIXING)
    assert ask.parameters == {
        "branch": "bywire/fix/1-1",
        "base": "2" * 40,
        "files": [{"path": "deploy/policy.yaml", "sha256": "c" * 64}],
    }
    for status, told in (("committed", "fix committed"), ("denied", "could not"), ("pending", "could not")):
        ended = ends(*step(state, (), asked(ask, status)))
        assert ended.phase is Phase.DENIED
        assert any(told in event.text for event in ended.events)
        assert ended.reasons[0]["rule"] == "gate.x"
    assert step(state, (), asked(ask, "unknown"))[1] == (ask,)


@pytest.mark.parametrize("changes", [{"patches": []}, {"patches": None}])
def test_without_a_patch_the_denial_stands(changes):
    state, (work,) = at(Phase.RECOURSE)
    if changes["patches"] is None:
        changes = {"patches": ()}
    assert ends(*step(state, (), done(work, state, **changes))).phase is Phase.DENIED


def test_waiting_for_a_person_asks_again_under_the_same_key():
    state, (ask,) = at(Phase.APPROVING)
    waiting, (again,) = step(state, (), asked(ask, "pending", approval_id="ap-1"))
    assert (waiting.phase, waiting.approval_id, again) == (Phase.APPROVING, "ap-1", ask)
    assert waiting.events[-1].text == "waiting for approval ap-1"
    same, _ = step(waiting, (), asked(ask, "pending", approval_id="ap-1"))
    assert same == waiting
    other, _ = step(waiting, (), asked(ask, "pending", approval_id="ap-2"))
    assert other.approval_id == "ap-2"


@pytest.mark.parametrize(
    ("status", "phase"), [("denied", Phase.DENIED), ("failed", Phase.FAILED), ("odd", Phase.DENIED)]
)
def test_a_rollout_that_is_not_authorised_never_begins(status, phase):
    state, (ask,) = at(Phase.APPROVING)
    reasons = ({"rule": "state.stopped", "facts": {}},)
    ended = ends(*step(state, (), asked(ask, status, reasons=reasons, error=ERROR if status == "failed" else None)))
    assert (ended.phase, ended.rollout) == (phase, None)


def test_an_unknown_authorisation_exposes_nothing():
    state, (ask,) = at(Phase.APPROVING)
    assert step(state, (), asked(ask, "unknown", error=ERROR)) == (state, (ask,))


@pytest.mark.parametrize("status", ["committed", "pending"])
def test_a_dry_run_ends_before_any_rollout_and_asks_nobody(status):
    state, (ask,) = at(Phase.APPROVING, dry_run=True)
    assert ask.dry_run
    ended = ends(*step(state, (), asked(ask, status, approval_id="")))
    assert (ended.phase, ended.rollout) == (Phase.SUCCESSFUL, None)
    assert "dry run" in ended.events[-1].text
    denied, (work,) = at(Phase.RECOURSE, dry_run=True)
    assert ends(*step(denied, (), done(work, denied))).phase is Phase.DENIED


# --- robustness ---


@pytest.mark.parametrize("phase", [phase for phase in LIVE if phase is not Phase.ROLLING])
def test_without_an_answer_the_same_thing_is_asked_again(phase):
    state, requests = at(phase)
    expected = at(Phase.AUDITING)[1] if phase is Phase.RECOURSE else requests
    assert MACHINE.transition(state, (), NOW)[1] == expected
    for stranger in (
        WorkDone(key="dl-1:1:other", kind="plan", result={}),
        WorkDone(key="dl-2:1:plan", kind="plan", result={}, error=ERROR),
        Asked("dl-1:0:start_rollout", "start_rollout", "committed", None, "", 1, (), ""),
    ):
        assert MACHINE.transition(state, (stranger,), NOW)[1] == expected


def test_one_answer_moves_one_phase_however_often_it_comes():
    state, (work,) = at(Phase.PLANNING)
    once = step(state, (), done(work, state))
    assert step(state, (), done(work, state), done(work, state)) == once
    assert once[0].phase is Phase.CODING


@pytest.mark.parametrize(
    ("phase", "result"),
    [
        (Phase.PLANNING, {}),
        (Phase.PLANNING, {"tier": "low", "lines": 5}),
        (Phase.PLANNING, {"tier": "low", "statements": 1}),
        (Phase.CODING, {"shortfalls": [{}]}),
        (Phase.CODING, {"shortfalls": ["text"]}),
        (Phase.VERIFYING, {"shortfalls": 5}),
        (Phase.BUILDING, {"lines": []}),
        (Phase.AUDITING, {"effect": "allow"}),
        (Phase.AUDITING, {"effect": "deny", "reasons": [], "decision_id": "d"}),
        (Phase.RECOURSE, {"patches": [1], "fix_branch": "b"}),
        (Phase.RECOURSE, {"patches": [{"path": "p"}], "fix_branch": "b"}),
        (Phase.RECOURSE, {"patches": [{"path": "p", "sha256": "c"}]}),
    ],
)
def test_an_answer_of_another_shape_ends_the_delivery(phase, result):
    state, (work,) = at(phase)
    after, _ = transition(state, (WorkDone(key=work.key, kind=work.kind, result=result),), NOW)
    assert after.ending.phase is Phase.FAILED
    assert after.ending.text.startswith("answer_malformed: ")


def test_a_delivery_that_lost_what_it_needs_fails():
    for phase in (Phase.APPROVING, Phase.FIXING, Phase.ROLLING, Phase.CONCLUDING):
        after, _ = transition(delivery(phase=phase, limits=None), (), NOW)
        assert (after.phase, after.ending.phase) == (Phase.CONCLUDING, Phase.FAILED)


def test_an_end_that_cannot_be_recorded_is_still_an_end():
    state, (work,) = at(Phase.CONCLUDING)
    ended, requests = step(state, (), done(work, state, error=ERROR))
    assert (ended.phase, ended.events[-1].entry, requests) == (Phase.STOPPED, -1, ())


def test_the_story_is_bounded():
    state = delivery()
    for number in range(EVENTS_MAX + 10):
        state = note(state, NOW, str(number))
    assert (len(state.events), state.events[-1].text) == (EVENTS_MAX, str(EVENTS_MAX + 9))


def test_a_new_attempt_has_keys_of_its_own():
    assert request_key(delivery(generation=2), "plan") == "dl-1:2:plan"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 300), st.sampled_from(["allow", "deny", ARTIFACT, "", "é"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["lines", "tier", "effect", "patches", "shortfalls", "intervals", "says", "path", "statements"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [f"dl-1:1:{what}" for what in ("plan", "change", "verify", "build", "audit", "recourse", "conclude", "baseline")]
    + [f"dl-1:1:{what}" for what in ("create_fix_branch", "start_rollout", "deploy", "step/0", "promote", "rollback")]
    + ["", "other"]
)
TOOLS = (
    "start_rollout",
    "create_fix_branch",
    "read_telemetry",
    "deploy_release",
    "set_canary_weight",
    "renew_canary_lease",
    "promote_release",
    "rollback_release",
    "settle_release",
    "unheard_of",
)
RESULTS = st.one_of(
    JSON.filter(lambda value: isinstance(value, dict)),
    st.builds(
        lambda kind, extra: {**WORK_RESULTS[kind], **(extra if isinstance(extra, dict) else {})},
        st.sampled_from(["plan", "change", "build", "audit", "recourse"]),
        JSON,
    ),
)
WORK_RESULTS = {
    kind: done(Work(kind, "k", {}), delivery()).result for kind in ("plan", "change", "build", "audit", "recourse")
}
TELEMETRY = st.lists(
    st.builds(
        lambda interval, requests, errors: msgspec.to_builtins(
            msgspec.structs.replace(INTERVAL, interval=interval, requests=requests, errors=errors)
        ),
        st.integers(-2, 3),
        st.integers(-1, 9),
        st.integers(-1, 9),
    ),
    max_size=3,
).map(lambda rows: {"intervals": rows})
OBSERVATIONS = st.one_of(
    st.builds(
        WorkDone,
        key=KEYS,
        kind=st.sampled_from(["plan", "verdict", "audit", "conclude"]),
        result=RESULTS,
        entries=st.lists(st.integers(-1, 9), max_size=2).map(tuple),
        error=st.sampled_from([None, None, None, ERROR]),
    ),
    st.builds(
        Asked,
        key=KEYS,
        tool=st.sampled_from(TOOLS),
        status=st.sampled_from(["committed", "failed", "unknown", "denied", "pending", "odd", ""]),
        result=st.one_of(st.none(), TELEMETRY, JSON.filter(lambda value: isinstance(value, dict))),
        approval_id=st.sampled_from(["", "ap-1"]),
        entry=st.integers(-1, 9),
        reasons=st.sampled_from([(), ({"rule": "x"},), ({},)]),
        decision_id=st.just("d"),
        error=st.sampled_from([None, ERROR, {}]),
        replayed=st.booleans(),
    ),
)
STATES = st.one_of(
    st.sampled_from(LIVE).map(lambda phase: at(phase)[0]),
    st.builds(
        delivery,
        phase=st.sampled_from(list(Phase)),
        plan=st.sampled_from(
            [None, PLAN, msgspec.structs.replace(PLAN, steps=()), msgspec.structs.replace(PLAN, last_good="")]
        ),
        recourse=st.sampled_from([None, {"fix_branch": "b", "patches": []}]),
        ending=st.sampled_from([None, Ending(Phase.DENIED, "so")]),
        dry_run=st.booleans(),
        last_good=st.sampled_from(["", LAST_GOOD]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(STATES, st.lists(st.lists(OBSERVATIONS, max_size=3), max_size=5))
def test_whatever_it_is_told_it_never_raises_and_survives_its_encoding(state, sequence):
    for position, observations in enumerate(sequence):
        before = state
        state, requests = MACHINE.transition(state, tuple(observations), NOW + position * 60_000)
        encoded = MACHINE.encode(state, requests)
        again = MACHINE.decode(*encoded)
        assert MACHINE.encode(*again) == encoded
        # What comes back from the disk behaves as what was sent there.
        assert MACHINE.encode(*MACHINE.transition(again[0], (), NOW)) == MACHINE.encode(
            *MACHINE.transition(state, (), NOW)
        )
        if before.terminal:
            assert (state, requests) == (before, ())
        else:
            assert state.terminal or requests


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(OBSERVATIONS, max_size=2), max_size=4))
def test_noise_between_the_answers_changes_nothing_that_is_asked(noise):
    quiet, wanted = begun()
    loud, asked_for = begun()
    for observations in noise:
        strangers = tuple(seen for seen in observations if seen.key not in {request.key for request in asked_for})
        assert transition(loud, strangers, NOW) == (loud, asked_for)
        quiet, wanted = step(quiet, wanted)
        loud, asked_for = step(loud, asked_for, *strangers, *(answer(request, loud) for request in asked_for))
        assert (loud, asked_for) == (quiet, wanted)
        if loud.phase is Phase.ROLLING:
            break


def test_telemetry_for_one_interval_reads_back():
    rows = msgspec.convert(healthy(3), list[type(INTERVAL)])
    assert {row.interval for row in rows} == {3}
