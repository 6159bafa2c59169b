"""The policy input, version 1: assembled from named state and verified facts only (RULES 7)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bywire.approvals.grant import Grant, grant_facts
from bywire.approvals.packet import evidence_digest
from bywire.approvals.windows import open_window
from bywire.gateway.asking import Asked
from bywire.gateway.connected import ACTIONS
from bywire.gateway.contract import Reversibility
from bywire.gateway.ports import Debit, StateSnapshot
from bywire.identity.registration import Registration, registration_facts
from bywire.identity.trust import TrustRoot
from bywire.model.action import CanonicalAction
from bywire.model.connected import THOUSANDTHS, Cost
from bywire.model.gateway_budgets import Budgets
from bywire.model.operator import OperatorConfig
from bywire.model.principal import KeyRole
from bywire.model.windows import DAY, HOUR, PERIOD_MS, next_period_ms
from bywire.seal import jcs

INPUT_VERSION = 1
UNKNOWN_CATEGORY = "unknown"
RECORDED, MISSING = "recorded", "missing"
HOUR_MS, DAY_MS = PERIOD_MS[HOUR], PERIOD_MS[DAY]
NO_BUDGETS = Budgets()


def operator_facts(operator: OperatorConfig, trust: TrustRoot) -> dict[str, Any]:
    """The operator's part of the input; constant between configuration changes."""
    return {
        "criticality": operator.criticality,
        "tier_floor": operator.tier_floor,
        # Numbers as JCS spells them: whole floats would cost every decision the slow way to its canonical input.
        "limits": msgspec.json.decode(jcs.canonical(msgspec.to_builtins(operator.limits))),
        "signers": {
            key.key_id: {"role": str(key.role), "name": key.principal}
            for key in trust.keys
            if key.role is KeyRole.BUILDER and key.valid_at(None)
        },
        "approver_roles": sorted({role for person in operator.people for role in person.roles}),
        "gates": {tier: msgspec.to_builtins(gate) for tier, gate in sorted(operator.gates.items())},
        "tool_rates": dict(sorted(operator.tool_rates.items())),
    }


def role_held(operator: OperatorConfig, person_id: str, claimed: str) -> str:
    """The role under which a person approves: what they claim only if the operator says they hold it."""
    person = next((person for person in operator.people if person.id == person_id), None)
    return claimed if person is not None and claimed in person.roles else ""


def action_facts(asked: Asked, evidence: str = "") -> dict[str, Any]:
    """The action's part of the input. An unknown tool has category `unknown`, which nothing allows.

    `evidence` is RECORDED or MISSING where the contract requires some.
    """
    action, contract, connected = asked.action, asked.contract, asked.connected
    facts = {
        "tool": action.tool,
        "category": contract.category if contract else UNKNOWN_CATEGORY,
        "environment": action.environment,
        "service": action.service,
        "digest": action.digest,
        "parameters": action.parameters,
        "evidence": list(action.evidence),
        "plan": action.plan,
        "change": action.change,
        "dry_run": asked.request.dry_run,
        "unmet_preconditions": list(asked.unmet),
        "undo": str(contract.reversibility) if contract else str(Reversibility.IRREVERSIBLE),
        # What a session that read untrusted text asks for carries its label (RULES 22).
        "integrity": asked.snapshot.session.integrity,
        "findings": [msgspec.to_builtins(found) for found in connected.findings] if connected else [],
        "cost": [msgspec.to_builtins(cost) for cost in asked.costs],
    }
    if asked.request.destination:
        facts["destination"] = asked.request.destination
    if contract is not None and connected is not None:
        facts["connected"] = {
            "upstream": contract.upstream,
            "risk": contract.risk,
            "reviewed": contract.reviewed,
            "definition": connected.definition,
            **({"evidence": evidence} if evidence else {}),
        }
        facts["meaning"] = connected.meaning
    return facts


def charged(asked: Asked) -> tuple[Cost, ...]:
    """What a write is charged with: one action, and what its contract says it costs."""
    return (Cost(ACTIONS, THOUSANDTHS), *asked.costs)


