"""The approval packet: everything a person must see, in one document whose digest they sign (RULES 18)."""

from typing import Any

import msgspec

from bywire.model.errors import EvidenceError
from bywire.model.statement import APPROVAL, Statement, subject
from bywire.seal import jcs
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import Signer

VERDICTS = ("approved", "denied")
CHANNEL = "channel"
REASON_CHARS_MAX = 2_000


class Packet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request for approval.

    `action` is the canonical action; `evidence` are sorted envelope digests and `evidence_digest` their JCS digest;
    `target` is the observed target state; `plan` is the bounded plan or runbook, or None; `missing`, `contrary` and
    `uncertain` say what speaks against; `prose` is text of agents and is marked untrusted wherever it is shown.
    `quorum` persons must agree, in one of `quorum_roles` (empty: of `approver_roles`); `gate` is the kind of gate.
    """

    id: str
    action: dict[str, Any]
    action_digest: str
    evidence: tuple[str, ...]
    evidence_digest: str
    bundle_digest: str
    environment: str
    service: str
    requester: str
    target: dict[str, Any]
    plan: dict[str, Any] | None
    plan_digest: str
    tier: str
    approver_roles: tuple[str, ...]
    requested_at_ms: int
    expires_at_ms: int
    undo: str
    expected: str
    missing: tuple[str, ...]
    contrary: tuple[str, ...]
    uncertain: tuple[str, ...]
    prose: str
    supersedes: str = ""
    quorum: int = 1
    quorum_roles: tuple[str, ...] = ()
    gate: str = ""
    risk_flags: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    evidence_summary: tuple[str, ...] = ()
    proposed: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, ready for JCS. What came later is left out while it says nothing: old signatures still verify."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in plain.items() if name not in _LATER or value != _LATER[name]}

    @property
    def digest(self) -> str:
        """SHA-256(JCS(packet)): what the approver signs."""
        return jcs.digest(self.as_json())

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles in which a person's agreement counts; empty when any does."""
        return self.quorum_roles or self.approver_roles


# Fields that the first packets did not have, with the values by which they say nothing.
_LATER: dict[str, Any] = {
    "quorum": 1,
    "quorum_roles": (),
    "gate": "",
    "risk_flags": (),
    "alternatives": (),
    "evidence_summary": (),
    "proposed": "",
}
# What must not have changed between request and use; everything else of a packet is presentation.
TARGET_FIELDS = ("stable", "canary")
BINDING_FIELDS = (
    "action_digest",
    "evidence_digest",
    "bundle_digest",
    "environment",
    "requester",
    "plan_digest",
    "quorum",
    "quorum_roles",
)


def packet_id(action_digest: str, evidence_digest: str, context_digest: str, requested_at_ms: int) -> str:
    """A short stable name for a packet, derived from what it binds.

    `context_digest` is the policy bundle's, or that of the decided packet which this one follows.
    """
    bound = [action_digest, evidence_digest, context_digest, requested_at_ms]
    return "ap-" + jcs.digest(bound)[:12]


def evidence_digest(evidence: tuple[str, ...]) -> str:
    """One digest over the sorted evidence."""
    return jcs.digest(sorted(evidence))


def differences(approved: Packet, wanted: Packet) -> tuple[str, ...]:
    """What an approved packet no longer shares with the wanted one, field by field, for people.

    A parameter that differs is named with both values; other bound fields by name and short digests.
    """
    found = []
    old, new = approved.action.get("parameters", {}), wanted.action.get("parameters", {})
    for name in sorted(set(old) | set(new)):
        if old.get(name) != new.get(name):
            found.append(f"{name}: approved {_text(old.get(name))}, asked {_text(new.get(name))}")
    for name in TARGET_FIELDS:
        if approved.target.get(name, "") != wanted.target.get(name, ""):
            was, now = approved.target.get(name) or "nothing", wanted.target.get(name) or "nothing"
            found.append(f"{name} release of the target: {str(was)[:12]} when asked, {str(now)[:12]} now")
    for field in BINDING_FIELDS:
        before, after = getattr(approved, field), getattr(wanted, field)
        if before != after and not (field == "action_digest" and found):
            shown = [value[:16] if field.endswith("_digest") else _said(value) for value in (before, after)]
            found.append(f"{field}: approved {shown[0]}, asked {shown[1]}")
    return tuple(found)


def _said(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)


def _text(value: Any) -> str:
    return jcs.canonical(value).decode()


def sign_verdict(
    packet: Packet,
    verdict: str,
    approver: str,
    role: str,
    reason: str,
    at_ms: int,
    key: Signer,
    *,
    channel: str = "",
) -> bytes:
    """The approval statement: the person's key over the packet's digest.

    With `channel` the key is that channel's, which asserts what the person said there (RULES 19).

    Raises EvidenceError `approval_malformed` for an unknown verdict or an oversized reason.
    """
    if verdict not in VERDICTS or len(reason) > REASON_CHARS_MAX:
        raise EvidenceError(
            "an approval is `approved` or `denied` with a short reason",
            code="approval_malformed",
            next_step=f"keep the reason under {REASON_CHARS_MAX} characters",
        )
    predicate = {
        "packet": packet.as_json(),
        "verdict": verdict,
        "approver": approver,
        "role": role,
        "reason": reason,
        "at_ms": at_ms,
    }
    if channel:
        predicate["asserted_by"] = f"{CHANNEL}:{channel}"
    statement = Statement(subject=(subject(packet.id, packet.digest),), predicateType=APPROVAL, predicate=predicate)
    return sign_statement(statement, key)
