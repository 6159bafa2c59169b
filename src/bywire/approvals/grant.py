"""Verdicts and grants: what people signed about a packet, and what that permits, for how often and how long.

A grant is derived from the signed statements each time it is used; a row in a database alone permits nothing.
"""

from typing import Any

import msgspec

from bywire.approvals.packet import CHANNEL, REASON_CHARS_MAX, VERDICTS, Packet, evidence_digest
from bywire.approvals.runbook import RUNBOOK_TOOL, Runbook, parse_runbook
from bywire.identity.trust import TrustRoot, is_principal
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole, PrincipalKind
from bywire.model.rollout_plan import RolloutPlan
from bywire.model.statement import APPROVAL
from bywire.seal import jcs
from bywire.seal.digest import same_digest
from bywire.seal.dsse import unverified_statement, verify_statement
from bywire.seal.keys import VerifyKey

_ASK = "ask for the approval again: `bywire approvals list`"
# Deploy, warm-up, promotion and settling beside the steps, each possibly asked twice across a recovery.
PLAN_USES_BESIDE_STEPS = 8
BY_KEY = "key"


class Approval(msgspec.Struct, frozen=True):
    """One person's agreement. `role` is what they claim; `asserted_by` is `key`, or `channel` when that said so."""

    approver: str
    role: str
    asserted_by: str
    key_id: str
    at_ms: int


class Verdict(msgspec.Struct, frozen=True):
    """One verified verdict, `approved` or `denied`, on one packet."""

    packet: Packet
    verdict: str
    reason: str
    approval: Approval

    @property
    def id(self) -> str:
        """The packet's id."""
        return self.packet.id

    @property
    def approver(self) -> str:
        """The person."""
        return self.approval.approver

    @property
    def key_id(self) -> str:
        """The key that signed: the person's own, or the channel's."""
        return self.approval.key_id


class Grant(msgspec.Struct, frozen=True):
    """What verified verdicts on one packet amount to.

    `kind` is `single` (one exact action), `plan` (a bounded plan) or `runbook` (bounded steps). `approvals` are of
    distinct persons, oldest first; whether they are enough is the policy's to say. `approver` is the first of them, or
    who denied when `verdict` is `denied`.
    """

    id: str
    kind: str
    verdict: str
    approver: str
    approver_role: str
    reason: str
    packet: Packet
    key_id: str
    uses: int
    approvals: tuple[Approval, ...] = ()

    @property
    def expires_at_ms(self) -> int:
        """When the permission ends, ms since the epoch."""
        return expires_at_ms(self.packet)


def verify_approval(envelope: bytes, trust: TrustRoot, index: int | None = None) -> Verdict:
    """Verify one verdict.

    1. The claimed approver must be a person. 2. Their approver key in *our* root, or the key of the channel that says
    what they said there, and no other key, must have signed. 3. The subject must be the digest of the very packet
    inside. 4. The digests that the packet binds must be those of what it showed. 5. The verdict must be known.
    Raises EvidenceError: approval_malformed, approval_unknown_person, signature_invalid.
    """
    claimed = unverified_statement(envelope).predicate
    approver = str(claimed.get("approver", ""))
    channel = _channel(claimed)
    keys = _keys(trust, approver, channel, index)
    if not keys or not is_principal(approver, PrincipalKind.PERSON):
        raise EvidenceError(
            f"{f'channel {channel}' if channel else approver or 'nobody'} holds no key that may approve",
            code="approval_unknown_person",
            next_step=_ASK,
        )
    verified = verify_statement(envelope, keys)
    packet, said = _contents(verified.statement.predicateType, verified.statement.predicate)
    if not same_digest(packet.digest, verified.statement.subject[0].sha256):
        raise EvidenceError("the signature is over another packet", code="approval_malformed", next_step=_ASK)
    _check_shown(packet)
    return Verdict(
        packet=packet,
        verdict=said.verdict,
        reason=said.reason,
        approval=Approval(
            approver=approver,
            role=said.role,
            asserted_by=CHANNEL if channel else BY_KEY,
            key_id=verified.key_id,
            at_ms=said.at_ms,
        ),
    )


def kind_of(packet: Packet) -> str:
    """`single`, `plan` or `runbook`."""
    if packet.action.get("tool") == RUNBOOK_TOOL:
        return "runbook"
    return "plan" if packet.plan else "single"


def uses_of(packet: Packet) -> int:
    """How many effects an approval of this packet permits."""
    kind, bounded = kind_of(packet), packet.plan or {}
    if kind == "runbook":
        return parse_runbook(bounded).uses
    return len(bounded["steps"]) + PLAN_USES_BESIDE_STEPS if kind == "plan" else 1


def expires_at_ms(packet: Packet) -> int:
    """When an approval of this packet ends: a runbook's own time, counted from the request, or the packet's."""
    if kind_of(packet) == "runbook":
        return packet.requested_at_ms + parse_runbook(packet.plan).valid_seconds * 1_000
    return packet.expires_at_ms


