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
    """ASGI: a plain path is looked up, not searched for, and so is one whose last part is its only parameter.

    Any other path with parameters, and any other method, is searched for.
    """

    def __init__(self, found: Sequence[BaseRoute], default: ASGIApp) -> None:
        self._router = Router(found, redirect_slashes=False, default=default)
        self._plain: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {}
        self._below: dict[tuple[str, str], tuple[str, ASGIApp]] = {}
        for route in found:
            if not isinstance(route, Route):
                continue
            plain = not route.param_convertors and inspect.iscoroutinefunction(route.endpoint)
            parent, name = _last_parameter(route, found)
            for method in route.methods or ():
                if plain:
                    self._plain.setdefault((method, route.path), route.endpoint)
                elif name:
                    self._below[method, parent] = (name, route.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            endpoint = self._plain.get((method, path))
            if endpoint is not None:
                response = await endpoint(Request(scope, receive, send))
                await response(scope, receive, send)
                return
            parent, _, last = path.rpartition("/")
            below = self._below.get((method, parent))
            if below is not None and last:
                scope["path_params"] = {below[0]: last}
                await below[1](scope, receive, send)
                return
        await self._router(scope, receive, send)


def _last_parameter(route: Route, found: Sequence[BaseRoute]) -> tuple[str, str]:
    """(parent path, name) of a route's only parameter, its path's last part; no name where others answer there too."""
    parent, _, last = route.path.rpartition("/")
    name = last[1:-1]
    if list(route.param_convertors) != [name] or last != f"{{{name}}}":
        return "", ""
    others = (getattr(other, "path", parent) for other in found if other is not route)
    return ("", "") if any(f"{other}/".startswith(f"{parent}/") for other in others) else (parent, name)
