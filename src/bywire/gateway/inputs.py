"""The policy input, version 1: assembled from named state and verified facts only (RULES 7)."""

from typing import Any

import msgspec

from bywire.approvals.grant import Grant, grant_facts
from bywire.approvals.packet import evidence_digest
from bywire.gateway.contract import Contract
from bywire.gateway.ports import StateSnapshot
from bywire.identity.trust import TrustRoot
from bywire.model.action import CanonicalAction
from bywire.model.operator import OperatorConfig
from bywire.model.principal import KeyRole
from bywire.seal import jcs

INPUT_VERSION = 1
UNKNOWN_CATEGORY = "unknown"
HOUR_MS = 3_600_000


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
    }


def role_held(operator: OperatorConfig, person_id: str, claimed: str) -> str:
    """The role under which a person approves: what they claim only if the operator says they hold it."""
    person = next((person for person in operator.people if person.id == person_id), None)
    return claimed if person is not None and claimed in person.roles else ""


def action_facts(action: CanonicalAction, contract: Contract | None, *, dry_run: bool) -> dict[str, Any]:
    """The action's part of the input. An unknown tool has category `unknown`, which nothing allows."""
    return {
        "tool": action.tool,
        "category": contract.category if contract else UNKNOWN_CATEGORY,
        "environment": action.environment,
        "service": action.service,
        "digest": action.digest,
        "parameters": action.parameters,
        "evidence": list(action.evidence),
        "plan": action.plan,
        "change": action.change,
        "dry_run": dry_run,
    }


def state_facts(
    snapshot: StateSnapshot, operator: OperatorConfig, now_ms: int, target: dict[str, Any]
) -> dict[str, Any]:
    """Named state: stop, freeze, bundle, budget, session integrity, what the target says."""
    spent = snapshot.budget_used if snapshot.budget_hour == now_ms // HOUR_MS else 0
    return {
        "stop": snapshot.stopped,
        "stop_epoch": snapshot.stop_epoch,
        "freeze_all": snapshot.freeze_all,
        "freeze_window": any(start <= now_ms < end for start, end in operator.freeze_windows),
        "incident_mode": snapshot.incident_mode,
        "bundle_digest": snapshot.bundle_digest,
        "session": {"integrity": snapshot.session.integrity},
        "budget": {"observed": spent, "limit": operator.limits.actions_per_hour},
        "target": target,
    }


def grant_input(
    grant: Grant | None, action: CanonicalAction, operator: OperatorConfig, uses_left: int, *, revoked: bool
) -> dict[str, Any] | None:
    """The grant's part of the input; the approver's role is the operator's word, not the statement's."""
    if grant is None:
        return None
    facts = grant_facts(grant, evidence_digest=evidence_digest(action.evidence), uses_left=uses_left, revoked=revoked)
    facts["approver_role"] = role_held(operator, grant.approver, grant.approver_role)
    return facts


def principal_facts(snapshot: StateSnapshot) -> dict[str, Any]:
    """Who asks; the built-in role is the name behind the kind."""
    principal = snapshot.session.principal
    return {"id": principal.id, "kind": str(principal.kind), "owner": principal.owner, "role": principal.name}
