"""What stands for a call beside the state: registrations, shadowed rules, broken glass; verified when they are read."""

from typing import Any

from bywire.identity.registration import Registration, Registrations
from bywire.model.errors import LedgerError
from bywire.wiring.breaking_glass import active_break_glass
from bywire.wiring.identities import registrations
from bywire.wiring.policies import active_shadows
from bywire.wiring.workspace import Workspace


class WorkspaceStanding:
    """`gateway.ports.Standing` of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._registrations: Registrations = registrations(workspace)

    def registration(self, principal: str) -> Registration | None:
        """From agents.yaml, or built in."""
        return self._registrations.find(principal)

    def shadows(self, now_ms: int) -> list[dict[str, Any]]:
        """Rules in shadow mode that have not expired."""
        return active_shadows(self._workspace, now_ms)

    def unwitnessed(self) -> dict[str, Any] | None:
        """Asks the witnesses once more before it says no."""
        try:
            self._workspace.require_witnessed()
        except LedgerError as error:
            return {"message": error.message, "next_step": error.next_step}
        return None

    def break_glass(self, principal: str, tool: str, now_ms: int) -> dict[str, Any] | None:
        """The newest broken glass that covers this principal and tool."""
        workspace = self._workspace
        return active_break_glass(workspace.break_glass, workspace.trust, workspace.operator, principal, now_ms, tool)
