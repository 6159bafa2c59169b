"""`bywire agents api-key`: keys for agents that no issuer vouches for. They buy short tokens and nothing else."""

import time
from typing import Any

import click

from bywire.adapters.sqlite_api_keys import ApiKeyRow
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.wiring.api_keys import api_keys, create_api_key, revoke_api_key
from bywire.wiring.gateway_settings import read_gateway

DAYS = 30


@click.group("api-key")
def api_key() -> None:
    """API keys: create, list, revoke. They only exchange for tokens of at most 15 minutes."""


@api_key.command()
@click.argument("agent")
@click.option("--days", type=click.IntRange(min=1), default=DAYS, show_default=True, help="When it ends by itself.")
@click.option("--note", default="", help="Where it is used; shown in the list.")
@as_json_option
@click.pass_obj
def create(place: Place, agent: str, days: int, note: str, *, as_json: bool) -> None:
    """Make a key for one agent. It is shown once: hand it over where nobody else reads."""
    with workspace(place) as opened:
        settings = read_gateway(opened).api_keys
        text, row, entry = create_api_key(opened, principal(agent), days=days, note=note[:200], settings=settings)
        now_ms = opened.clock.now_ms()
    if as_json:
        print_json({**_plain(row, now_ms), "key": text, "entry": entry})
        return
    # The key alone is on standard output, so that it can go into a file that only its owner reads.
    until = _day(row.expires_ms)
    click.echo(f"made API key {row.id} for {row.agent}, until {until}; ledger entry #{entry}", err=True)
    click.echo("  it is shown this once; POST /v1/token gives tokens for it", err=True)
    click.echo(text)


@api_key.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Every key, without what it takes to use one."""
    with workspace(place) as opened:
        found, now_ms = api_keys(opened), opened.clock.now_ms()
    if as_json:
        print_json([_plain(row, now_ms) for row in found])
        return
    for row in found:
        until = f"until {_day(row.expires_ms)}"
        console().print(literal(f"{row.id}  {_state(row, now_ms):<8} {row.agent:<26} {until}  {row.note}"))


@api_key.command()
@click.argument("key_id")
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@as_json_option
@click.pass_obj
def revoke(place: Place, key_id: str, reason: str, *, as_json: bool) -> None:
    """End a key now. Tokens that it bought end within 15 minutes, or at once with `bywire agents revoke`."""
    with workspace(place) as opened:
        row, entry = revoke_api_key(opened, key_id, reason)
    if as_json:
        print_json({"id": row.id, "agent": row.agent, "state": "revoked", "entry": entry})
        return
    console().print(f"[green]revoked[/] API key {row.id} of {literal(row.agent)}; ledger entry #{entry}")


def principal(agent: str) -> str:
    """`fixer` and `agent:fixer` are one agent."""
    return agent if agent.startswith("agent:") else f"agent:{agent}"


def _state(row: ApiKeyRow, now_ms: int) -> str:
    if row.revoked_ms is not None:
        return "revoked"
    return "expired" if row.ended(now_ms) else "active"


def _plain(row: ApiKeyRow, now_ms: int) -> dict[str, Any]:
    return {
        "id": row.id,
        "agent": row.agent,
        "note": row.note,
        "state": _state(row, now_ms),
        "created_ms": row.created_ms,
        "expires_ms": row.expires_ms,
        "revoked_ms": row.revoked_ms,
        "reason": row.reason,
    }


def _day(moment_ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment_ms // 1000))
