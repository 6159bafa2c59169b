"""The one application: routes of every surface before one gateway, behind one guard."""

import inspect
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from bywire.api import (
    approval_pages,
    authzen,
    bundles,
    channel_callbacks,
    decisions,
    ext_authz,
    mcp,
    metrics,
    routes,
    token_exchange,
)
from bywire.api.control_plane import control_plane
from bywire.api.errors import Caught
from bywire.api.limits import Guard
from bywire.wiring.gateway import Gateway

# Each exports `routes(gateway) -> Sequence[BaseRoute]`; the control plane answers what none of them does.
SURFACES = {
    "call": decisions.routes,
    "authzen": authzen.routes,
    "ext_authz": ext_authz.routes,
    "mcp": mcp.routes,
    "route": routes.routes,
    "token": token_exchange.routes,
    "bundles": bundles.routes,
    "metrics": metrics.routes,
    "approvals": approval_pages.routes,
    "channels": channel_callbacks.routes,
}


def build_app(gateway: Gateway) -> ASGIApp:
    """The ASGI application of a gateway."""
    found = [route for surface in SURFACES.values() for route in surface(gateway)]
    # No Starlette application around it: its outermost layer raises again what it has answered.
    return Guard(Caught(Directly(found, control_plane(gateway))), gateway.settings)


class Directly:
    """ASGI: a plain path is looked up, not searched for; what has parameters, or another method, is searched for."""

    def __init__(self, found: Sequence[BaseRoute], default: ASGIApp) -> None:
        self._router = Router(found, redirect_slashes=False, default=default)
        self._plain: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {}
        for route in found:
            if isinstance(route, Route) and not route.param_convertors and inspect.iscoroutinefunction(route.endpoint):
                for method in route.methods or ():
                    self._plain.setdefault((method, route.path), route.endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        endpoint = self._plain.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._router(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)
