"""`bywire mcp`: MCP on standard streams for clients that start programs, and what servers say of their tools."""

import re
import sys
from typing import Any

import click
import msgspec

from bywire.adapters.key_files import draw_id
from bywire.adapters.standard_streams import StandardLines
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.config.gateway_upstreams import UPSTREAM_NAME
from bywire.model.errors import ConfigError
from bywire.wiring.mcp_definitions import OFFERED, UNLISTED, Examined, examine
from bywire.wiring.mcp_faces import bridge, wrapping

CHANGES_SHOWN = 40


class _Mcp(click.Group):
    """What follows `--` is the command of a server, never a subcommand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta["bywire.mcp.command"] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


@click.group(cls=_Mcp, invoke_without_command=True)
@click.option("--as", "agent", default="", metavar="AGENT", help="The agent that the client is.")
@click.option("--upstream", default="", metavar="NAME", help="The MCP server's name: contracts/NAME.yaml.")
@click.option("--url", default="", help="Instead: a gateway's endpoint, http://HOST/mcp/NAME, over HTTP.")
@click.option("--run", default="", help="What it works on; sessions of one run share their integrity.")
@click.pass_context
def mcp(context: click.Context, agent: str, upstream: str, url: str, run: str) -> None:
    """Speak MCP on standard streams as AGENT: before COMMAND (`bywire mcp ... -- COMMAND`), or before --url.

    Nothing but JSON-RPC goes to standard output.
    """
    if context.invoked_subcommand is not None:
        return
    command: tuple[str, ...] = context.meta.get("bywire.mcp.command", ())
    if not agent or bool(url) == bool(upstream) or (url and command):
        raise click.UsageError("bywire mcp --as AGENT --upstream NAME [-- COMMAND], or --as AGENT --url URL")
    if upstream and not _is_name(upstream):
        raise click.UsageError("--upstream is lower-case letters, digits and '-'")
    principal = agent if agent.startswith("agent:") else f"agent:{agent}"
    run = run or f"mcp-{draw_id()[:12]}"
    place: Place = context.obj
    lines = StandardLines()
    with workspace(place) as opened:
        if url:
            bridge(opened, url, principal, run, lines).run()
            return
        from bywire.api.mcp_lines import serve_lines  # noqa: PLC0415  the web framework costs other commands time

        gateway = wrapping(opened, upstream, command)
        try:
            print(f"bywire: {upstream} as {principal}, run {run}", file=sys.stderr, flush=True)
            serve_lines(gateway, upstream, lambda: opened.token(principal, run), lines)
        finally:
            gateway.close()


@mcp.command()
@click.argument("upstream")
@as_json_option
@click.pass_obj
def definitions(place: Place, upstream: str, *, as_json: bool) -> None:
    """What an upstream says of its tools, beside what was approved. Exit 1 when a tool is quarantined."""
    if not _is_name(upstream):
        raise ConfigError(f"{upstream[:64]!r} is no upstream", code="upstream_unknown", next_step="see gateway.yaml")
    with workspace(place) as opened:
        found = examine(opened, upstream)
    if as_json:
        print_json([_plain(one) for one in found])
    else:
        for one in found:
            _print(one, upstream)
    finish(EXIT_OK if all(one.state in {OFFERED, UNLISTED} for one in found) else EXIT_DENIED)


def _is_name(text: str) -> bool:
    return re.fullmatch(UPSTREAM_NAME, text) is not None


def _plain(one: Examined) -> dict[str, Any]:
    return {**msgspec.to_builtins(one), "approve": _approve(one)}


def _approve(one: Examined) -> str:
    """What a person who has read the definition does to approve it."""
    if one.state == UNLISTED:
        return f"bywire connect {one.tool.partition('.')[0]}"
    if one.state == OFFERED or not one.found:
        return ""
    upstream, _, name = one.tool.partition(".")
    return (
        f"in contracts/{upstream}.yaml, tool {name}: definition: {one.found}, and its description and schema as above"
    )


def _print(one: Examined, upstream: str) -> None:
    out = console()
    style = {OFFERED: "green", UNLISTED: "dim"}.get(one.state, "bold red")
    reviewed = "" if one.reviewed or one.state == UNLISTED else ", not reviewed"
    out.print(f"[{style}]{one.state:<11}[/] {literal(one.tool)}{reviewed}")
    if one.why and one.state != UNLISTED:
        out.print(f"  why   {literal(one.why)}")
    for suspicion in one.suspicions:
        out.print(f"  says  {literal(suspicion.where)}: {suspicion.kind}: {literal(suspicion.shown)}")
    for change in one.changes[:CHANGES_SHOWN]:
        colour = {"+": "green", "-": "red"}.get(change[:1], "dim")
        out.print(f"  [{colour}]{literal(change)}[/]")
    if len(one.changes) > CHANGES_SHOWN:
        out.print(f"  ... {len(one.changes) - CHANGES_SHOWN} more lines: bywire mcp definitions {upstream} --json")
    if _approve(one):
        out.print(f"  next  [cyan]{literal(_approve(one))}[/]")
