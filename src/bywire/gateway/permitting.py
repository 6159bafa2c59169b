"""Permits: actions that their caller carries out and reports, because the door cannot stand in the way of them.

A permit is decided, approved, charged and journalled as any call is. It stays unknown until its principal says once how
it ended, or a person settles it; nothing here ever sends it again.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from bywire.gateway.asking import Asked
from bywire.gateway.contract import Contract, ContractError
from bywire.gateway.ports import IntentRow
from bywire.model.decision import Decision, Outcome, OutcomeStatus
from bywire.model.errors import ConflictError

REPORTED = {
    "committed": OutcomeStatus.COMMITTED,
    "failed": OutcomeStatus.FAILED,
    "unknown": OutcomeStatus.UNKNOWN,
}
NOTHING_REDACTED: Mapping[str, int] = MappingProxyType({})
_ENDED = frozenset({OutcomeStatus.COMMITTED, OutcomeStatus.FAILED})


def check_permittable(contract: Contract | None) -> None:
    """Only what an upstream carries out. Raises ContractError `not_permittable`."""
    if contract is not None and not contract.upstream:
        raise ContractError(
            f"{contract.name} is carried out here, and by nobody else",
            code="not_permittable",
            next_step="call it instead of asking for a permit",
        )


def permit(asked: Asked, decision: Decision, intent: str, deadline_ms: int) -> Outcome:
    """The permit; its parameters are those to use, after the policy replaced or masked what it wanted to."""
    parameters = asked.request.parameters
    said = {"permitted": True, "intent": intent, "deadline_ms": deadline_ms, "parameters": parameters}
    # A read leaves nothing open: there is nothing to report.
    status = OutcomeStatus.UNKNOWN if intent else OutcomeStatus.COMMITTED
    return Outcome(
        status=status, action_digest=asked.action.digest, decision=decision, result=said, sanitized=asked.sanitized
    )


def inexact(asked: Asked, wanted: bool) -> dict[str, str] | None:
    """The error for a caller that can meet no obligation, when the policy allows a changed action only."""
    if not wanted or asked.action.digest == asked.first_digest:
        return None
    return {
        "code": "obligation_unsupported",
        "message": "the policy allows this with other parameters, and the caller cannot replace any",
        "next_step": "declare `replace_parameters` among the obligations that you meet, and send what they say",
    }


def reported(
    row: IntentRow | None,
    principal: str,
    status: str,
    result: dict[str, Any] | None,
    counts: Mapping[str, int] = NOTHING_REDACTED,
) -> Outcome:
    """The outcome that a report says; `counts` is what was taken out of its result.

    Raises ContractError `intent_unknown` (also for what was permitted to somebody else: nobody learns which it is),
    `contract_violated` for a status that is none.
    """
    if row is None or row.mediated or row.principal != principal:
        raise ContractError(
            "no permit of yours has this name", code="intent_unknown", next_step="report the `intent` of your permit"
        )
    if status not in REPORTED:
        raise ContractError(f"a report says {', '.join(REPORTED)}", next_step="send one of them as `status`")
    error = None
    if status != "committed":
        error = {
            "code": "reported_failed" if status == "failed" else "reported_unknown",
            "message": f"the caller reported {status}",
            "next_step": "ask again with another key" if status == "failed" else "bywire reconcile settle",
        }
    return Outcome(
        status=REPORTED[status],
        action_digest=row.action_digest,
        decision=row.decision,
        result=result,
        error=error,
        sanitized=row.sanitized,
        redacted=dict(counts),
    )


def said_before(known: Outcome | None, outcome: Outcome) -> Outcome | None:
    """What was reported before, when the same is reported again. Raises ConflictError `already_reported`."""
    if known is None:
        return None
    if (known.status, known.result) == (outcome.status, outcome.result):
        return msgspec.structs.replace(known, replayed=True)
    if known.status in _ENDED:
        raise ConflictError(
            f"this permit was settled as {known.status}",
            code="already_reported",
            next_step="nothing: what was recorded first stands",
        )
    return None
