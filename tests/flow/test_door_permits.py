"""Permits: what the caller carries out itself is decided and durable before, and reported once, by nobody else."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from connected_world import ConnectedWorld, connected, scale
from door_world import CONTROLLER, RESPONDER, ApprovalEngine, ask

from bywire.gateway.contract import ContractError
from bywire.model.decision import Effect, OutcomeStatus
from bywire.model.errors import ConflictError, EvidenceError

VICTIM = Path(__file__).with_name("connected_victim.py")
KEY = f"{CONTROLLER}|cluster.scale|k1"


@pytest.fixture
def world(tmp_path):
    made = ConnectedWorld(tmp_path)
    made.engine.obligations = ()
    yield made
    made.close()


def permit(world, request=None, principal=CONTROLLER, **how):
    return world.door.permit(world.token(principal), request or scale(), **how)


def report(world, status="committed", result=None, principal=CONTROLLER, intent=KEY):
    return world.door.report(world.token(principal), intent, status, result)


def test_rule_10_a_permit_is_durable_before_it_is_given(world):
    outcome = permit(world)
    assert (outcome.status, outcome.result["permitted"], outcome.result["intent"]) == (OutcomeStatus.UNKNOWN, True, KEY)
    assert outcome.result["parameters"] == {"env": "stage", "replicas": 2}
    assert outcome.result["deadline_ms"] > world.clock.now
    assert world.intents() == {KEY: "intended"}
    assert world.upstream.effects == []
    assert world.spent(f"principal:{CONTROLLER}") == 1_000
    (decision,) = world.predicates("decision")
    assert (decision["intent"], decision["mediated"]) == (KEY, False)


def test_a_report_settles_it_with_what_the_caller_said(world):
    permit(world)
    outcome = report(world, result={"said": "ok", "token": "ghp_" + "a1B2" * 9})
    assert (outcome.status, world.intents()) == (OutcomeStatus.COMMITTED, {KEY: "committed"})
    assert "a1B2" not in str(outcome.result)
    (told,) = world.predicates("outcome")
    assert (told["status"], told["observed"]["before"]) == ("committed", {"reported_by": CONTROLLER})
    assert world.verify().ok


def test_rule_12_a_permit_is_not_given_twice(world):
    permit(world)
    again = permit(world)
    assert (again.status, again.result) == (OutcomeStatus.UNKNOWN, None)
    called = world.door.call(world.token(), scale())
    assert (called.status, world.upstream.effects) == (OutcomeStatus.UNKNOWN, [])
    report(world, result={"n": 1})
    again = permit(world)
    assert (again.status, again.result, again.replayed) == (OutcomeStatus.COMMITTED, {"n": 1}, True)


def test_what_was_called_is_not_permitted_again(world):
    world.door.call(world.token(), scale())
    again = permit(world)
    assert (again.status, again.replayed, "permitted" in again.result) == (OutcomeStatus.COMMITTED, True, False)


def test_nobody_reports_for_another(world):
    permit(world)
    with pytest.raises(ContractError, match="no permit of yours") as other:
        report(world, principal=RESPONDER)
    with pytest.raises(ContractError) as missing:
        report(world, intent=f"{CONTROLLER}|cluster.scale|none")
    assert (str(other.value), other.value.code) == (str(missing.value), missing.value.code)
    assert world.intents() == {KEY: "intended"}
    with pytest.raises(EvidenceError):
        world.door.report("no token", KEY, "committed", None)


def test_what_the_door_carried_out_is_nobodys_to_report(world):
    world.door.call(world.token(), scale())
    with pytest.raises(ContractError, match="no permit of yours"):
        report(world, "failed")
    assert world.intents() == {KEY: "committed"}


@pytest.mark.parametrize("second", [("failed", {"n": 1}), ("committed", {"n": 2}), ("unknown", None)])
def test_what_was_reported_first_stands(world, second):
    permit(world)
    report(world, "committed", {"n": 1})
    entries = len(world.entries("outcome"))
    with pytest.raises(ConflictError, match="settled as committed"):
        report(world, *second)
    assert report(world, "committed", {"n": 1}).replayed, "the same report again is a lost answer, not a second one"
    assert world.intents() == {KEY: "committed"}
    assert len(world.entries("outcome")) == entries


def test_who_does_not_know_yet_may_know_later(world):
    permit(world)
    for _ in range(3):
        assert report(world, "unknown").status is OutcomeStatus.UNKNOWN
    assert len(world.entries("outcome")) == 1
    assert report(world, "failed", {"why": "x"}).error["code"] == "reported_failed"
    assert world.intents() == {KEY: "failed"}


def test_of_two_reports_at_once_one_stands(world):
    permit(world)
    token = world.token()

    def other():
        world.door.report(token, KEY, "failed", {"other": True})

    settle = world.journal.settle

    def late(*given):
        world.journal.settle = settle
        other()
        return settle(*given)

    world.journal.settle = late
    with pytest.raises(ConflictError, match="settled as failed"):
        world.door.report(token, KEY, "committed", {"n": 1})
    assert world.intents() == {KEY: "failed"}


@pytest.mark.parametrize("status", ["denied", "pending", "", "COMMITTED", "advised"])
def test_a_report_says_how_it_ended(world, status):
    permit(world)
    with pytest.raises(ContractError, match="a report says"):
        report(world, status)
    assert world.intents() == {KEY: "intended"}


def test_a_report_without_measure_is_cut(world):
    permit(world)
    assert report(world, result={"text": "x" * 2_000_000}).result["omitted"] == "too large"


def test_what_bywire_carries_out_itself_is_not_permitted(world):
    with pytest.raises(ContractError, match="carried out here") as refused:
        permit(world, ask())
    assert refused.value.code == "not_permittable"


def test_a_denied_permit_is_none(world):
    for effect, status in ((Effect.DENY, OutcomeStatus.DENIED), (Effect.APPROVAL_NEEDED, OutcomeStatus.PENDING)):
        world.engine.effect = effect
        outcome = permit(world)
        assert (outcome.status, outcome.result) == (status, None)
    assert world.intents() == {}
    assert world.rows("SELECT count(*) FROM costs") == [(0,)]


def test_a_permit_waits_for_a_person_and_uses_the_approval_once(tmp_path):
    world = ConnectedWorld(tmp_path, engine=ApprovalEngine())
    asked = permit(world)
    world.approve(asked.approval_id)
    assert permit(world).result["permitted"]
    assert permit(world, scale("k2")).status is OutcomeStatus.PENDING
    world.close()


def test_a_permit_under_the_same_budget_as_a_call(tmp_path):
    world = ConnectedWorld(tmp_path, budgets=[(CONTROLLER, "actions", 1_000)])
    world.engine.obligations = ()
    assert permit(world).result["permitted"]
    late = permit(world, scale("k2"))
    assert (late.status, late.error["code"]) == (OutcomeStatus.DENIED, "state.day_budget_spent")
    world.close()


def test_a_permitted_read_leaves_nothing_open(world):
    outcome = permit(world, connected("cluster.get", "", "production", {"name": "web"}))
    assert (outcome.status, outcome.result["permitted"], outcome.result["intent"]) == (
        OutcomeStatus.COMMITTED,
        True,
        "",
    )
    assert world.intents() == {}
    assert (
        world.state.snapshot(world.rows("SELECT id FROM sessions")[0][0], "storefront").session.integrity == "tainted"
    )


def test_rule_06_who_cannot_replace_parameters_gets_no_permit_for_others(world):
    world.engine.effect = Effect.ALLOW
    world.engine.answer = lambda question: (
        Effect.ALLOW if question["action"]["parameters"]["replicas"] == 1 else Effect.SANITIZE
    )
    decide = world.engine.decide

    def deciding(entrypoint, question):
        wants = question["action"]["parameters"]["replicas"] != 1
        world.engine.obligations = ({"kind": "replace", "parameter": "replicas", "value": 1},) if wants else ()
        return decide(entrypoint, question)

    world.engine.decide = deciding
    refused = permit(world, exact=True)
    assert (refused.status, refused.result) == (OutcomeStatus.DENIED, None)
    assert world.intents() == {}
    assert permit(world, scale("k2")).result["parameters"]["replicas"] == 1


@pytest.mark.parametrize("step", ["door.decided", "door.intent_committed"])
def test_a_process_that_dies_while_it_permits_leaves_it_to_a_person(tmp_path, step):
    ConnectedWorld(tmp_path).close()
    died = subprocess.run([sys.executable, str(VICTIM), "permit", str(tmp_path), step], timeout=60)
    assert died.returncode == -signal.SIGKILL
    world = ConnectedWorld(tmp_path)
    world.engine.obligations = ()
    world.clock.now += 86_400_000
    committed = step == "door.intent_committed"
    assert world.recover() == (), "what its caller carries out is nothing to settle here"
    assert world.upstream.effects == [], "nothing here carries out what its caller may have done"
    assert world.intents() == ({KEY: "intended"} if committed else {})
    if committed:
        # The caller never heard of its permit, and its session has ended; a person finds out.
        (left,) = world.journal.open_intents()
        assert not world.door.was_decided(left)
        assert permit(world).status is OutcomeStatus.UNKNOWN
    world.close()


def test_rule_12_unreported_permits_cost_recovery_nothing_and_stay_unknown(world, monkeypatch):
    for number in range(40):
        permit(world, scale(f"p{number}"))
    world.upstream.raises = TimeoutError("no answer")
    world.door.call(world.token(), scale("called"))
    looked = []
    monkeypatch.setattr(world.door, "was_decided", lambda row: looked.append(row.key))
    ((row, outcome),) = world.recover()
    assert (row.key.rpartition("|")[2], outcome.status) == ("called", OutcomeStatus.UNKNOWN)
    assert {key.rpartition("|")[2] for key in looked} <= {"called"}
    assert len(world.journal.open_intents()) == 41, "a person is told of each"
    plan = " ".join(
        row[-1]
        for row in world.rows(
            "EXPLAIN QUERY PLAN SELECT key FROM intents INDEXED BY intents_ours WHERE mediated = 1"
            " AND state IN ('intended', 'unknown') AND epoch <= 1 ORDER BY at_ms, entry"
        )
    )
    assert "intents_ours" in plan
    assert "TEMP B-TREE" not in plan


def test_ticks_find_nothing_to_recover_where_only_callers_owe_a_report(world):
    permit(world)
    assert not world.journal.has_recoverable()
    world.upstream.raises = TimeoutError("no answer")
    world.door.call(world.token(), scale("called"))
    assert world.journal.has_recoverable()


def test_rule_12_a_permit_marked_as_nobodys_work_is_still_told_to_a_person(world):
    world.upstream.raises = TimeoutError("no answer")
    world.door.call(world.token(), scale("called"))
    world.change("UPDATE intents SET mediated = 0")
    world.upstream.raises = None
    assert world.recover() == ()
    assert [row.key.rpartition("|")[2] for row in world.journal.open_intents()] == ["called"]
    assert len(world.upstream.effects) == 1


def test_rule_04_a_row_that_was_turned_into_a_mediated_one_is_not_sent(world):
    permit(world)
    (kept,) = world.rows("SELECT request FROM intents")[0]
    forged = {name: value for name, value in msgspec.json.decode(kept).items() if name != "mediated"}
    world.change("UPDATE intents SET request = ?, mediated = 1", msgspec.json.encode(forged))
    world.clock.now += 86_400_000
    ((row, outcome),) = world.recover()
    assert (row.mediated, outcome.status) == (True, OutcomeStatus.UNKNOWN)
    assert world.upstream.effects == []
