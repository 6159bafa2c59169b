"""What stands for a call beside the state: registrations, shadowed rules, broken glass; verified when they are read."""

import threading
from typing import Any

from bywire.config import agents_config
from bywire.identity.registration import BUILT_IN, Registration, Registrations
from bywire.model.errors import LedgerError
from bywire.wiring.breaking_glass import active_break_glass
from bywire.wiring.identities import registrations
from bywire.wiring.policies import active_shadows
from bywire.wiring.workspace import Workspace


class WorkspaceStanding:
    """`gateway.ports.Standing` of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._seen = self._stamps()
        self._registrations: Registrations = registrations(workspace)

    def registration(self, principal: str) -> Registration | None:
        """From agents.yaml, read again when it or the trust root changed; or built in. ConfigError for a faulty file.

        What a file with a fault in it takes away is not known, so nobody whom it lists may go on; built-in agents do.
        """
        seen = self._stamps()
        if seen != self._seen and principal not in BUILT_IN:
            with self._lock:
                self._registrations, self._seen = registrations(self._workspace), seen
        return self._registrations.find(principal)

    def _stamps(self) -> tuple[object, object]:
        # Whoever is asked about has just been authenticated, under the trust root as it is in force.
        return self._workspace.directory.stamp(agents_config.FILE_NAME), self._workspace.trust_seen

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
