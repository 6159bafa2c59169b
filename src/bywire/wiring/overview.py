"""What the control plane shows, to whom: a caller sees what is its own, and of the rest only that it is there."""

import re
from typing import Any

import msgspec

from bywire.adapters.sqlite_decisions import named, recent_read
from bywire.approvals.grant import verify_approval
from bywire.identity.session import Session
from bywire.model.errors import ConflictError, EvidenceError
from bywire.wiring.approval_view import state_of, summary
from bywire.wiring.approving import found_row, progress, record_verdict
from bywire.wiring.delivering import deliveries
from bywire.wiring.gateway import Gateway
from bywire.wiring.identities import agents
from bywire.wiring.workspace import Workspace

DELIVERIES_SHOWN_MAX = 50
APPROVALS_SHOWN_MAX = 200
_ID_CHARS = 32
# Any other text may stand in every batch, and each would be read whole for nothing.
_ID = re.compile(rf"[0-9a-f]{{{_ID_CHARS}}}")


def status(gateway: Gateway) -> dict[str, Any]:
    """What is served, under which policy, and what stands in the way."""
    workspace = gateway.workspace
    bundle = workspace.bundle()
    refused = workspace.policies.refused
    states = [state for state in deliveries(workspace) if not state.terminal][-DELIVERIES_SHOWN_MAX:]
    return {
        "service": workspace.operator.service,
        "environment": workspace.operator.environment,
        "policy": {"revision": bundle.manifest.revision, "digest": bundle.digest},
        "policy_refused": "" if refused is None else refused.code,
        "upstreams": [{"name": one.name, "kind": one.kind} for one in gateway.settings.upstreams],
        "stops": [{"scope": stop["scope"], "target": stop["target"]} for stop in workspace.state.stops()],
        "incident": bool(workspace.state.incidents()),
        "frozen": workspace.state.frozen(),
        "deliveries": [{"id": state.id, "phase": str(state.phase), "branch": state.branch} for state in states],
        "ledger_entries": workspace.ledger.entry_count(),
        "config": gateway.config.stale.told(),
    }


def own_approvals(workspace: Workspace, session: Session) -> list[dict[str, Any]]:
    """The requests of this principal, newest first."""
    now_ms = workspace.clock.now_ms()
    rows = [row for row in workspace.approvals.rows() if row.packet.requester == session.principal.id]
    return [summary(row, progress(workspace, row, now_ms), now_ms) for row in rows[:APPROVALS_SHOWN_MAX]]


def own_approval(workspace: Workspace, session: Session, approval_id: str) -> dict[str, Any]:
    """One request of this principal with its packet. ConflictError `not_found`, also for somebody else's."""
    row, now_ms = _own_row(workspace, session, approval_id), workspace.clock.now_ms()
    told = summary(row, progress(workspace, row, now_ms), now_ms)
    return {**told, "packet": row.packet.as_json(), "packet_digest": row.packet.digest}


def approval_state(workspace: Workspace, session: Session, approval_id: str) -> dict[str, Any]:
    """How one request of this principal stands, for who waits for it."""
    row, now_ms = _own_row(workspace, session, approval_id), workspace.clock.now_ms()
    return {"id": approval_id, "state": state_of(row, now_ms), "expires_at_ms": row.expires_ms}


def take_verdict(workspace: Workspace, approval_id: str, envelope: bytes) -> dict[str, Any]:
    """A person's signed word on this request: their signature is what authenticates it, no token is.

    Raises EvidenceError, ConflictError `approval_settled`, `not_found`.
    """
    verdict = verify_approval(envelope, workspace.trust)
    if verdict.packet.id != approval_id:
        raise EvidenceError("the verdict is about another request", code="approval_other", next_step="post it there")
    found_row(workspace.approvals.row(approval_id), approval_id)
    entry = record_verdict(workspace, envelope)
    row = found_row(workspace.approvals.row(approval_id), approval_id)
    return {"id": approval_id, "state": state_of(row, workspace.clock.now_ms()), "entry": entry}


def own_decision(workspace: Workspace, session: Session, decision_id: str) -> dict[str, Any]:
    """A recorded decision on something that this principal asked. ConflictError `not_found`, also for somebody else's.

    Reads are recorded in batches and found while they are recent; every other decision is found while it is kept.
    """
    is_id = _ID.fullmatch(decision_id) is not None
    found = named(workspace.reader, decision_id) if is_id else None
    if found is None and is_id:
        workspace.journal.flush_reads()
        workspace.writer.run(lambda _: None)  # what is buffered is there once this is
        found = recent_read(workspace.reader, decision_id)
    if found is None or decision_id not in found.names or found.principal != session.principal.id:
        raise ConflictError(
            f"no decision of yours that is found here is called {decision_id}",
            code="not_found",
            next_step=f"an operator finds old reads, too: bywire explain {decision_id[:_ID_CHARS]}",
        )
    return found.as_json()


def own_agent(workspace: Workspace, session: Session) -> dict[str, Any]:
    """What the caller is registered for. ConflictError `not_found`."""
    for one in agents(workspace):
        if one.registration.principal == session.principal.id:
            plain: dict[str, Any] = msgspec.to_builtins(one.registration)
            return {**plain, "state": one.state, "built_in": one.built_in}
    raise ConflictError(f"{session.principal.id} is not registered", code="not_found", next_step="bywire agents list")


def _own_row(workspace: Workspace, session: Session, approval_id: str) -> Any:
    row = workspace.approvals.row(approval_id)
    if row is None or row.packet.requester != session.principal.id:
        raise ConflictError(f"no request of yours is called {approval_id}", code="not_found")
    return row
