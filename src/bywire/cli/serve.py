"""`bywire serve`: the gateway, in one process."""

import gc
from contextlib import ExitStack
from typing import Any

import click
import msgspec

from bywire.adapters.listening import allow_open_files, listen, port_of
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.gateway import GatewayConfig
from bywire.wiring.channel_telling import telling
from bywire.wiring.config_in_force import ConfigInForce, announced, before_start, start_fault
from bywire.wiring.gateway import Gateway
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.ticking import TICKS, ticking
from bywire.wiring.workspace import Workspace

# Tokens travel to the forward proxy in the clear, so that it is a neighbour's and never a network's.
EGRESS_HOST = "127.0.0.1"
# What answers beside the surfaces.
CONTROL = ("control plane",)
# Beside connections: the database, upstreams, the egress proxy.
OTHER_FILES = 2_048


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=None, help="Instead of gateway.yaml's; 0 takes any.")
@as_json_option
@click.pass_obj
def serve(place: Place, port: int | None, *, as_json: bool) -> None:
    """Answer agents over HTTP and MCP until stopped: decided, journalled, carried out, recorded."""
    config = before_start(place.repo, place.operator)
    with workspace(place) as opened:
        settings = read_gateway(opened)
        if port is not None:
            settings = msgspec.structs.replace(settings, listen=msgspec.structs.replace(settings.listen, port=port))
        _serve(opened, settings, config, as_json=as_json)


def _serve(opened: Workspace, settings: GatewayConfig, config: ConfigInForce, *, as_json: bool) -> None:
    # The web framework would cost every other command the time that it takes to load.
    from bywire.api.app import SURFACES, build_app  # noqa: PLC0415
    from bywire.api.egress import egress_proxy  # noqa: PLC0415
    from bywire.api.limits import check_exposure  # noqa: PLC0415
    from bywire.api.metrics import check_metrics  # noqa: PLC0415
    from bywire.api.serve import running  # noqa: PLC0415

    check_exposure(settings)
    check_metrics(settings)
    allow_open_files(settings.limits.connections + OTHER_FILES)
    with ExitStack() as held:
        listener = held.enter_context(listen(settings.listen.host, settings.listen.port))
        out = settings.listen.egress_port
        way_out = held.enter_context(listen(EGRESS_HOST, out)) if out else None
        bound = msgspec.structs.replace(settings.listen, port=port_of(listener))
        settings = msgspec.structs.replace(settings, listen=bound)
        gateway = Gateway(opened, settings, config=config)
        held.callback(gateway.close)
        app = build_app(gateway)
        beside = [egress_proxy(gateway, way_out)] if way_out is not None else []
        told = announcement(gateway, (*SURFACES, *CONTROL))
        gc.collect()
        gc.freeze()  # what is here now stays; no collection looks through it again
        held.enter_context(announced(opened, settings.url, config))
        held.enter_context(ticking(opened, lambda: config.look(lambda: start_fault(opened))))
        held.enter_context(telling(gateway.channels))
        running(app, settings.limits, beside).run_on(listener, lambda: announce(told, as_json=as_json))


def announcement(gateway: Gateway, surfaces: tuple[str, ...]) -> dict[str, Any]:
    """What this process runs."""
    bundle, operator, settings = gateway.workspace.bundle(), gateway.workspace.operator, gateway.settings
    return {
        "status": "serving",
        "url": settings.url,
        "service": operator.service,
        "environment": operator.environment,
        "policy": {"revision": bundle.manifest.revision, "digest": bundle.digest},
        "surfaces": list(surfaces),
        "upstreams": [{"name": one.name, "kind": one.kind} for one in settings.upstreams],
        "egress_port": settings.listen.egress_port,
        "egress_rules": len(settings.egress),
        "ticks": list(TICKS),
    }


def announce(told: dict[str, Any], *, as_json: bool) -> None:
    """Say that it is up, and what is."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"serving    [cyan]{literal(told['url'])}[/] for {literal(told['service'])} in {told['environment']}")
    out.print(f"policy     revision {told['policy']['revision']}, {told['policy']['digest'][:12]}")
    out.print(f"surfaces   {', '.join(told['surfaces'])}")
    names = ", ".join(f"{one['name']} ({one['kind']})" for one in told["upstreams"])
    out.print(f"upstreams  {literal(names) or 'none: bywire connect NAME'}")
    out.print(f"way out    {_way_out(told)}")
    out.print(f"ticks      {', '.join(told['ticks'])}")


def _way_out(told: dict[str, Any]) -> str:
    if not told["egress_port"]:
        return "closed"
    return f"forward proxy on {EGRESS_HOST}:{told['egress_port']}, {told['egress_rules']} rules"
