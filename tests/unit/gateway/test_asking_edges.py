"""Who asks, for exactly what, in which state of the target: the first steps at the door, port by port in memory."""

import msgspec
import pytest
from gateway_doubles import (
    AGENT,
    ARTIFACT,
    LAST_GOOD,
    NOW,
    OPERATOR,
    SECRET,
    SNAPSHOT,
    WEIGHT,
    MemoryState,
    MemoryTarget,
    ask,
    entrance,
)

from bywire.gateway.asking import NAMES_REMEMBERED, RESULT_BYTES_MAX
from bywire.gateway.contract import Catalogue, Contract, ContractError, parameters
from bywire.model.connected import Place
from bywire.model.errors import BywireError, EvidenceError, TargetError

RERUN = {"run_id": "77", "job_id": "tests", "failure_fingerprint": "f00"}


def asked(*args, token="1", door=None, **changes):
    return (door or entrance()).ask(token, ask(*args, **changes))


def refused(*args, **changes):
    with pytest.raises(BywireError) as caught:
        asked(*args, **changes)
    assert caught.value.code == "contract_violated"
    assert caught.value.next_step
    return caught.value.message


def test_what_is_asked_is_looked_up_and_never_believed():
    state = MemoryState()
    made = asked(door=entrance(state=state), change="dl-1")
    assert state.asked == [("se-1", "storefront")]
    assert (made.snapshot, made.now_ms) == (SNAPSHOT, NOW)
    assert made.key == f"{AGENT.id}|set_canary_weight|k1"
    assert made.contract.name == "set_canary_weight"
    assert made.action.principal == AGENT.id
    assert made.first_digest == made.action.digest
    assert made.target == {"version": 7, "stable": LAST_GOOD, "canary": "", "weight": 0}
    assert made.unmet == ("artifact_is_canary",)


def test_rule_04_the_parameters_are_a_copy():
    values = {**WEIGHT, "segments": ["ios"]}
    made = asked(values=values)
    values["segments"].append("android")
    assert made.request.parameters["segments"] == made.action.parameters["segments"] == ["ios"]


def test_a_met_precondition_is_not_named():
    target = MemoryTarget()
    target.says = {"canary": ARTIFACT}
    assert asked(door=entrance(executors={"target": target})).unmet == ()


def test_a_read_and_an_unknown_tool_do_not_look_at_the_target():
    for made in (asked("get_deployment_status", {}, ""), asked("rm_rf", {"any": 1})):
        assert made.target == {}
        assert made.unmet == ()
    assert made.contract is None
    assert made.request.parameters == {"any": 1}


# --- keys ---


@pytest.mark.parametrize(
    ("tool", "values", "given", "key"),
    [
        ("set_canary_weight", WEIGHT, "k1", "k1"),
        ("rerun_job", RERUN, "", "ci-rerun:77:tests:f00"),
        ("rerun_job", RERUN, "ci-rerun:77:tests:f00", "ci-rerun:77:tests:f00"),
        ("get_deployment_status", {}, "", ""),
        ("get_deployment_status", {}, "mine", "mine"),
        ("rm_rf", {}, "", ""),
    ],
)
def test_rule_12_where_the_key_comes_from(tool, values, given, key):
    made = asked(tool, values, given)
    assert made.request.idempotency_key == key
    assert made.key == f"{AGENT.id}|{tool}|{key}"


def test_rule_12_a_key_is_needed_and_cannot_be_chosen_where_it_is_derived():
    assert "needs an idempotency key" in refused(key="")
    assert "derives its idempotency key" in refused("rerun_job", RERUN, "again")


# --- names ---


@pytest.mark.parametrize("name", ["tool", "service", "environment", "change", "idempotency_key"])
def test_rule_04_a_name_holds_no_secret(name):
    assert "looks like a secret" in refused(**{name: SECRET})


@pytest.mark.parametrize("changes", [{"service": "another"}, {"environment": "staging"}])
def test_rule_01_the_door_leads_to_one_place(changes):
    assert "this door leads to storefront in production" in refused(**changes)
    elsewhere = msgspec.structs.replace(OPERATOR, **changes)
    assert asked(door=entrance(operator=elsewhere), **changes).action.tool == "set_canary_weight"


PAGER = Contract("pager.page", "repo_write", "pager", parameters({"text": {"type": "string"}}), upstream="pager")
PAGED = {"values": {"text": "x"}, "service": "", "environment": ""}


def paged(contract, answers=None, **changes):
    executors = {} if answers is None else {"pager": Defining(answers)}
    door = entrance(catalogue=Catalogue((contract,)), executors=executors)
    return asked("pager.page", door=door, **{**PAGED, **changes})