def debits(
    asked: Asked, operator: OperatorConfig, registration: Registration | None, budgets: Budgets = NO_BUDGETS
) -> tuple[Debit, ...]:
    """Every count that this action would use up.

    By the hour the principal's, the tool's, and the principal's for the tool; what it costs of each budget by the day,
    and of those by the second and the minute.
    """
    tool, principal = asked.action.tool, asked.action.principal
    own = operator.tool_rates.get(tool, asked.contract.rate_per_hour if asked.contract else 0)
    rates = registration.tool_rates if registration else {}
    allowed = registration.actions_per_hour if registration else None
    hourly = operator.limits.actions_per_hour if allowed is None else min(allowed, operator.limits.actions_per_hour)
    found = [Debit(scope=f"principal:{principal}", limit=hourly)]
    if own:
        found.append(Debit(scope=f"tool:{tool}", limit=own))
    if tool in rates:
        found.append(Debit(scope=f"principal:{principal}|tool:{tool}", limit=rates[tool]))
    return (*found, *_budgeted(asked, budgets))


def _budgeted(asked: Asked, budgets: Budgets) -> tuple[Debit, ...]:
    action, amounts = asked.action, {cost.unit: cost.amount for cost in charged(asked)}
    scopes = {
        action.principal: f"principal:{action.principal}",
        f"team:{budgets.team_of(action.principal)}": f"team:{budgets.team_of(action.principal)}",
        f"tool:{action.tool}": f"tool:{action.tool}",
        f"environment:{action.environment}": f"environment:{action.environment}",
    }
    daily = ((budget.scope, budget.per_day, DAY, budget.unit) for budget in budgets.budgets)
    short = ((window.scope, window.limit, window.period, window.unit) for window in budgets.windows)
    return tuple(
        Debit(scopes[scope], limit, amounts[unit], period, unit)
        for scope, limit, period, unit in (*daily, *short)
        if scope in scopes and unit in amounts
    )


def state_facts(
    asked: Asked, operator: OperatorConfig, limits: Sequence[dict[str, Any]] = (), usage: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Named state: stop, freeze, windows, bundle, counts, session integrity, what the target says."""
    snapshot, now_ms = asked.snapshot, asked.now_ms
    spent = snapshot.budget_used if snapshot.budget_hour == now_ms // HOUR_MS else 0
    return {
        "stop": snapshot.stopped,
        "stop_epoch": snapshot.stop_epoch,
        "freeze_all": snapshot.freeze_all,
        "freeze_window": any(start <= now_ms < end for start, end in operator.freeze_windows),
        "change_window": open_window(operator.change_windows, now_ms),
        "incident_mode": snapshot.incident_mode,
        "bundle_digest": snapshot.bundle_digest,
        "session": {"integrity": snapshot.session.integrity},
        "budget": _budget(spent, operator.limits.actions_per_hour, now_ms),
        "limits": list(limits),
        "usage": list(usage),
        "target": asked.target,
    }


def _budget(spent: int, limit: int, now_ms: int) -> dict[str, Any]:
    """The count of the hour; with the hour's end once nothing is left."""
    told = {"observed": spent, "limit": limit}
    return told if spent < limit else {**told, "frees_at_ms": next_period_ms(HOUR, now_ms)}


def grant_input(
    grant: Grant | None, action: CanonicalAction, operator: OperatorConfig, uses_left: int, *, revoked: bool
) -> dict[str, Any] | None:
    """The grant's part of the input; the approver's role is the operator's word, not the statement's."""
    if grant is None:
        return None
    facts = grant_facts(grant, evidence_digest=evidence_digest(action.evidence), uses_left=uses_left, revoked=revoked)
    facts["approver_role"] = role_held(operator, grant.approver, grant.approver_role)
    for approval in facts["approvals"]:
        approval["role"] = role_held(operator, approval["approver"], approval["role"])
    return facts


def principal_facts(
    snapshot: StateSnapshot, operator: OperatorConfig, registration: Registration | None, team: str = ""
) -> dict[str, Any]:
    """Who asks; the built-in role is the name behind the kind, the roles of a person are the operator's word."""
    principal = snapshot.session.principal
    return {
        "id": principal.id,
        "kind": str(principal.kind),
        "owner": principal.owner,
        "team": team,
        "role": principal.name,
        "roles": [role for person in operator.people if person.id == principal.id for role in person.roles],
        "registration": registration_facts(registration),
    }
