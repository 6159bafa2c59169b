"""A retreat by hand: to the last good release of the rollout under way, or of the target."""

from bywire.delivery.state import Phase
from bywire.model.action import ActionRequest
from bywire.model.decision import Outcome, OutcomeStatus
from bywire.model.errors import TargetError
from bywire.wiring.delivering import deliveries
from bywire.wiring.door import CONTROLLER, Joined
from bywire.wiring.workspace import Workspace

_TOOL = "rollback_release"


def roll_back(workspace: Workspace, digest: str) -> tuple[str, Outcome]:
    """(release, outcome). Finishes a retreat that an earlier process began before it asks for another one.

    `digest` empty means the last good release. Raises TargetError `nothing_to_return_to`.
    """
    joined = Joined(workspace)
    for row, outcome in joined.recover(reducing_only=True):
        to = str(row.request["parameters"].get("to", ""))
        if row.tool == _TOOL and outcome.status is OutcomeStatus.COMMITTED and digest in {"", to}:
            return to, outcome
    request = retreat_request(workspace, digest)
    return str(request.parameters["to"]), joined.door.call(workspace.token(CONTROLLER, "rollback"), request)


def retreat_request(workspace: Workspace, digest: str) -> ActionRequest:
    """Raises TargetError `nothing_to_return_to` when no release ever served well before this one."""
    rolling = next((state for state in reversed(deliveries(workspace)) if state.phase is Phase.ROLLING), None)
    status = workspace.target.ensure_running()
    canary = (status.get("canary") or {}).get("digest", "")
    stable = (status.get("stable") or {}).get("digest", "")
    to = digest or (rolling.last_good if rolling else stable if canary else status.get("last_good", ""))
    if to and to == stable and not canary and not rolling:
        raise TargetError(
            f"all traffic is on {to[:12]} already",
            code="nothing_to_return_to",
            next_step="bywire status; to replace it, deliver a corrected change",
        )
    if not to:
        raise TargetError(
            "there is no earlier release to go back to",
            code="nothing_to_return_to",
            next_step="bywire status; deliver a corrected change instead",
        )
    return ActionRequest(
        tool=_TOOL,
        service=workspace.operator.service,
        environment=workspace.operator.environment,
        parameters={"to": to},
        idempotency_key=f"rollback:{workspace.epoch}:{to[:16]}",
        plan=rolling.plan_digest if rolling else "",
        change=rolling.id if rolling else "",
        evidence=rolling.evidence if rolling else (),
    )
