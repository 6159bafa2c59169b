"""The signed statements the door leaves behind: one per decision, one per outcome."""

from typing import Any

import msgspec

from bywire.gateway.canonical import action_json
from bywire.gateway.condition import unmet
from bywire.gateway.contract import Contract
from bywire.gateway.deciding import Judged
from bywire.gateway.ports import IntentRow
from bywire.identity.trust import TrustRoot
from bywire.model.action import CanonicalAction
from bywire.model.decision import Decision, Effect, Outcome, OutcomeStatus, Sanitized
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import DECISION, OUTCOME, Statement, subject
from bywire.seal import jcs
from bywire.seal.digest import same_digest
from bywire.seal.dsse import sign_statement, verify_statement
from bywire.seal.keys import SigningKey


def decision_statement(
    decision: Decision,
    action: CanonicalAction,
    policy_input: dict[str, Any],
    intent_key: str,
    key: SigningKey,
    *,
    mediated: bool = True,
    sanitized: Sanitized | None = None,
) -> bytes:
    """The decision with the whole input it was made on, so that anyone can make it again, and the key it is for.

    `mediated` False: its caller carries it out, and no recovery ever does. `sanitized`: how it became this action.
    """
    predicate = {
        "decision": msgspec.to_builtins(decision),
        "action": action_json(action),
        "input": policy_input,
        "intent": intent_key,
        **({} if mediated else {"mediated": False}),
        **how(sanitized),
    }
    return sign_statement(
        Statement(
            subject=(subject(f"action:{action.tool}", action.digest),), predicateType=DECISION, predicate=predicate
        ),
        key,
    )


def decided(judged: Judged, key: SigningKey, *, mediated: bool) -> bytes:
    """As `decision_statement`, of a call that was judged."""
    asked = judged.asked
    return decision_statement(
        judged.decision,
        asked.action,
        judged.policy_input,
        asked.key,
        key,
        mediated=mediated,
        sanitized=asked.sanitized,
    )


def how(sanitized: Sanitized | None) -> dict[str, Any]:
    """The part of a recorded decision that says of which action this one was made; empty for one as it was asked."""
    return {} if sanitized is None else {"sanitized": msgspec.to_builtins(sanitized)}


def was_decided(row: IntentRow, found: tuple[int, bytes] | None, trust: TrustRoot) -> bool:
    """Whether the log's own key signed a decision that allows exactly this row, under exactly its key.

    A row of the database permits nothing by itself; `found` is (ledger index, envelope) of the row's decision.
    """
    if found is None:
        return False
    index, envelope = found
    try:
        statement = verify_statement(envelope, trust.keys_for(KeyRole.LOG, index=index)).statement
    except EvidenceError:
        return False
    said, action = statement.predicate, statement.predicate.get("action", {})
    shown = {name: value for name, value in action.items() if name != "digest"}
    wanted = {
        "tool": row.tool,
        "service": row.service,
        "environment": row.environment,
        "principal": row.principal,
        "change": row.change,
        "parameters": row.request["parameters"],
    }
    return (
        statement.predicateType == DECISION
        and said.get("intent") == row.key
        and said.get("mediated") is not False
        and said.get("decision", {}).get("effect") == Effect.ALLOW
        and said.get("input", {}).get("action", {}).get("dry_run") is False
        and same_digest(jcs.digest(shown), row.action_digest)
        and all(action.get(name) == value for name, value in wanted.items())
    )


def verified(
    outcome: Outcome, contract: Contract | None, row: IntentRow, after: dict[str, Any], *, recovered: bool
) -> Outcome:
    """`outcome` as the target shows it: an effect whose postconditions are contradicted is not known to be done.

    A target that says nothing contradicts nothing, and of a `recovered` call its own record counts; the outcome then
    says what could not be verified.
    """
    if contract is None or outcome.status is not OutcomeStatus.COMMITTED or not contract.postconditions:
        return outcome
    if "unavailable" in after or "omitted" in after:
        return msgspec.structs.replace(outcome, unverified=tuple(item.name for item in contract.postconditions))
    contradicted = unmet(contract.postconditions, row.request["parameters"], after)
    if not contradicted:
        return outcome
    if recovered:
        # What the target recorded then is not undone by what it shows now: a later retreat may have come between.
        return msgspec.structs.replace(outcome, unverified=contradicted)
    error = {
        "code": "postcondition_unmet",
        "message": f"{contract.name} was carried out, but the target does not show it: {', '.join(contradicted)}",
        "next_step": "bywire reconcile",
    }
    return msgspec.structs.replace(outcome, status=OutcomeStatus.UNKNOWN, unverified=contradicted, error=error)


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
        "unverified": list(outcome.unverified),
        "observed": observed,
        "approval": approval,
        **({"redacted": outcome.redacted} if outcome.redacted else {}),
    }
    return sign_statement(
        Statement(subject=(subject("action", outcome.action_digest),), predicateType=OUTCOME, predicate=predicate),
        key,
    )