class Defining(MemoryTarget):
    """An upstream that says what it would do, and answers with a digest."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def definition(self, tool):
        assert tool == "pager.page"
        if isinstance(self.answers, BaseException):
            raise self.answers
        return self.answers


def test_a_connected_tool_acts_at_its_own_place_or_at_none():
    assert paged(PAGER).action.tool == "pager.page"
    with pytest.raises(ContractError, match="not to storefront in production"):
        paged(PAGER, service="storefront", environment="production")
    placed = msgspec.structs.replace(PAGER, place=Place("alerts", "staging"))
    assert paged(placed, service="alerts", environment="staging").action.environment == "staging"
    with pytest.raises(ContractError, match="leads to alerts in staging"):
        paged(placed)


@pytest.mark.parametrize(
    ("approved", "answers", "said"),
    [
        ("", "d" * 64, "none"),
        ("d" * 64, None, "none"),
        ("d" * 64, "d" * 64, "current"),
        ("d" * 64, "e" * 64, "changed"),
        ("d" * 64, TargetError("down", code="target_down"), "unknown"),
        ("d" * 64, TimeoutError("silence"), "unknown"),
    ],
)
def test_whether_the_upstream_still_says_what_was_approved(approved, answers, said):
    contract = msgspec.structs.replace(PAGER, definition=approved)
    assert paged(contract, answers).connected.definition == said


@pytest.mark.parametrize(
    ("last", "beyond"),
    [
        ({"change": "c" * 128}, {"change": "c" * 129}),
        ({"change": "!~"}, {"change": "a b"}),
        ({"change": ""}, {"change": "\x7f"}),
        ({"key": "k" * 256}, {"key": "k" * 257}),
        ({"key": "a b~"}, {"key": "a\tb"}),
        ({"plan": ""}, {"plan": "p"}),
        ({"plan": "0" * 64}, {"plan": "0" * 65}),
        ({"evidence": ("e" * 64,) * 256}, {"evidence": ("e" * 64,) * 257}),
        ({"evidence": ()}, {"evidence": ("E" * 64,)}),
    ],
)
def test_names_keys_and_digests_have_bounds(last, beyond):
    assert asked(**last).action.tool == "set_canary_weight"
    refused(**beyond)


# --- the target ---


@pytest.mark.parametrize(
    ("says", "seen"),
    [
        ({"version": 7}, {"version": 7}),
        (TargetError("down", code="target_down"), {"unavailable": "target_down"}),
        (ConnectionRefusedError("no"), {"unavailable": "no_answer"}),
        (TimeoutError("no"), {"unavailable": "no_answer"}),
        ({"a": float("nan")}, {"omitted": "not_canonical"}),
    ],
)
def test_rule_16_whatever_the_target_says_there_is_an_answer(says, seen):
    target = MemoryTarget()
    target.says = says
    assert asked(door=entrance(executors={"target": target})).target == seen


def test_a_target_that_nobody_connected_is_told_apart():
    assert asked(door=entrance(executors={})).target == {"unavailable": "executor_missing"}


def test_rule_04_what_the_target_says_is_redacted():
    target = MemoryTarget()
    target.says = {"note": SECRET}
    assert asked(door=entrance(executors={"target": target})).target["note"]["text"] == "[github_token]"


def test_an_answer_is_kept_up_to_its_last_byte():
    filler = "x" * (RESULT_BYTES_MAX - len('{"said":""}'))
    door = entrance()
    assert RESULT_BYTES_MAX == 2**20
    assert door.redacted({"said": filler}) == {"said": filler}
    assert door.redacted({"said": filler + "x"}) == {"omitted": "too large", "bytes": RESULT_BYTES_MAX + 1}


# --- the same call, changed ---


def test_rule_06_replaced_parameters_are_a_new_action_under_the_same_key():
    door = entrance()
    first = asked(door=door)
    again = door.replaced(first, {"weight": 1})
    assert again.request.parameters == {**WEIGHT, "weight": 1}
    assert again.action.parameters["weight"] == 1
    assert again.action.digest != first.action.digest
    assert (again.first_digest, again.key, again.snapshot) == (first.action.digest, first.key, first.snapshot)
    with pytest.raises(ContractError):
        door.replaced(first, {"weight": 101})


def test_rule_04_a_request_that_changed_while_it_was_decided_is_noticed():
    door = entrance()
    made = asked(door=door)
    door.check_unchanged(made)
    made.request.parameters["weight"] = 100
    with pytest.raises(EvidenceError) as caught:
        door.check_unchanged(made)
    assert caught.value.code == "action_changed"


def test_a_caller_that_always_names_something_new_fills_no_memory():
    door = entrance()
    sizes = []
    for number in range(2 * NAMES_REMEMBERED):
        asked(door=door, key=f"k{number}")
        sizes.append(len(door._plain))
    assert max(sizes) <= NAMES_REMEMBERED + 3
    with pytest.raises(ContractError):
        asked(door=door, key=SECRET)
