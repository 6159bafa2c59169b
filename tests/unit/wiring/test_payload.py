"""The one payload: a code for each way a call can end, and the same members in every one of them."""

import pytest

from bywire.api.errors import HTTP_STATUS, told
from bywire.gateway.contract import ContractError
from bywire.model.decision import Decision, Effect, Outcome, OutcomeStatus, Reason
from bywire.model.errors import (
    BywireError,
    ConfigError,
    ConflictError,
    EvidenceError,
    LedgerError,
    PolicyError,
    RateError,
    TargetError,
)
from bywire.wiring import payload
from bywire.wiring.pacing import TOO_MANY_CALLS

MEMBERS = {
    "code", "effect", "status", "reason", "rules", "next_step", "approval", "retry", "policy_version", "decision_id",
    "call_id", "retryable",
}  # fmt: skip


MISSING = {"code": "executor_missing", "message": "m"}


def decision(effect, *rules):
    reasons = tuple(Reason(rule, {"tool": "t", "environment": "staging"}) for rule in rules)
    return Decision("d" * 32, effect, reasons, (), "engine", "b" * 64, "data.bywire.action.decision", "i" * 64)


def said(status, effect=Effect.ALLOW, *rules, error=None, result=None, approval_id=""):
    outcome = Outcome(status, "a" * 64, decision(effect, *rules), result, approval_id, 7, error)
    return payload.of_outcome(outcome, key="k", public_url="https://b.example")


def code(*arguments, **more):
    return said(*arguments, **more).get("code", "")


@pytest.mark.parametrize(
    ("expected", "arguments", "more"),
    [
        ("", (OutcomeStatus.COMMITTED,), {}),
        ("", (OutcomeStatus.UNKNOWN,), {"result": {"permitted": True}}),
        ("", (OutcomeStatus.ADVISED, Effect.ALLOW), {}),
        ("", (OutcomeStatus.ADVISED, Effect.SANITIZE), {}),
        ("policy_denied", (OutcomeStatus.DENIED, Effect.DENY, "principal.tool_not_registered"), {}),
        ("policy_denied", (OutcomeStatus.DENIED, Effect.DENY, "engine.error", "state.stopped"), {}),
        ("policy_denied", (OutcomeStatus.DENIED,), {"error": {"code": "obligation_unsupported", "message": "m"}}),
        ("policy_denied", (OutcomeStatus.ADVISED, Effect.DENY, "x.y"), {}),
        ("unknown_tool", (OutcomeStatus.DENIED, Effect.DENY, "action.unknown_tool", "a.b"), {}),
        ("approval_needed", (OutcomeStatus.PENDING, Effect.APPROVAL_NEEDED), {"approval_id": "ap-1"}),
        ("approval_needed", (OutcomeStatus.ADVISED, Effect.APPROVAL_NEEDED), {}),
        ("upstream_failed", (OutcomeStatus.FAILED,), {"error": {"code": "target_refused", "message": "m"}}),
        ("upstream_failed", (OutcomeStatus.DENIED,), {"error": MISSING}),
        ("policy_denied", (OutcomeStatus.DENIED, Effect.DENY, "a.b"), {"error": MISSING}),
        ("outcome_unknown", (OutcomeStatus.UNKNOWN,), {}),
        ("outcome_unknown", (OutcomeStatus.UNKNOWN,), {"result": {"permitted": "yes"}}),
        ("engine_error", (OutcomeStatus.DENIED, Effect.DENY, "engine.error"), {}),
        ("engine_error", (OutcomeStatus.DENIED, Effect.DENY, "engine.undefined"), {}),
        ("engine_error", (OutcomeStatus.DENIED,), {"error": {"code": "obligation_unknown", "message": "m"}}),
        ("engine_error", (OutcomeStatus.DENIED,), {}),
    ],
)  # fmt: skip
def test_each_end_has_its_code(expected, arguments, more):
    found = said(*arguments, **more)
    assert found.get("code", "") == expected
    assert not found or found.keys() == MEMBERS


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EvidenceError("m", code="token_expired"), "unauthenticated"),
        (EvidenceError("m", code="session_refused"), "unauthenticated"),
        (EvidenceError("m", code="not_canonical"), "invalid_parameters"),
        (ContractError("m"), "invalid_parameters"),
        (ContractError("m", code="not_permittable"), "invalid_parameters"),
        (ConflictError("m", code="idempotency_conflict"), "conflict"),
        (ConflictError("m", code="writer_busy"), "busy"),
        (RateError("m"), "busy"),
        (LedgerError("m", code="database_unavailable"), "busy"),
        (LedgerError("m", code="disk_full"), "busy"),
        (LedgerError("m", code="database_corrupt"), "engine_error"),
        (PolicyError("m"), "engine_error"),
        (ConfigError("m"), "engine_error"),
        (TargetError("m"), "engine_error"),
        (BywireError("m"), "engine_error"),
        (KeyError("hunter2"), "engine_error"),
        (RecursionError(), "engine_error"),
    ],
)
def test_each_error_has_its_code_and_is_never_a_deny(error, expected):
    found = payload.of_error(error, key="k")
    assert found["code"] == expected
    assert found.keys() == MEMBERS
    assert found["effect"] == ""
    assert "hunter2" not in str(found)