def grant_facts(grant: Grant, *, evidence_digest: str, uses_left: int, revoked: bool) -> dict[str, Any]:
    """The grant as the policy sees it (policy input version 1, `grant`). Roles are as claimed.

    A runbook that binds no evidence leaves it to its steps; one that binds some holds every step to exactly that.
    """
    packet = grant.packet
    runbook = parse_runbook(packet.plan) if grant.kind == "runbook" else None
    same = same_digest(packet.evidence_digest, evidence_digest)
    return {
        "id": grant.id,
        "kind": grant.kind,
        "approver": grant.approver,
        "approver_role": grant.approver_role,
        "approvals": [
            {
                "approver": approval.approver,
                "role": approval.role,
                "asserted_by": approval.asserted_by,
                "signature_verified": True,
            }
            for approval in grant.approvals
        ],
        "signature_verified": True,
        "action_digest": packet.action_digest,
        "plan_digest": packet.plan_digest,
        "evidence_digest_matches": same or (runbook is not None and not packet.evidence),
        "bundle_digest": packet.bundle_digest,
        "expires_at_ms": grant.expires_at_ms,
        "uses_left": uses_left,
        "revoked": revoked,
        "plan": _plan_facts(packet.plan) if packet.plan and runbook is None else None,
        "runbook": _runbook_facts(runbook, packet.plan_digest) if runbook is not None else None,
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


def _runbook_facts(runbook: Runbook, digest: str) -> dict[str, Any]:
    return {
        "digest": digest,
        "steps": [{"tool": step.tool, "parameters": step.parameters} for step in runbook.steps],
        "environment": runbook.environment,
        "service": runbook.service,
    }


class _Said(msgspec.Struct, frozen=True):
    verdict: str
    at_ms: int
    role: str = ""
    reason: str = ""


def _channel(claimed: dict[str, Any]) -> str:
    """The name of the channel that asserts this verdict; empty for a person's own key."""
    asserted = claimed.get("asserted_by", "")
    if asserted == "":
        return ""
    kind, _, name = str(asserted).partition(":")
    if kind != CHANNEL or not name or not isinstance(asserted, str):
        raise EvidenceError("nobody knows who asserts this verdict", code="approval_malformed", next_step=_ASK)
    return name


def _keys(trust: TrustRoot, approver: str, channel: str, index: int | None) -> tuple[VerifyKey, ...]:
    """Only a person's approver keys speak for the person; only the named channel's keys speak for the channel."""
    if channel:
        return trust.keys_for(KeyRole.CHANNEL, principal=f"{PrincipalKind.WORKLOAD}:{channel}", index=index)
    return trust.keys_for(KeyRole.APPROVER, principal=approver, index=index) if approver else ()


def _check_shown(packet: Packet) -> None:
    """A packet that shows one action and binds the digest of another was not made by the door."""
    shown = {name: value for name, value in packet.action.items() if name != "digest"}
    bound = (
        (packet.action_digest, jcs.digest(shown)),
        (packet.evidence_digest, evidence_digest(packet.evidence)),
        (packet.plan_digest, jcs.digest(packet.plan) if packet.plan else ""),
    )
    if not all(same_digest(claimed, actual) for claimed, actual in bound) or not _is_bounded(packet):
        raise EvidenceError("the packet binds what it does not show", code="approval_malformed", next_step=_ASK)


def _is_bounded(packet: Packet) -> bool:
    """Whether the plan is a plan, the runbook a runbook for this very place, and the quorum one that can be met."""
    if packet.quorum < 1:
        return False
    if kind_of(packet) == "runbook":
        return _is_runbook(packet)
    if not packet.plan:
        return True
    try:
        return jcs.digest(msgspec.convert(packet.plan, RolloutPlan).as_json()) == jcs.digest(packet.plan)
    except msgspec.ValidationError:
        return False


def _is_runbook(packet: Packet) -> bool:
    try:
        runbook = parse_runbook(packet.plan)
    except EvidenceError:
        return False
    here = (runbook.service, runbook.environment) == (packet.service, packet.environment)
    return here and jcs.digest(packet.action.get("parameters")) == packet.plan_digest


def _contents(kind: str, predicate: dict[str, Any]) -> tuple[Packet, _Said]:
    try:
        packet = msgspec.convert(predicate.get("packet"), Packet)
        said = msgspec.convert(predicate, _Said)
    except msgspec.ValidationError as error:
        raise EvidenceError(f"the packet is malformed: {error}", code="approval_malformed", next_step=_ASK) from error
    if kind != APPROVAL or said.verdict not in VERDICTS or len(said.reason) > REASON_CHARS_MAX:
        raise EvidenceError("this statement is no approval", code="approval_malformed", next_step=_ASK)
    return packet, said
