"""The one payload that says why a call was not simply carried out; every surface puts exactly this object somewhere.

A deny, a request for a person and a failure have one shape and different codes. An error while deciding is never told
as a deny: it says `engine_error`, and allows nothing.
"""

import logging
from typing import Any

from bywire.gateway.contract import ContractError
from bywire.model.decision import Decision, Effect, Outcome, OutcomeStatus
from bywire.model.errors import BywireError, ConflictError, EvidenceError, RateError
from bywire.model.windows import DAY, PERIOD_MS
from bywire.policy.engine.policy_engine import RULES as ENGINE_RULES
from bywire.wiring.telling import explained

_logger = logging.getLogger("bywire.gateway")

POLICY_DENIED = "policy_denied"
APPROVAL_NEEDED = "approval_needed"
INVALID_PARAMETERS = "invalid_parameters"
UNKNOWN_TOOL = "unknown_tool"
UNAUTHENTICATED = "unauthenticated"
CONFLICT = "conflict"
UPSTREAM_FAILED = "upstream_failed"
OUTCOME_UNKNOWN = "outcome_unknown"
BUSY = "busy"
ENGINE_ERROR = "engine_error"
CODES = (
    POLICY_DENIED, APPROVAL_NEEDED, INVALID_PARAMETERS, UNKNOWN_TOOL, UNAUTHENTICATED, CONFLICT, UPSTREAM_FAILED,
    OUTCOME_UNKNOWN, BUSY, ENGINE_ERROR,
)  # fmt: skip
# What the policy says. Every other code is of what kept the gateway from an answer, or the effect from an end.
ANSWERS = frozenset({POLICY_DENIED, APPROVAL_NEEDED, UNKNOWN_TOOL})
RETRYABLE = frozenset({APPROVAL_NEEDED, BUSY, ENGINE_ERROR})
APPROVAL_RETRY_SECONDS, BUSY_RETRY_SECONDS = 5, 1
# The fact by which a rule says that there will be room again, and how long anybody may be told to wait.
RETRY_AFTER_MS, RETRY_MS_MAX = "retry_after_ms", PERIOD_MS[DAY]
_REASONS_MAX = 16
# Rules by which the engine itself answers when it could not decide (RULES 8).
_ENGINE_RULES = frozenset(ENGINE_RULES)
# EvidenceErrors that say who asked is not known; any other is about what was asked.
_IDENTITY = ("token_", "session_")
# What keeps an allowed action from being carried out, as the door names it.
_UNMET = {"executor_missing": UPSTREAM_FAILED, "obligation_unsupported": POLICY_DENIED}
# Errors of a store that will be there again: the caller comes back with the same key.
_PASSING = frozenset(
    {
        "database_busy",
        "database_failed",
        "database_unavailable",
        "disk_full",
        "writer_busy",
        "writer_closed",
    }
)


def refusal(code: str, reason: str, *, next_step: str = "", status: str = "failed", **more: Any) -> dict[str, Any]:
    """A payload with these fields and every other one empty."""
    return {
        "code": code,
        "effect": "",
        "status": status,
        "reason": reason,
        "rules": [],
        "next_step": next_step,
        "approval": None,
        "retry": None,
        "policy_version": "",
        "decision_id": "",
        "call_id": "",
        "retryable": code in RETRYABLE,
        **more,
    }


def of_outcome(outcome: Outcome, *, key: str, public_url: str) -> dict[str, Any]:
    """The payload of an outcome; empty when the call was carried out, permitted, or would be.

    `key` is the idempotency key to come back with.
    """
    decision = outcome.decision
    code = _code(outcome)
    if not code:
        return {}
    rules = _rules(decision)
    reason, next_step = _told(outcome, rules)
    retry = _retry(code, outcome, key)
    return refusal(
        code,
        reason,
        next_step=next_step,
        status=str(outcome.status),
        effect=outcome.effect,
        rules=rules,
        approval=_approval(outcome.approval_id, public_url),
        retry=retry,
        retryable=code in RETRYABLE or (code == POLICY_DENIED and retry is not None),
        policy_version=decision.bundle_digest if decision is not None else "",
        decision_id=decision.id if decision is not None else "",
        call_id=call_id(outcome),
    )


def _retry(code: str, outcome: Outcome, key: str) -> dict[str, Any] | None:
    """When to come back: once a person has looked, when less of a limit is used, or when the upstream says so."""
    if code == APPROVAL_NEEDED:
        return {"key": key, "after_seconds": APPROVAL_RETRY_SECONDS}
    if code == POLICY_DENIED:
        wait_ms = _wait_ms(outcome.decision)
        return {"key": key, "after_seconds": _seconds(wait_ms)} if wait_ms else None
    after = (outcome.error or {}).get("retry_after_seconds", "")
    return {"key": key, "after_seconds": int(after)} if code == UPSTREAM_FAILED and after.isdigit() else None


def _wait_ms(decision: Decision | None) -> int:
    """How long until there is room, when nothing but used-up limits stands in the way; 0 when waiting is no help."""
    waits = [reason.facts.get(RETRY_AFTER_MS) for reason in decision.reasons] if decision is not None else []
    numbers = [wait for wait in waits if type(wait) is int and 0 < wait <= RETRY_MS_MAX]
    return max(numbers) if numbers and len(numbers) == len(waits) else 0


