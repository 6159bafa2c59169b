"""What `bywire mcp` runs on: a gateway with one upstream of a command line, and tokens that are renewed in time."""

from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from bywire.adapters.mcp_bridge import Bridge
from bywire.adapters.pinned_http import PinnedHttp, parse_origin
from bywire.adapters.standard_streams import Lines
from bywire.identity.tokens import LIFETIME_SECONDS_MAX
from bywire.model.errors import ConfigError
from bywire.model.gateway import GatewayConfig, Upstream
from bywire.wiring.gateway import Gateway
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.identities import issue_token
from bywire.wiring.workspace import Workspace

RENEW_MS = 60_000
BRIDGE_SECONDS = 600.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def wrapping(workspace: Workspace, upstream: str, command: tuple[str, ...]) -> Gateway:
    """A gateway that leads to `upstream`, started by `command` when gateway.yaml does not name it.

    A command line cannot redirect what gateway.yaml names: an upstream's credential would go with it.
    Raises ConfigError `upstream_unknown`, `upstream_differs`.
    """
    settings = read_gateway(workspace)
    known = settings.upstream(upstream)
    if known is None and not command:
        raise ConfigError(
            f"gateway.yaml names no upstream {upstream}",
            code="upstream_unknown",
            next_step="add it there, or give the command: bywire mcp --upstream NAME --as AGENT -- COMMAND",
        )
    if known is not None and (known.kind != "mcp" or (command and command != known.command)):
        raise ConfigError(
            f"gateway.yaml says otherwise how {upstream} is reached",
            code="upstream_differs",
            next_step="leave the command out, or choose another --upstream",
        )
    if known is None:
        added = Upstream(name=upstream, kind="mcp", command=command)
        settings = msgspec.structs.replace(settings, upstreams=(*settings.upstreams, added))
    return Gateway(workspace, _only(settings, upstream))


def bridge(workspace: Workspace, url: str, principal: str, run: str, lines: Lines) -> Bridge:
    """From standard streams to the endpoint `url`, as this agent. Raises ConfigError `origin_invalid`."""
    parts = urlsplit(url)
    loopback = parts.hostname in LOOPBACK
    origin = parse_origin(f"{parts.scheme}://{parts.netloc}", private=loopback)
    client = PinnedHttp(origin, timeout_seconds=BRIDGE_SECONDS)
    return Bridge(client, parts.path or "/", renewed(workspace, principal, run), lines, timeout_seconds=BRIDGE_SECONDS)


def renewed(workspace: Workspace, principal: str, run: str) -> Callable[[bool], str]:
    """Gives a token of the agent that is good for a minute at least; with True, a new one."""
    issued = issue_token(workspace, principal, run=run, lifetime_seconds=LIFETIME_SECONDS_MAX)

    def token(new: bool) -> str:
        nonlocal issued
        if new or issued.expires_at_ms - workspace.clock.now_ms() < RENEW_MS:
            issued = issue_token(workspace, principal, run=issued.run, lifetime_seconds=LIFETIME_SECONDS_MAX)
        return issued.token

    return token


def _only(settings: GatewayConfig, upstream: str) -> GatewayConfig:
    """Nothing else is led to from here."""
    return msgspec.structs.replace(settings, upstreams=tuple(one for one in settings.upstreams if one.name == upstream))
