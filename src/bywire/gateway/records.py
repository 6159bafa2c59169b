"""The signed statements the door leaves behind: one per decision, one per outcome."""

from typing import Any

import msgspec

from bywire.gateway.canonical import action_json
from bywire.model.action import CanonicalAction
from bywire.model.decision import Decision, Outcome
from bywire.model.statement import DECISION, OUTCOME, Statement, subject
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey


def decision_statement(
    decision: Decision, action: CanonicalAction, policy_input: dict[str, Any], key: SigningKey
) -> bytes:
    """The decision with the whole input it was made on, so that anyone can make it again."""
    predicate = {
        "decision": msgspec.to_builtins(decision),
        "action": action_json(action),
        "input": policy_input,
    }
    return sign_statement(
        Statement(
            subject=(subject(f"action:{action.tool}", action.digest),), predicateType=DECISION, predicate=predicate
        ),
        key,
    )


def outcome_statement(
    outcome: Outcome, intent_key: str, observed: dict[str, Any], approval: dict[str, str], key: SigningKey
) -> bytes:
    """What happened, with telemetry before and after, approver and reason (RULES 15)."""
    predicate = {
        "status": str(outcome.status),
        "intent": intent_key,
        "decision": outcome.decision.id if outcome.decision else "",
        "result": outcome.result,
        "error": outcome.error,
        "observed": observed,
        "approval": approval,
    }
    return sign_statement(
        Statement(subject=(subject("action", outcome.action_digest),), predicateType=OUTCOME, predicate=predicate),
        key,
    )