def test_every_code_has_a_status_and_only_what_waits_is_a_success():
    assert HTTP_STATUS.keys() == set(payload.CODES)
    assert [name for name, status in HTTP_STATUS.items() if status < 400] == ["approval_needed"]


def test_what_waits_says_where_and_with_which_key_to_come_back():
    found = said(OutcomeStatus.PENDING, Effect.APPROVAL_NEEDED, "approval.required", approval_id="ap-1")
    assert found["approval"] == {"id": "ap-1", "url": "https://b.example/approvals/ap-1"}
    assert found["retry"] == {"key": "k", "after_seconds": payload.APPROVAL_RETRY_SECONDS}
    assert found["retryable"] is True


def test_a_deny_says_its_rules_and_never_that_trying_again_helps():
    found = said(OutcomeStatus.DENIED, Effect.DENY, "action.forbidden", "own.rule")
    assert [rule["rule"] for rule in found["rules"]] == ["action.forbidden", "own.rule"]
    assert "t is forbidden in staging" in found["reason"]
    assert (found["retryable"], found["retry"], found["approval"]) == (False, None, None)
    assert (found["policy_version"], found["decision_id"]) == ("b" * 64, "d" * 32)


def denied(*facts):
    reasons = tuple(Reason("state.minute_budget_spent", one) for one in facts)
    made = Decision("d" * 32, Effect.DENY, reasons, (), "engine", "b" * 64, "entry", "i" * 64)
    return payload.of_outcome(Outcome(OutcomeStatus.DENIED, "a" * 64, made), key="k", public_url="https://b.example")


@pytest.mark.parametrize(
    ("facts", "seconds"),
    [
        (({"retry_after_ms": 1},), 1),
        (({"retry_after_ms": 1_000},), 1),
        (({"retry_after_ms": 1_001},), 2),
        (({"retry_after_ms": 900}, {"retry_after_ms": 42_000}), 42),
        (({"retry_after_ms": 86_400_000},), 86_400),
    ],
)
def test_a_limit_that_is_used_up_says_when_there_is_room(facts, seconds):
    found = denied(*facts)
    assert (found["code"], found["retryable"]) == ("policy_denied", True)
    assert found["retry"] == {"key": "k", "after_seconds": seconds}
    answer = told(found)
    assert (answer.status_code, answer.headers["retry-after"]) == (403, str(seconds))


@pytest.mark.parametrize(
    "facts",
    [
        (),
        ({},),
        ({"retry_after_ms": 5}, {}),
        ({"retry_after_ms": None},),
        ({"retry_after_ms": 0},),
        ({"retry_after_ms": -1},),
        ({"retry_after_ms": True},),
        ({"retry_after_ms": "5"},),
        ({"retry_after_ms": 86_400_001},),
    ],
)
def test_waiting_does_not_help_where_anything_else_stands_in_the_way(facts):
    found = denied(*facts)
    assert (found["retryable"], found["retry"]) == (False, None)


def test_too_many_calls_of_one_caller_is_429_and_a_full_gateway_503():
    too_many = RateError("m", code=TOO_MANY_CALLS, retry_after_ms=1_500)
    assert (told(payload.of_error(too_many)).status_code, told(payload.busy()).status_code) == (429, 503)
    assert told(payload.of_error(too_many)).headers["retry-after"] == "2"


def test_a_deny_of_the_policy_is_told_by_its_rule_even_when_nothing_could_carry_it_out():
    missing = {"code": "executor_missing", "message": "nothing is connected"}
    assert "forbidden" in said(OutcomeStatus.DENIED, Effect.DENY, "action.forbidden", error=missing)["reason"]
