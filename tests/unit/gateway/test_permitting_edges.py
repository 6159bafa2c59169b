"""Permits at the door, port by port in memory: what the caller is told to do, and which of two reports stands."""

import msgspec
import pytest
from door_doubles import ALLOW, World
from gateway_doubles import AGENT, CATALOGUE, LAST_GOOD, NOW, ask, decision

from bywire.gateway.contract import Catalogue, Contract, ContractError, parameters
from bywire.gateway.contracts import CONTRACTS
from bywire.gateway.devops_contracts import DEVOPS_CONTRACTS
from bywire.gateway.door import SESSION_CHANGED
from bywire.gateway.ports import Miss
from bywire.model.decision import Effect, Outcome, OutcomeStatus
from bywire.model.errors import ConflictError, EvidenceError

COMMITTED, DENIED, FAILED, UNKNOWN = (
    OutcomeStatus.COMMITTED,
    OutcomeStatus.DENIED,
    OutcomeStatus.FAILED,
    OutcomeStatus.UNKNOWN,
)
REPLICAS = {"replicas": {"type": "integer"}}
SCALE = Contract("cluster.scale", "production_orchestration", "cluster", parameters(REPLICAS), upstream="cluster")
GET = Contract("cluster.get", "read", "cluster", parameters(REPLICAS), read=True, upstream="cluster")
CONNECTED = Catalogue((*CONTRACTS, *DEVOPS_CONTRACTS, CATALOGUE.find("send_note"), SCALE, GET))
KEY = f"{AGENT.id}|cluster.scale|k1"
ASKS = decision(Effect.APPROVAL_NEEDED, [{"kind": "approval", "roles": ["sre-oncall"], "count": 1, "tier": "high"}])
LESS = decision(Effect.SANITIZE, [{"kind": "replace", "parameter": "replicas", "value": 1}])


@pytest.fixture
def world():
    return World(CONNECTED)


def scale(replicas=2, tool="cluster.scale", key="k1"):
    return ask(tool, {"replicas": replicas}, key, service="", environment="")


def permitted(world, **how):
    return world.door.permit("1", scale(), **how)


def report(world, status="committed", result=None):
    return world.door.report("1", KEY, status, result)


# --- what is permitted ---


def test_a_permit_names_its_intent_its_deadline_and_what_to_send(world):
    outcome = permitted(world)
    said = {"permitted": True, "intent": KEY, "deadline_ms": NOW + 60_000, "parameters": {"replicas": 2}}
    assert (outcome.status, outcome.result, outcome.error) == (UNKNOWN, said, None)


def test_a_permitted_read_has_nothing_to_report_and_no_deadline(world):
    outcome = world.door.permit("1", scale(tool="cluster.get", key=""))
    said = {"permitted": True, "intent": "", "deadline_ms": 0, "parameters": {"replicas": 2}}
    assert (outcome.status, outcome.result) == (COMMITTED, said)
    assert world.journal.intents == []


@pytest.mark.parametrize("tool", ["cluster.scale", "cluster.get"])
def test_rule_06_who_can_send_only_what_it_asked_for_is_told_so(world, tool):
    world.engine.answer = lambda question: LESS if question["action"]["parameters"]["replicas"] > 1 else ALLOW
    key = "k1" if tool == "cluster.scale" else ""
    outcome = world.door.permit("1", scale(tool=tool, key=key), exact=True)
    assert (outcome.status, outcome.result) == (DENIED, None)
    assert set(outcome.error) == {"code", "message", "next_step"}
    assert outcome.error["code"] == "obligation_unsupported"
    assert "the caller cannot replace any" in outcome.error["message"]
    assert "replace_parameters" in outcome.error["next_step"]
    outcome = world.door.permit("1", scale(tool=tool, key=key))
    assert (outcome.result["permitted"], outcome.result["parameters"]) == (True, {"replicas": 1})
    outcome = world.door.permit("1", scale(1, tool=tool, key=f"{key}-2" if key else ""), exact=True)
    assert (outcome.result["permitted"], outcome.result["parameters"]) == (True, {"replicas": 1})


# --- what is reported ---


@pytest.mark.parametrize(
    ("status", "ended", "code"),
    [
        ("committed", COMMITTED, None),
        ("failed", FAILED, "reported_failed"),
        ("unknown", UNKNOWN, "reported_unknown"),
    ],
)
def test_the_first_report_is_recorded_and_is_no_repetition(world, status, ended, code):
    permitted(world)
    outcome = report(world, status, {"n": 1})
    assert (outcome.status, outcome.result, outcome.entry, outcome.replayed) == (ended, {"n": 1}, 40, False)
    assert (outcome.error and outcome.error["code"]) == code
    again = report(world, status, {"n": 1})
    assert again == msgspec.structs.replace(outcome, replayed=True)
    assert len(world.journal.settled) == 1


