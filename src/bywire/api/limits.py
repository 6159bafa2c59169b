"""The guard before every route: by which names this gateway may be called, and from pages of which origins.

A page in somebody's browser can reach a loopback port; it cannot choose the Host header of the name it was loaded from
(DNS rebinding), and it says its Origin.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from bywire.api.errors import RefusedError, malformed, told
from bywire.api.reading import fields_of
from bywire.model.errors import ConfigError
from bywire.model.gateway import GatewayConfig

# Nothing below it is answered without a token, and no page has one.
ASKED_BY_ENVOY = "/ext_authz/"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Guard:
    """ASGI: refuses before anything of the application runs."""

    def __init__(self, app: ASGIApp, settings: GatewayConfig) -> None:
        self._app = app
        names = allowed_hosts(settings)
        self._hosts = frozenset(
            name.encode() for name in {*names, *(f"{name}:{settings.listen.port}" for name in names)}
        )
        self._origins = frozenset(origin.encode() for origin in allowed_origins(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer with the payload."""
        if scope["type"] == "http":
            try:
                fields = fields_of(scope)
                # Envoy asks under the name that its client used, with the headers of a page it may have come from.
                if not scope["path"].startswith(ASKED_BY_ENVOY):
                    self._check(fields)
            except RefusedError as refused:
                await told(refused.said, refused.status)(scope, receive, send)
                return
        elif scope["type"] != "lifespan":
            raise RuntimeError(f"no {scope['type']} here")
        await self._app(scope, receive, send)

    def _check(self, fields: dict[bytes, bytes]) -> None:
        host = fields.get(b"host", b"")
        if host not in self._hosts:
            name = host.lower()
            if name not in self._hosts and without_port(name) not in self._hosts:
                raise malformed("this gateway is not called by that Host", "add the name to hosts in gateway.yaml", 421)
        origin = fields.get(b"origin")
        if origin is not None and origin.lower() not in self._origins:
            raise malformed("a page of another origin may not call this gateway", "call it from no browser page", 403)


def check_exposure(settings: GatewayConfig) -> None:
    """Raises ConfigError `listen_exposed`: tokens would cross a network that others read."""
    if is_loopback(settings.listen.host) or settings.public_url.startswith("https://"):
        return
    raise ConfigError(
        f"gateway.yaml listens on {settings.listen.host}, which others reach, and names no https URL",
        code="listen_exposed",
        next_step="put a TLS proxy before it and write `public_url: https://NAME`, or listen on 127.0.0.1",
    )


def without_port(host: bytes) -> bytes:
    """A Host header's name or address."""
    if host.startswith(b"["):
        return host[: host.find(b"]") + 1]
    return host.partition(b":")[0]


def allowed_hosts(settings: GatewayConfig) -> frozenset[str]:
    """Every name that a Host header may carry."""
    listen = settings.listen.host
    own = {f"[{listen}]" if ":" in listen else listen} if not is_any(listen) else set()
    public = {urlsplit(settings.public_url).netloc.lower()} if settings.public_url else set()
    loopback = LOOPBACK_NAMES if is_loopback(listen) or is_any(listen) else frozenset()
    return frozenset({*own, *public, *loopback, *settings.hosts})


def allowed_origins(settings: GatewayConfig) -> frozenset[str]:
    """The origins whose pages may call: our own."""
    parts = urlsplit(settings.url)
    found = {f"{parts.scheme}://{parts.netloc}".lower()}
    if is_loopback(settings.listen.host):
        found |= {f"http://{name}:{settings.listen.port}" for name in LOOPBACK_NAMES}
    return frozenset(found)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_any(host: str) -> bool:
    """Whether it stands for every address of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
