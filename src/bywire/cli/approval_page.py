"""A request for approval as a person reads it: what is asked, what speaks against, who agreed, and what comes next."""

from datetime import UTC, datetime
from typing import Any

from bywire.adapters.sqlite_approvals import ApprovalRow
from bywire.approvals.grant import BY_KEY, Approval, kind_of
from bywire.approvals.runbook import bounds, parse_runbook
from bywire.approvals.showing import exact_call
from bywire.cli.output import console, literal
from bywire.wiring.approval_view import seconds_left, state_of
from bywire.wiring.approving import Progress

LABEL_WIDTH = 14


def print_line(row: ApprovalRow, progress: Progress, now_ms: int) -> None:
    """One request on one line."""
    packet, state = row.packet, state_of(row, now_ms)
    left = seconds_left(row, now_ms)
    what = f"{packet.action['tool']} {packet.service} in {packet.environment}"
    when = f"{left} s left" if left else "expired"
    notes = [f"asked by {packet.requester}", when]
    if packet.quorum > 1 and state == "pending":
        notes.append(f"{progress.counted} of {packet.quorum} agreed")
    if progress.escalated_to:
        notes.append(f"escalated to {', '.join(progress.escalated_to)}")
    said = literal(f"{what}  {', '.join(notes)}")
    console().print(f"{packet.id}  {state:<8}  {said}")


def print_packet(row: ApprovalRow, progress: Progress, now_ms: int) -> None:
    """The whole request (seed 001, 11.3)."""
    packet = row.packet
    lines = [
        ("action", f"{packet.action['tool']} on {packet.service} in {packet.environment} ({packet.tier} tier)"),
        ("requested by", packet.requester),
        ("target now", _brief(packet.target)),
        *((("proposed", packet.proposed),) if packet.proposed else ()),
        *_bounds(row),
        ("undo", packet.undo),
        ("expected", packet.expected),
        ("evidence", f"{len(packet.evidence)} statements, digest {packet.evidence_digest[:16]}"),
        *(("", text) for text in packet.evidence_summary),
        ("policy", packet.bundle_digest[:16]),
        *(("risk", text) for text in packet.risk_flags),
        *(("missing", text) for text in packet.missing),
        *(("contrary", text) for text in packet.contrary),
        *(("uncertain", text) for text in packet.uncertain),
        *(("instead", text) for text in packet.alternatives),
        *((("untrusted", packet.prose),) if packet.prose else ()),
        ("exact call", exact_call(packet.action)),
        *_standing(row, progress, now_ms),
    ]
    out = console()
    out.rule(f"{packet.id}  sha256 {packet.digest[:16]}", align="left")
    for label, text in lines:
        out.print(f"[bold]{label:<{LABEL_WIDTH}}[/]{literal(text)}")


def moment(at_ms: int) -> str:
    """A time for people, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _standing(row: ApprovalRow, progress: Progress, now_ms: int) -> list[tuple[str, str]]:
    """Who agreed, who may still, and what stands in the way."""
    packet = row.packet
    lines = [("state", f"{state_of(row, now_ms)}, {_until(row, now_ms)}")]
    if packet.quorum > 1:
        lines.append(("quorum", f"{progress.counted} of {packet.quorum} persons agreed"))
    lines.append(("may approve", ", ".join(packet.roles) or "any listed approver"))
    lines += [("agreed", _agreement(item, packet.roles)) for item in progress.agreed]
    if progress.denied_by:
        lines.append(("denied by", f"{progress.denied_by}: {progress.reason or 'no reason given'}"))
    if row.revoked:
        told = progress.revocation
        unsigned = "no statement here: a key that signed it was revoked (bywire keys list), or the row was changed"
        lines.append(("revoked by", f"{told.person}: {told.reason}" if told else unsigned))
    if progress.may_answer:
        lines.append(("waits for", ", ".join(progress.may_answer)))
    if progress.escalated_to:
        lines.append(("escalated", f"to {', '.join(progress.escalated_to)}"))
    if progress.scheduled:
        lines.append(("window", _window(progress, now_ms)))
    return lines


def _until(row: ApprovalRow, now_ms: int) -> str:
    left = seconds_left(row, now_ms)
    return f"{left} s left, until {moment(row.expires_ms)}" if left else f"ended {moment(row.expires_ms)}"


def _agreement(approval: Approval, roles: tuple[str, ...]) -> str:
    how = (
        "with their own key"
        if approval.asserted_by == BY_KEY
        else "said so in a channel; the policy caps what it permits"
    )
    counts = "" if not roles or approval.role in roles else "; this role does not count here"
    return f"{approval.approver} as {approval.role or 'nobody in particular'}, {how}{counts}"


def _window(progress: Progress, now_ms: int) -> str:
    if progress.opens_ms is None:
        return "none is configured: write change_windows in operator.yaml"
    return "open now" if progress.opens_ms <= now_ms else f"opens {moment(progress.opens_ms)}"


def _bounds(row: ApprovalRow) -> list[tuple[str, str]]:
    """What a standing grant permits."""
    if kind_of(row.packet) != "runbook":
        return []
    runbook = parse_runbook(row.packet.plan)
    allowed = f"{runbook.uses} steps in all, within {runbook.valid_seconds} s of the request"
    return [("runbook", allowed), *(("may do", text) for text in bounds(runbook))]


def _brief(target: dict[str, Any]) -> str:
    return ", ".join(f"{name} {str(value)[:12]}" for name, value in sorted(target.items()) if value not in ("", None))
