"""A request for approval as JSON: how it stands, without its packet."""

from typing import Any

from bywire.adapters.sqlite_approvals import ApprovalRow
from bywire.approvals.grant import kind_of
from bywire.wiring.approving import Progress


def summary(row: ApprovalRow, progress: Progress, now_ms: int) -> dict[str, Any]:
    """One request as JSON, without its packet."""
    packet = row.packet
    return {
        "id": packet.id,
        "state": state_of(row, now_ms),
        "kind": kind_of(packet),
        "action": packet.action["tool"],
        "action_digest": packet.action_digest,
        "service": packet.service,
        "environment": packet.environment,
        "requester": packet.requester,
        "expires_in_seconds": seconds_left(row, now_ms),
        "uses_left": row.uses_left,
        "gate": packet.gate or "single",
        "quorum": {"needed": packet.quorum, "have": progress.counted, "roles": list(packet.roles)},
        "approvals": [
            {"approver": item.approver, "role": item.role, "asserted_by": item.asserted_by} for item in progress.agreed
        ],
        "denied_by": progress.denied_by,
        "may_answer": list(progress.may_answer),
        "escalated_to": list(progress.escalated_to),
        "reminded": list(row.reminded),
        "window_opens_at_ms": progress.opens_ms,
        "revoked": row.revoked,
        "revoked_by": progress.revocation.person if progress.revocation else "",
    }


def state_of(row: ApprovalRow, now_ms: int) -> str:
    """pending, approved, denied, expired or revoked."""
    if row.revoked:
        return "revoked"
    return "expired" if row.verdict == "pending" and not seconds_left(row, now_ms) else row.verdict


def seconds_left(row: ApprovalRow, now_ms: int) -> int:
    """Until it expires."""
    return max(0, (row.expires_ms - now_ms) // 1000)
