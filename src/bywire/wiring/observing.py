"""The record of one answered call, for whoever observes."""

from collections.abc import Mapping
from typing import Any

import msgspec

from bywire.gateway import connected
from bywire.gateway.contract import Catalogue, Contract, ContractError
from bywire.identity.session import Session
from bywire.model.ask import Answered, Ask, CallRecord
from bywire.model.operator import OperatorConfig
from bywire.wiring.catalogue import place_of
from bywire.wiring.payload import call_id


class Seen(msgspec.Struct, frozen=True):
    """What was measured and looked up around one call; `session` is None when nobody was authenticated.

    `span` is the call's own traceparent; `arguments` its parameters, redacted, None unless they were asked for.
    """

    session: Session | None
    team: str
    started_ms: int
    duration_ns: Mapping[str, int]
    span: str = ""
    arguments: dict[str, Any] | None = None


def record_of(ask: Ask, answered: Answered, seen: Seen, catalogue: Catalogue, operator: OperatorConfig) -> CallRecord:
    """What is known of the call."""
    outcome, session = answered.outcome, seen.session
    decision, contract = outcome.decision, catalogue.find(ask.tool)
    shadowed = [item for item in decision.obligations if item.get("kind") == "shadowed"] if decision else []
    service, environment = place_of(catalogue, ask.tool, ask.parameters, operator)
    changed = outcome.sanitized
    # A report and an answer from the record change nothing and redact nothing again.
    now = changed if ask.parameters and not outcome.replayed else None
    return CallRecord(
        surface=ask.surface,
        tool=ask.tool,
        upstream=contract.upstream if contract is not None else "",
        category=contract.category if contract is not None else "",
        principal=session.principal.id if session is not None else "",
        owner=session.principal.owner if session is not None else "",
        team=seen.team,
        service=service,
        environment=environment,
        effect=outcome.effect,
        status=str(outcome.status),
        rules=tuple(reason.rule for reason in decision.reasons) if decision is not None else (),
        error=answered.code,
        decision_id=decision.id if decision is not None else "",
        policy_version=decision.bundle_digest if decision is not None else "",
        approval_id=outcome.approval_id,
        intent=f"{session.principal.id}|{ask.tool}|{ask.key}" if session is not None and ask.key else "",
        run=session.run if session is not None else "",
        change=ask.change,
        evidence=ask.evidence,
        cost=_cost(contract, ask),
        would_block=tuple(str(item.get("rule", "")) for item in shadowed),
        started_ms=seen.started_ms,
        duration_ns=dict(seen.duration_ns),
        trace=ask.trace,
        call=call_id(outcome),
        span=seen.span,
        arguments=seen.arguments,
        effect_before=str(changed.before) if changed is not None else "",
        effect_after=str(decision.effect) if changed is not None and decision is not None else "",
        replaced=now.replaced if now is not None else 0,
        redacted_request=now.masked if now is not None else {},
        redacted_response={} if outcome.replayed else outcome.redacted,
    )


def _cost(contract: Contract | None, ask: Ask) -> tuple[dict[str, Any], ...]:
    """What the call costs if it is carried out, as its contract says."""
    if contract is None or not (contract.cost or ask.tokens):
        return ()
    try:
        found = connected.costs(contract.cost, ask.parameters, ask.tokens)
    except ContractError:
        return ()
    return tuple({"unit": one.unit, "amount": one.amount} for one in found)
