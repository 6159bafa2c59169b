"""What the door signs: a decision with all it rests on, an outcome as the target shows it; what it believes later."""

import msgspec
import pytest
from gateway_doubles import (
    AGENT,
    ARTIFACT,
    CATALOGUE,
    KEYS,
    LOG_KEY,
    TRUST,
    WORKSPACE_KEY,
    ask,
    decision,
    row_of,
)

from bywire.gateway.canonical import action_json, canonicalise
from bywire.gateway.records import decision_statement, outcome_statement, verified, was_decided
from bywire.gateway.redaction import Redactor
from bywire.model.decision import Effect, Outcome, OutcomeStatus, Sanitized
from bywire.model.statement import DECISION, OUTCOME, Statement, subject
from bywire.seal.dsse import sign_statement, verify_statement

WEIGHT, NOTE = CATALOGUE.find("set_canary_weight"), CATALOGUE.find("send_note")
ACTION = canonicalise(ask(), AGENT, Redactor(WORKSPACE_KEY))
ROW = row_of()
INPUT = {"version": 1, "action": {"dry_run": False}}
COMMITTED = Outcome(OutcomeStatus.COMMITTED, ROW.action_digest, ROW.decision, result={"version": 8})
SHOWN = {"canary": ARTIFACT, "weight": 5}


def read(envelope):
    return verify_statement(envelope, (LOG_KEY.public,)).statement


def test_rule_07_a_decision_is_signed_with_all_that_it_rests_on():
    said = read(decision_statement(decision(), ACTION, INPUT, ROW.key, LOG_KEY))
    assert said.predicateType == DECISION
    assert [(item.name, item.sha256) for item in said.subject] == [("action:set_canary_weight", ACTION.digest)]
    assert said.predicate == msgspec.json.decode(msgspec.json.encode(PREDICATE))


@pytest.mark.parametrize(("made", "named"), [(decision(), "de-1"), (None, "")])
def test_rule_15_an_outcome_is_signed_with_what_was_seen(made, named):
    outcome = Outcome(OutcomeStatus.FAILED, "e" * 64, made, {"a": 1}, error={"code": "no"}, unverified=("c",))
    said = read(outcome_statement(outcome, "the-key", {"before": {}, "after": {"v": 1}}, {"approver": "a"}, LOG_KEY))
    assert said.predicateType == OUTCOME
    assert [(item.name, item.sha256) for item in said.subject] == [("action", "e" * 64)]
    assert said.predicate == {
        "status": "failed",
        "intent": "the-key",
        "decision": named,
        "result": {"a": 1},
        "error": {"code": "no"},
        "unverified": ["c"],
        "observed": {"before": {}, "after": {"v": 1}},
        "approval": {"approver": "a"},
    }


def test_rule_06_a_decision_says_of_which_action_this_one_was_made():
    how = Sanitized(Effect.SANITIZE, "de-0", "e" * 64, {"email": 2}, 1)
    said = read(decision_statement(decision(), ACTION, INPUT, ROW.key, LOG_KEY, sanitized=how)).predicate
    made = {"before": "sanitize", "decision_id": "de-0", "asked": "e" * 64, "masked": {"email": 2}, "replaced": 1}
    assert said["sanitized"] == made
    assert set(said) == {*PREDICATE, "sanitized"}


def test_an_outcome_says_how_much_was_taken_out_of_it_when_something_was():
    outcome = msgspec.structs.replace(COMMITTED, redacted={"github_token": 2, "credential": 1})
    said = read(outcome_statement(outcome, "the-key", {}, {}, LOG_KEY)).predicate
    assert said["redacted"] == {"github_token": 2, "credential": 1}
    assert set(read(outcome_statement(COMMITTED, "the-key", {}, {}, LOG_KEY)).predicate) == set(said) - {"redacted"}


# --- rule 15: what the target shows ---


@pytest.mark.parametrize("after", [SHOWN, {**SHOWN, "weight": 1}])
def test_rule_15_an_effect_that_shows_stands(after):
    assert verified(COMMITTED, WEIGHT, ROW, after, recovered=False) == COMMITTED


@pytest.mark.parametrize(
    ("after", "names"),
    [
        ({"canary": "", "weight": 0}, ("artifact_is_canary",)),
        ({"canary": ARTIFACT, "weight": 6}, ("weight_not_above",)),
        ({}, ("artifact_is_canary", "weight_not_above")),
    ],
)
def test_rule_15_an_effect_that_does_not_show_is_unknown(after, names):
    made = verified(COMMITTED, WEIGHT, ROW, after, recovered=False)
    assert (made.status, made.unverified, made.result) == (OutcomeStatus.UNKNOWN, names, COMMITTED.result)
    assert (made.error["code"], made.error["next_step"]) == ("postcondition_unmet", "bywire reconcile")
    assert made.error["message"].endswith(", ".join(names))


