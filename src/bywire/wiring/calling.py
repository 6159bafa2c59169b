"""One action of one agent through the door of a workspace, asked from outside the delivery flow."""

from bywire.model.action import ActionRequest
from bywire.model.decision import Outcome
from bywire.wiring.door import Joined
from bywire.wiring.workspace import Workspace


def call(workspace: Workspace, token: str, request: ActionRequest, *, advise: bool) -> Outcome:
    """Ask the door, or only what it would say.

    The caller shares the lease epoch of whoever holds it, so that a single call fences no delivery off; what a crash
    left open is left to that process.
    """
    door = Joined(workspace).door
    return door.advise(token, request) if advise else door.call(token, request)
