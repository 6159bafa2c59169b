"""Grants: what a verified approval permits, for how often and how long.

A grant is derived from the signed statement each time it is used; a row in a database alone permits nothing.
"""

from typing import Any

import msgspec

from bywire.approvals.packet import VERDICTS, Packet, evidence_digest
from bywire.identity.trust import TrustRoot
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.rollout_plan import RolloutPlan
from bywire.model.statement import APPROVAL
from bywire.seal import jcs
from bywire.seal.digest import same_digest
from bywire.seal.dsse import unverified_statement, verify_statement

_ASK = "ask for the approval again: `bywire approvals list`"
# Deploy, warm-up, promotion and settling beside the steps, each possibly asked twice across a recovery.
PLAN_USES_BESIDE_STEPS = 8


class Grant(msgspec.Struct, frozen=True):
    """A verified permission. `kind` is `single` (one exact action) or `plan` (a bounded plan)."""

    id: str
    kind: str
    verdict: str
    approver: str
    approver_role: str
    reason: str
    packet: Packet
    key_id: str
    uses: int


def verify_approval(envelope: bytes, trust: TrustRoot, index: int | None = None) -> Grant:
    """Verify an approval statement and derive its grant.

    1. The claimed approver must be a person with an approver key in *our* root. 2. That key, no other, must have
    signed. 3. The subject must be the digest of the very packet inside. 4. The digests that the packet binds must be
    those of what it showed. 5. The verdict must be known.
    Raises EvidenceError: approval_malformed, approval_unknown_person, signature_invalid.
    """
    claimed = unverified_statement(envelope)
    approver = str(claimed.predicate.get("approver", ""))
    keys = trust.keys_for(KeyRole.APPROVER, principal=approver, index=index)
    if not keys or not approver.startswith("person:"):
        raise EvidenceError(
            f"{approver or 'nobody'} holds no approver key", code="approval_unknown_person", next_step=_ASK
        )
    verified = verify_statement(envelope, keys)
    predicate = verified.statement.predicate
    packet = _packet(verified.statement.predicateType, predicate)
    if not same_digest(packet.digest, verified.statement.subject[0].sha256):
        raise EvidenceError("the signature is over another packet", code="approval_malformed", next_step=_ASK)
    _check_shown(packet)
    steps = (packet.plan or {}).get("steps", ())
    return Grant(
        id=packet.id,
        kind="plan" if packet.plan else "single",
        verdict=str(predicate["verdict"]),
        approver=approver,
        approver_role=str(predicate.get("role", "")),
        reason=str(predicate.get("reason", "")),
        packet=packet,
        key_id=verified.key_id,
        uses=len(steps) + PLAN_USES_BESIDE_STEPS if packet.plan else 1,
    )


def grant_facts(grant: Grant, *, evidence_digest: str, uses_left: int, revoked: bool) -> dict[str, Any]:
    """The grant as the policy sees it (policy input version 1, `grant`)."""
    packet = grant.packet
    return {
        "id": grant.id,
        "kind": grant.kind,
        "approver": grant.approver,
        "approver_role": grant.approver_role,
        "signature_verified": True,
        "action_digest": packet.action_digest,
        "plan_digest": packet.plan_digest,
        "evidence_digest_matches": same_digest(packet.evidence_digest, evidence_digest),
        "bundle_digest": packet.bundle_digest,
        "expires_at_ms": packet.expires_at_ms,
        "uses_left": uses_left,
        "revoked": revoked,
        "plan": _plan_facts(packet.plan) if packet.plan else None,
    }


def _plan_facts(plan: dict[str, Any]) -> dict[str, Any]:
    steps = plan["steps"]
    return {
        "artifact": plan["artifact"],
        "last_good": plan["last_good"],
        "service": plan["service"],
        "environment": plan["environment"],
        "ceiling": plan["ceiling"],
        "warm": plan["warm"],
        "steps": [step["weight"] for step in steps],
        "segments": [list(step["segments"]) for step in steps],
    }


def _check_shown(packet: Packet) -> None:
    """A packet that shows one action and binds the digest of another was not made by the door."""
    shown = {name: value for name, value in packet.action.items() if name != "digest"}
    bound = (
        (packet.action_digest, jcs.digest(shown)),
        (packet.evidence_digest, evidence_digest(packet.evidence)),
        (packet.plan_digest, jcs.digest(packet.plan) if packet.plan else ""),
    )
    if not all(same_digest(claimed, actual) for claimed, actual in bound) or not _is_plan(packet.plan):
        raise EvidenceError("the packet binds what it does not show", code="approval_malformed", next_step=_ASK)


def _is_plan(plan: dict[str, Any] | None) -> bool:
    if not plan:
        return True
    try:
        return jcs.digest(msgspec.convert(plan, RolloutPlan).as_json()) == jcs.digest(plan)
    except msgspec.ValidationError:
        return False


def _packet(kind: str, predicate: dict[str, Any]) -> Packet:
    try:
        packet = msgspec.convert(predicate.get("packet"), Packet)
    except msgspec.ValidationError as error:
        raise EvidenceError(f"the packet is malformed: {error}", code="approval_malformed", next_step=_ASK) from error
    if kind != APPROVAL or predicate.get("verdict") not in VERDICTS:
        raise EvidenceError("this statement is no approval", code="approval_malformed", next_step=_ASK)
    return packet