def _seconds(wait_ms: int) -> int:
    return -(-wait_ms // 1_000)


def of_error(error: Exception, *, key: str = "") -> dict[str, Any]:
    """The payload of an error that the door raised. What is no error of ours shows nothing of itself, and is logged."""
    if not isinstance(error, BywireError):
        log_fault(error)
        said = "the gateway failed; this answer allows nothing, and what had begun is an open intent"
        return refusal(ENGINE_ERROR, said, next_step="bywire status; the gateway's log names the place")
    code = error_code(error)
    after = _seconds(error.retry_after_ms) if isinstance(error, RateError) else BUSY_RETRY_SECONDS
    retry = {"key": key, "after_seconds": after} if code in RETRYABLE else None
    rules = [{"rule": error.code, "message": error.message, "facts": {}}]
    return refusal(code, error.message, next_step=error.next_step, rules=rules, retry=retry)


def log_fault(error: BaseException) -> None:
    """Which error and where, for the operator; never what it says, which may quote a caller."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "nowhere"
    _logger.error("%s at %s", type(error).__name__, where)


def busy(key: str = "") -> dict[str, Any]:
    """The payload for a call that found every place in the queue taken."""
    return refusal(
        BUSY,
        "the gateway has as many calls waiting as it takes; nothing was decided",
        next_step="send the same call with the same key again",
        retry={"key": key, "after_seconds": BUSY_RETRY_SECONDS},
    )


def cut_short() -> dict[str, Any]:
    """The payload for a call that was under way when the gateway had to end; what began is settled all the same."""
    return refusal(
        OUTCOME_UNKNOWN,
        "the gateway ends, and does not wait for this call; what it had begun is carried out and recorded",
        next_step="send the same call with the same key to the gateway that comes next: it tells what became of it",
        status="unknown",
    )


def error_code(error: BywireError) -> str:
    """Which of the codes an error of the door is told as."""
    if isinstance(error, EvidenceError):
        return UNAUTHENTICATED if error.code.startswith(_IDENTITY) else INVALID_PARAMETERS
    if error.code in _PASSING or isinstance(error, RateError):
        return BUSY
    if isinstance(error, ConflictError):
        return CONFLICT
    return INVALID_PARAMETERS if isinstance(error, ContractError) else ENGINE_ERROR


def permits(outcome: Outcome) -> bool:
    """Whether this answer itself permits: a read now, or a write under a new intent; never what is recorded."""
    return (outcome.result or {}).get("permitted") is True and not outcome.replayed


def spent(outcome: Outcome, key: str) -> dict[str, Any]:
    """The payload for a key whose permit was used."""
    return refusal(
        CONFLICT,
        f"the key {key!r} was used, and what it was used for is recorded as {outcome.status}",
        next_step="a new action takes a new key",
        status=str(outcome.status),
        decision_id=outcome.decision.id if outcome.decision is not None else "",
        call_id=call_id(outcome),
    )


def permitted(outcome: Outcome) -> bool:
    """Whether this is a permit: unknown until its caller reports, and no failure.

    A recorded outcome is none, whatever its reporter wrote into it: one permit is one effect.
    """
    return outcome.status is OutcomeStatus.UNKNOWN and permits(outcome)


def call_id(outcome: Outcome) -> str:
    """The name of one call: what was asked and the ledger entry that records how it ended."""
    place = f"-{outcome.entry}" if outcome.entry >= 0 else ""
    return f"{outcome.action_digest[:16]}{place}" if outcome.action_digest else ""


def _code(outcome: Outcome) -> str:
    if outcome.status is OutcomeStatus.COMMITTED or permitted(outcome):
        return ""
    if outcome.status is OutcomeStatus.ADVISED:
        return _advised(outcome)
    if outcome.status is OutcomeStatus.PENDING:
        return APPROVAL_NEEDED
    if outcome.status is OutcomeStatus.FAILED:
        return UPSTREAM_FAILED
    if outcome.status is OutcomeStatus.UNKNOWN:
        return OUTCOME_UNKNOWN
    return _denied(outcome)


def _advised(outcome: Outcome) -> str:
    effect = outcome.decision.effect if outcome.decision is not None else None
    if effect is Effect.APPROVAL_NEEDED and not outcome.error:
        return APPROVAL_NEEDED
    return "" if effect in {Effect.ALLOW, Effect.SANITIZE} and not outcome.error else _denied(outcome)


def _denied(outcome: Outcome) -> str:
    rules = {reason.rule for reason in outcome.decision.reasons} if outcome.decision is not None else set()
    if outcome.decision is None or (rules and rules <= _ENGINE_RULES):
        return ENGINE_ERROR
    if outcome.decision.effect is Effect.ALLOW:
        # It was allowed, and the door could not carry it out as the policy wants it.
        return _UNMET.get((outcome.error or {}).get("code", ""), ENGINE_ERROR)
    return UNKNOWN_TOOL if "action.unknown_tool" in rules else POLICY_DENIED


def _rules(decision: Decision | None) -> list[dict[str, Any]]:
    reasons = decision.reasons[:_REASONS_MAX] if decision is not None else ()
    return [
        {"rule": reason.rule, "message": explained(reason.rule, reason.facts)[0], "facts": dict(reason.facts)}
        for reason in reasons
    ]


def _told(outcome: Outcome, rules: list[dict[str, Any]]) -> tuple[str, str]:
    """(reason, next step): what the error says where that is why, else the first rule."""
    refused = outcome.decision is not None and outcome.decision.effect is not Effect.ALLOW
    if outcome.error and outcome.error.get("message") and not (refused and rules):
        return outcome.error["message"], outcome.error.get("next_step", "")
    if rules:
        return str(rules[0]["message"]), explained(rules[0]["rule"], rules[0]["facts"])[1]
    return "nobody knows whether it happened", "bywire status"


def _approval(approval_id: str, public_url: str) -> dict[str, str] | None:
    return {"id": approval_id, "url": f"{public_url}/approvals/{approval_id}"} if approval_id else None
