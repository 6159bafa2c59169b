"""From a raw request to the canonical action that is decided, hashed, approved, logged and replayed."""

import msgspec

from bywire.gateway.redaction import REDACTOR_VERSION, Redactor
from bywire.model.action import ActionRequest, CanonicalAction
from bywire.model.principal import Principal
from bywire.seal import jcs


def canonicalise(request: ActionRequest, principal: Principal, redactor: Redactor) -> CanonicalAction:
    """Redact and digest. `digest` covers every other field, so nothing of the action can change unseen."""
    bound = {
        "tool": request.tool,
        "service": request.service,
        "environment": request.environment,
        "parameters": redactor.canonical(request.parameters),
        "principal": principal.id,
        "evidence": sorted(request.evidence),
        "plan": request.plan,
        "change": request.change,
        "redactor": REDACTOR_VERSION,
    }
    return CanonicalAction(
        tool=request.tool,
        service=request.service,
        environment=request.environment,
        parameters=bound["parameters"],
        principal=principal.id,
        evidence=tuple(sorted(request.evidence)),
        plan=request.plan,
        change=request.change,
        redactor=REDACTOR_VERSION,
        digest=jcs.digest(bound),
    )


def action_json(action: CanonicalAction) -> dict[str, object]:
    """The canonical action as plain JSON."""
    plain: dict[str, object] = msgspec.to_builtins(action)
    return plain
