"""How an intent ends, whatever its executor does; what a credential leaves behind; what a read's text is labelled."""

import msgspec
import pytest
from gateway_doubles import (
    NOW,
    SECRET,
    MemoryCredentials,
    MemoryRecords,
    MemoryTarget,
    ask,
    decision,
    entrance,
    row_of,
)

from bywire.gateway.contract import Contract, parameters
from bywire.gateway.executing import answered, carried_out, label, without
from bywire.gateway.ports import Credential
from bywire.model.decision import OutcomeStatus
from bywire.model.errors import ConflictError, TargetError

COMMITTED, FAILED, UNKNOWN = OutcomeStatus.COMMITTED, OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN
PLAIN = Contract("send_note", "repo_write", "target", parameters({}))
PLATFORM = Contract("rerun_job", "harmless_reversible", "target", parameters({}), credential="ci")
UNTRUSTED = Contract("get_job_logs", "read", "target", parameters({}), read=True, untrusted_output=True)
ROW = row_of(ask(change="dl-1"))
VALUE = MemoryCredentials.VALUE


def ended(answer, contract=PLAIN, credentials=None):
    """(outcome, target, records) of one execution."""
    target, records = MemoryTarget(), MemoryRecords()
    target.answer = answer
    door = entrance(executors={"target": target})
    executors = {"target": target}
    credentials = credentials or MemoryCredentials()
    raw = {"text": "raw"}
    return carried_out(ROW, raw, contract, executors, credentials, records, door, NOW), target, records


def test_what_was_sent_is_the_raw_form_and_what_is_kept_is_redacted():
    outcome, target, records = ended({"note": SECRET})
    assert target.given == [(ROW, {"text": "raw"})]
    assert (outcome.status, outcome.error, outcome.label) == (COMMITTED, None, None)
    assert outcome.result["note"]["text"] == "[github_token]"
    assert (outcome.action_digest, outcome.decision) == (ROW.action_digest, ROW.decision)
    assert records.documents == []


@pytest.mark.parametrize(
    ("answer", "contract", "counts"),
    [
        ({"note": "nothing"}, PLAIN, {}),
        ({"note": SECRET, "more": [SECRET]}, PLAIN, {"github_token": 2}),
        ({"note": f"{VALUE} {VALUE}", "more": SECRET}, PLATFORM, {"credential": 2, "github_token": 1}),
        (TargetError(f"{VALUE} {SECRET}", next_step="wait"), PLATFORM, {"credential": 1, "github_token": 1}),
        (OSError(SECRET), PLAIN, {"github_token": 1}),
    ],
    ids=["nothing", "secrets", "credential and secret", "refusal", "silence"],
)
def test_rule_04_an_outcome_counts_what_was_taken_out_of_it(answer, contract, counts):
    assert ended(answer, contract)[0].redacted == counts


def test_an_empty_answer_is_an_answer_and_none_is_none():
    assert ended({})[0].result == {}
    assert ended(None)[0].result is None


@pytest.mark.parametrize(
    ("failure", "status", "error"),
    [
        (
            TargetError("fenced", code="fenced", next_step="stop"),
            FAILED,
            {"code": "fenced", "message": "fenced", "next_step": "stop"},
        ),
        (
            TimeoutError("silence"),
            UNKNOWN,
            {"code": "no_answer", "message": "silence", "next_step": "bywire doctor"},
        ),
        (OSError("gone"), UNKNOWN, {"code": "no_answer", "message": "gone", "next_step": "bywire doctor"}),
        (
            ConflictError("busy", next_step="wait"),
            UNKNOWN,
            {"code": "conflict", "message": "busy", "next_step": "wait"},
        ),
    ],
)
def test_rule_12_a_refusal_is_a_failure_and_silence_is_unknown(failure, status, error):
    outcome = ended(failure)[0]
    assert (outcome.status, outcome.result, outcome.error) == (status, None, error)


@pytest.mark.parametrize("failure", [TargetError(SECRET, next_step=SECRET), TimeoutError(SECRET)])
def test_rule_04_an_error_shows_no_secret(failure):
    assert SECRET not in str(ended(failure)[0].error)
    assert "[github_token]" in ended(failure)[0].error["message"]


# --- rule 23 ---


def test_rule_23_a_credential_is_on_record_without_its_value():
    outcome, target, records = ended({"said": f"with {VALUE}"}, PLATFORM)
    assert target.given == [(ROW, {"text": "raw"}, VALUE)]
    assert outcome.result == {"said": "with [credential]"}
    (record,) = records.documents
    issued = {
        "credential": "ci",
        "origin": "https://ci.example:443",
        "expires_at_ms": NOW + 60_000,
        "minted": True,
        "intent": ROW.key,
        "action": ROW.action_digest,
    }
    assert record == ("credential", issued, "dl-1", NOW)


def test_rule_23_a_record_that_fails_sends_nothing():
    class Full(MemoryRecords):
        def record_document(self, kind, document, change, now_ms):
            raise OSError("disk full")

    target = MemoryTarget()
    executors = {"target": target}
    outcome = carried_out(ROW, {}, PLATFORM, executors, MemoryCredentials(), Full(), entrance(), NOW)
    assert outcome.status is UNKNOWN
    assert target.given == []


