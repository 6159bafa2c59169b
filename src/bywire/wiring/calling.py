"""One action of one agent through the door of a workspace, asked from outside the delivery flow."""

import msgspec

from bywire.model.action import ActionRequest
from bywire.model.decision import Outcome
from bywire.wiring.catalogue import place_of
from bywire.wiring.door import Joined
from bywire.wiring.workspace import Workspace


def call(workspace: Workspace, token: str, request: ActionRequest, *, advise: bool) -> Outcome:
    """Ask the door, or only what it would say; a connected tool is asked at its own place.

    The caller shares the lease epoch of whoever holds it, so that a single call fences no delivery off; what a crash
    left open is left to that process. Raises ConfigError for a tool whose contract file or upstream is faulty.
    """
    joined = Joined(workspace)
    try:
        if joined.faults and "." in request.tool:
            raise joined.faults[0]
        service, environment = place_of(joined.catalogue, request.tool, request.parameters, workspace.operator)
        asked = msgspec.structs.replace(request, service=service, environment=environment)
        return joined.door.advise(token, asked) if advise else joined.door.call(token, asked)
    finally:
        joined.close()