@pytest.mark.parametrize(
    ("status", "next_step"),
    [("failed", "ask again with another key"), ("unknown", "bywire reconcile settle")],
)
def test_what_was_reported_to_have_failed_may_be_asked_anew_and_what_nobody_knows_is_settled(world, status, next_step):
    permitted(world)
    assert report(world, status).error == {
        "code": f"reported_{status}",
        "message": f"the caller reported {status}",
        "next_step": next_step,
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda row: None,
        lambda row: msgspec.structs.replace(row, principal="agent:coder"),
        lambda row: msgspec.structs.replace(row, request={"parameters": {}}),
    ],
    ids=["nobody's", "somebody else's", "carried out here"],
)
def test_nobody_learns_whose_a_permit_is_that_is_not_theirs(world, change):
    permitted(world)
    row = change(world.journal.rows.pop(KEY))
    world.journal.rows.update({} if row is None else {KEY: row})
    with pytest.raises(ContractError, match="no permit of yours has this name") as caught:
        report(world)
    assert caught.value.code == "intent_unknown"
    assert world.journal.settled == []


def test_a_report_says_one_of_three_words(world):
    permitted(world)
    with pytest.raises(ContractError, match="a report says committed, failed, unknown") as caught:
        report(world, "denied")
    assert caught.value.code == "contract_violated"


def meanwhile(world, change):
    """Somebody else's report is recorded while this one is: `change` makes their row of ours; None takes it away."""
    settle = world.journal.settle

    def late(key, *given):
        entry = settle(key, *given)
        row = change(world.journal.rows.pop(key))
        if row is not None:
            world.journal.rows[key] = row
        return entry

    world.journal.settle = late


def theirs(status, result):
    return lambda row: msgspec.structs.replace(
        row, outcome=Outcome(status, row.action_digest, ALLOW, result=result, entry=99)
    )


def test_of_two_reports_at_once_that_say_the_same_the_first_is_told(world):
    permitted(world)
    meanwhile(world, theirs(COMMITTED, {"n": 1}))
    outcome = report(world, result={"n": 1})
    assert (outcome.status, outcome.entry, outcome.replayed) == (COMMITTED, 99, True)


@pytest.mark.parametrize(("status", "result"), [(FAILED, {"n": 1}), (COMMITTED, {"n": 2})])
def test_of_two_reports_at_once_that_differ_the_first_stands(world, status, result):
    permitted(world)
    meanwhile(world, theirs(status, result))
    with pytest.raises(ConflictError, match=f"settled as {status}") as caught:
        report(world, result={"n": 1})
    assert caught.value.code == "already_reported"


@pytest.mark.parametrize(
    "change",
    [theirs(UNKNOWN, None), lambda row: msgspec.structs.replace(row, outcome=None), lambda row: None],
    ids=["theirs knows nothing", "not there yet", "gone"],
)
def test_a_report_that_nobody_elses_stands_against_is_answered_with_its_own_entry(world, change):
    permitted(world)
    meanwhile(world, change)
    outcome = report(world, result={"n": 1})
    assert (outcome.status, outcome.result, outcome.entry, outcome.replayed) == (COMMITTED, {"n": 1}, 40, False)


# --- rule 22: what happens to the session meanwhile ---


def test_rule_22_a_session_that_changed_meanwhile_is_decided_once_more_and_not_for_ever(world):
    world.journal.misses = Miss(SESSION_CHANGED, {})
    outcome = world.note()
    assert (outcome.status, outcome.error) == (DENIED, {"code": SESSION_CHANGED})
    assert len(world.engine.asked) == len(world.journal.intents) == 2
    assert world.target.given == []


def test_rule_22_a_session_that_ended_meanwhile_is_not_decided_again(world):
    world.journal.misses = Miss(SESSION_CHANGED, {})

    def ended(session_id, service):
        raise EvidenceError("the session ended", code="session_unknown", next_step="sign in")

    world.steps.hooks["door.decided"] = lambda: setattr(world.state, "snapshot", ended)
    assert world.note().error == {"code": SESSION_CHANGED}
    assert len(world.engine.asked) == 1


def test_rule_22_only_somebody_elses_words_are_marked_where_they_come_back(world):
    world.ci.answer = world.target.answer = {"text": "quarterly-figures"}
    world.note()
    world.engine.answer = ASKS
    world.note("quarterly-figures", "k2")
    world.engine.answer = ALLOW
    world.call("get_job_logs", {"run_id": "1", "job_id": "j"}, "")
    world.engine.answer = ASKS
    world.note("see quarterly-figures", "k3")
    own, foreign = world.approvals.packets
    assert own.uncertain == ()
    assert [line for line in foreign.uncertain if "repeats untrusted output" in line] == [
        "text repeats untrusted output that this run has read"
    ]


def test_what_bywire_carries_out_itself_is_not_permitted(world):
    with pytest.raises(Exception, match="carried out here") as caught:
        world.door.permit("1", ask("rollback_release", {"to": LAST_GOOD}))
    assert caught.value.code == "not_permittable"
    assert world.engine.asked == []