@pytest.mark.parametrize("failure", [TargetError(f"bad {VALUE}", next_step=VALUE), OSError(f"bad {VALUE}")])
def test_rule_23_a_refusal_repeats_no_credential(failure):
    error = ended(failure, PLATFORM)[0].error
    assert VALUE not in str(error)
    assert error["message"] == "bad [credential]"


CREDENTIAL = Credential("ci", VALUE, "https://ci.example:443", NOW, minted=False)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (f"a {VALUE} b {VALUE}", "a [credential] b [credential]"),
        ({VALUE: VALUE, "n": 1}, {"[credential]": "[credential]", "n": 1}),
        ([VALUE, 1, None], ["[credential]", 1, None]),
        ((VALUE, [VALUE]), ["[credential]", ["[credential]"]]),
        (5, 5),
        (None, None),
        (VALUE[:-1], VALUE[:-1]),
    ],
)
def test_rule_23_a_credential_is_taken_out_wherever_it_is(value, left):
    assert without(value, CREDENTIAL) == left
    assert without(value, None) == value
    assert without(value, msgspec.structs.replace(CREDENTIAL, value="")) == value


def test_rule_23_a_credential_does_not_print_itself():
    assert VALUE not in repr(CREDENTIAL)
    assert repr(CREDENTIAL) == "Credential('ci', origin='https://ci.example:443')"


# --- rule 22 ---

OTHERS = {
    "trust_level": "untrusted_runtime_output",
    "contains_user_controlled_text": True,
    "instruction_authority": "none",
    "redaction_applied": True,
}
OURS = {**OTHERS, "trust_level": "typed_platform_data", "contains_user_controlled_text": False}


@pytest.mark.parametrize(("contract", "said"), [(PLAIN, OURS), (PLATFORM, OTHERS), (UNTRUSTED, OTHERS)])
def test_rule_22_the_label_says_whose_words_these_are(contract, said):
    assert label(contract) == {"source": contract.name, **said}


def test_rule_22_what_a_platform_answers_to_a_write_is_labelled():
    assert ended({}, PLATFORM)[0].label == label(PLATFORM)
    assert ended(TargetError("no"), PLATFORM)[0].label == label(PLATFORM)


def read(answer, values=None):
    door, target = entrance(), MemoryTarget()
    target.answer = answer
    asked = door.ask("1", ask("get_deployment_status", values or {}, ""))
    return asked, answered(asked, decision(), UNTRUSTED, target, MemoryCredentials(), MemoryRecords(), door), target


def test_a_read_is_answered_whole_redacted_and_labelled():
    long = "x" * 2_000_000
    asked, outcome, target = read({"note": SECRET, "log": long})
    assert target.given == [("get_deployment_status", {})]
    assert (outcome.status, outcome.label) == (COMMITTED, label(UNTRUSTED))
    assert outcome.result["note"]["text"] == "[github_token]"
    assert outcome.result["log"] == long
    assert (outcome.action_digest, outcome.decision) == (asked.action.digest, decision())


def test_a_read_that_fails_is_an_answer_too():
    _, outcome, _ = read(TargetError(f"no {SECRET}", code="down", next_step="wait"))
    assert outcome.status is FAILED
    assert outcome.error == {"code": "down", "message": "no [github_token]", "next_step": "wait"}
    assert outcome.result is None


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ({"note": "nothing"}, {}),
        ({"note": SECRET, "more": [SECRET]}, {"github_token": 2}),
        (TargetError(SECRET), {"github_token": 1}),
        (TimeoutError(SECRET), {"github_token": 1}),
    ],
    ids=["nothing", "secrets", "refusal", "silence"],
)
def test_rule_04_a_read_counts_what_was_taken_out_of_its_answer(answer, counts):
    assert read(answer)[1].redacted == counts


@pytest.mark.parametrize("failure", [TimeoutError("silence"), OSError("gone")])
def test_a_read_that_nobody_answers_failed_and_may_be_asked_again(failure):
    _, outcome, _ = read(failure)
    said = {"code": "no_answer", "message": str(failure), "next_step": "ask again, or look at what was asked"}
    assert (outcome.status, outcome.result, outcome.error) == (FAILED, None, said)


def test_rule_23_a_read_with_a_credential_is_recorded_first_and_says_nothing_of_it():
    contract = msgspec.structs.replace(UNTRUSTED, credential="ci")
    door, target, records = entrance(), MemoryTarget(), MemoryRecords()
    asked = door.ask("1", ask("get_deployment_status", {}, ""))
    for answer in ({"note": f"as {VALUE}"}, TargetError(f"no {VALUE}", code="target_refused")):
        target.answer = answer
        outcome = answered(asked, decision(), contract, target, MemoryCredentials(), records, door)
        assert VALUE not in f"{outcome.result} {outcome.error}"
        assert "[credential]" in f"{outcome.result} {outcome.error}"
    kinds = [(kind, document["intent"], document["action"]) for kind, document, _, _ in records.documents]
    assert kinds == [("credential", "", asked.action.digest)] * 2
