"""What a person is shown before they sign: built from verified facts, with what speaks against stated first."""

from typing import Any

import msgspec

from bywire.approvals.grant import Grant
from bywire.approvals.packet import Packet, differences, evidence_digest, packet_id
from bywire.approvals.showing import alternatives, evidence_summary, proposed_state, risk_flags
from bywire.gateway.canonical import action_json
from bywire.gateway.contract import Contract
from bywire.identity.session import TRUSTED
from bywire.model.action import CanonicalAction
from bywire.model.decision import Decision
from bywire.seal import jcs

# Their approval is a standing grant: for the steps of a rollout, or of a runbook.
PLAN_TOOLS = frozenset({"start_rollout", "start_runbook"})


def build_packet(
    action: CanonicalAction,
    contract: Contract,
    decision: Decision,
    policy_input: dict[str, Any],
    *,
    expires_at_ms: int,
    prose: str = "",
    repeated: tuple[str, ...] = (),
) -> Packet:
    """The packet for one action that needs a person. Pure: the same question gives the same packet."""
    now_ms = policy_input["now_ms"]
    bound = evidence_digest(action.evidence)
    plan = dict(action.parameters) if action.tool in PLAN_TOOLS else None
    required = next((item for item in decision.obligations if item.get("kind") == "approval"), {})
    judged = next((item for item in decision.obligations if item.get("kind") == "tier"), {})
    return Packet(
        id=packet_id(action.digest, bound, decision.bundle_digest, now_ms),
        action=dict(action_json(action)),
        action_digest=action.digest,
        evidence=action.evidence,
        evidence_digest=bound,
        bundle_digest=decision.bundle_digest,
        environment=action.environment,
        service=action.service,
        requester=action.principal,
        target=dict(policy_input["state"]["target"]),
        plan=plan,
        plan_digest=jcs.digest(plan) if plan else "",
        tier=str(required.get("tier") or judged.get("tier", "high")),
        approver_roles=tuple(required.get("roles", ())),
        requested_at_ms=now_ms,
        expires_at_ms=expires_at_ms,
        undo=contract.undo,
        expected=contract.expected,
        # An action outside every delivery rests on no such evidence.
        missing=_missing(policy_input.get("facts", {})) if action.change or plan is None else (),
        contrary=_contrary(policy_input.get("facts", {})),
        uncertain=(
            *_tainted(policy_input),
            *repeated,
            *_uncertain(policy_input.get("facts", {})),
        ),
        prose=prose,
        quorum=int(required.get("count", 1)),
        quorum_roles=tuple(required.get("roles", ())),
        gate=str(required.get("gate", "")),
        risk_flags=risk_flags(decision.obligations),
        alternatives=alternatives(action.tool, contract.undo),
        evidence_summary=evidence_summary(policy_input.get("facts", {})),
        proposed=proposed_state(dict(action_json(action))),
    )


def renamed(packet: Packet, other: Packet) -> Packet:
    """`packet` under a name that `other` does not have: asked in the same millisecond, they would share one."""
    bound = packet_id(packet.action_digest, packet.evidence_digest, other.digest, packet.requested_at_ms)
    return msgspec.structs.replace(packet, id=bound)


def superseding(packet: Packet, previous: Grant, *, revoked: bool = False) -> Packet:
    """`packet` with what the last verdict on it said and what changed since, under a name of its own."""
    changed = differences(previous.packet, packet)
    if previous.verdict == "denied":
        changed = (f"{previous.approver} denied this before: {previous.reason or 'no reason given'}", *changed)
    if revoked:
        changed = (f"{previous.id}, an approval of this by {previous.approver}, was revoked", *changed)
    return msgspec.structs.replace(
        renamed(packet, previous.packet),
        supersedes=previous.id,
        contrary=(*(changed or ("the approval expired or was used up",)), *packet.contrary),
    )


def _missing(facts: dict[str, Any]) -> tuple[str, ...]:
    wanted = {"tests": "test report", "provenance": "provenance", "sbom": "SBOM", "plan": "plan", "vsa": "gate verdict"}
    return tuple(f"no {label}" for name, label in wanted.items() if not facts.get(name))


def _contrary(facts: dict[str, Any]) -> tuple[str, ...]:
    found = []
    evaluation = facts.get("evaluation") or {}
    cases, passed = evaluation.get("cases", 0), evaluation.get("passed", 0)
    if passed < cases:
        found.append(f"assistant evaluation: {cases - passed} of {cases} fail")
    found += [f"earlier rollout of this artifact: {text}" for text in facts.get("earlier_rollouts", ())]
    return tuple(found)


def _tainted(policy_input: dict[str, Any]) -> tuple[str, ...]:
    if policy_input["state"]["session"]["integrity"] == TRUSTED:
        return ()
    return ("asked by a session that read untrusted text: its parameters may be somebody else's words",)


def _uncertain(facts: dict[str, Any]) -> tuple[str, ...]:
    found = []
    provenance = facts.get("provenance") or {}
    if provenance and provenance.get("level", 0) < 2:
        found.append("provenance is SLSA L1: the build ran on this host, not on an isolated builder")
    tests = facts.get("tests") or {}
    if tests.get("isolation") == "none":
        found.append("tests ran without isolation: they could have read what the operator can")
    sbom = facts.get("sbom") or {}
    completeness = sbom.get("completeness", 0)
    if sbom and completeness < 1:
        found.append(f"SBOM completeness is {completeness:.0%}")
    return tuple(found)
