"""The request for a retreat by hand: to the last good release of the rollout under way, or of the target."""

from bywire.delivery.state import Phase
from bywire.model.action import ActionRequest
from bywire.model.errors import TargetError
from bywire.wiring.delivering import deliveries
from bywire.wiring.workspace import Workspace


def retreat_request(workspace: Workspace, digest: str) -> ActionRequest:
    """Raises TargetError `nothing_to_return_to` when no release ever served well before this one."""
    rolling = next((state for state in reversed(deliveries(workspace)) if state.phase is Phase.ROLLING), None)
    status = workspace.target.ensure_running()
    canary = (status.get("canary") or {}).get("digest", "")
    good = (status.get("stable") or {}).get("digest", "") if canary else status.get("last_good", "")
    to = digest or (rolling.last_good if rolling else good)
    if not to:
        raise TargetError(
            "there is no earlier release to go back to",
            code="nothing_to_return_to",
            next_step="bywire status; deliver a corrected change instead",
        )
    return ActionRequest(
        tool="rollback_release",
        service=workspace.operator.service,
        environment=workspace.operator.environment,
        parameters={"to": to},
        idempotency_key=f"rollback:{workspace.epoch}:{to[:16]}",
        plan=rolling.plan_digest if rolling else "",
        change=rolling.id if rolling else "",
        evidence=rolling.evidence if rolling else (),
    )