@pytest.mark.parametrize("after", [{"unavailable": "no_answer"}, {"omitted": "too large"}, {**SHOWN, "omitted": "x"}])
def test_rule_15_a_target_that_says_nothing_contradicts_nothing(after):
    made = verified(COMMITTED, WEIGHT, ROW, after, recovered=False)
    assert made == msgspec.structs.replace(COMMITTED, unverified=("artifact_is_canary", "weight_not_above"))


@pytest.mark.parametrize("status", [status for status in OutcomeStatus if status is not OutcomeStatus.COMMITTED])
def test_only_an_effect_that_was_carried_out_is_looked_for(status):
    other = msgspec.structs.replace(COMMITTED, status=status)
    assert verified(other, WEIGHT, ROW, {"canary": ""}, recovered=False) == other


def test_a_tool_without_promises_and_a_tool_without_contract_promise_nothing():
    for contract in (NOTE, None):
        for after in ({}, {"unavailable": "x"}):
            assert verified(COMMITTED, contract, ROW, after, recovered=False) == COMMITTED


# --- rule 4: what the log signed, and nothing else, may be sent again ---

PREDICATE = {
    "decision": msgspec.to_builtins(decision()),
    "action": action_json(ACTION),
    "input": INPUT,
    "intent": ROW.key,
}


def signed(key=LOG_KEY, kind=DECISION, **changes):
    about = subject("action:set_canary_weight", ACTION.digest)
    return sign_statement(Statement(subject=(about,), predicateType=kind, predicate={**PREDICATE, **changes}), key)


def believed(envelope, row=ROW, trust=TRUST, index=5):
    return was_decided(row, (index, envelope), trust)


def test_rule_04_a_row_is_believed_for_what_the_log_signed():
    assert believed(decision_statement(decision(), ACTION, INPUT, ROW.key, LOG_KEY))
    assert believed(signed())
    assert not was_decided(ROW, None, TRUST)


@pytest.mark.parametrize(
    "envelope",
    [
        *(signed(key) for name, (_, key) in KEYS.items() if name != "workload:log"),
        signed(kind=OUTCOME),
        signed(intent="another|key"),
        signed(intent=None),
        signed(decision=msgspec.to_builtins(decision(Effect.DENY))),
        signed(decision=msgspec.to_builtins(decision(Effect.APPROVAL_NEEDED))),
        signed(decision={}),
        signed(input={"action": {"dry_run": True}}),
        signed(input={"action": {}}),
        signed(input={}),
        signed(action={**action_json(ACTION), "parameters": {"weight": 100}}),
        signed(action={}),
        b"",
        b"{}",
    ],
)
def test_rule_04_nothing_else_lets_a_row_be_sent_again(envelope):
    assert believed(envelope) is False


def test_rule_04_a_statement_without_its_parts_is_refused_quietly():
    for name in PREDICATE:
        about = subject("a", ACTION.digest)
        rest = {key: value for key, value in PREDICATE.items() if key != name}
        assert not believed(
            sign_statement(Statement(subject=(about,), predicateType=DECISION, predicate=rest), LOG_KEY)
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "another"},
        {"action_digest": "0" * 64},
        {"tool": "promote_release"},
        {"service": "other"},
        {"environment": "staging"},
        {"principal": "agent:coder"},
        {"change": "dl-2"},
        {"request": {"parameters": {**ROW.request["parameters"], "weight": 100}, "redacted": False}},
    ],
)
def test_rule_04_a_row_that_was_changed_is_not_what_was_decided(changes):
    assert not believed(signed(), msgspec.structs.replace(ROW, **changes))


def test_rule_25_a_retired_log_key_is_believed_for_its_own_time():
    keys = tuple(
        msgspec.structs.replace(key, to_index=5) if key.principal == "workload:log" else key for key in TRUST.keys
    )
    retired = msgspec.structs.replace(TRUST, keys=keys)
    assert believed(signed(), trust=retired, index=4)
    assert not believed(signed(), trust=retired, index=5)


def test_of_a_recovered_call_the_targets_own_record_counts():
    after = {"canary": "", "weight": 0, "stable": "b" * 64}
    made = verified(COMMITTED, WEIGHT, ROW, after, recovered=True)
    assert (made.status, made.error) == (COMMITTED.status, None)
    assert made.unverified
