"""`bywire agents`: who may ask for what, their tokens, and the end of either."""

from typing import Any

import click
import msgspec

from bywire.cli.api_keys import api_key, principal
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.config import agents_config
from bywire.config.operator_config import ENVIRONMENTS
from bywire.identity.registration import Pattern, registration_facts
from bywire.identity.tokens import LIFETIME_SECONDS_MAX
from bywire.model.errors import ConfigError
from bywire.wiring.identities import AgentStatus, issue_token, revoke_agent
from bywire.wiring.identities import agents as all_agents
from bywire.wiring.identities import register as register_agent


@click.group()
def agents() -> None:
    """Agents: register, list, show, token, api-key, revoke."""


agents.add_command(api_key)


@agents.command()
@click.argument("agent")
@click.option("--owner", required=True, help="The person answerable for it; never approves what it does.")
@click.option("--pattern", type=click.Choice([str(one) for one in Pattern]), required=True, help="How it operates.")
@click.option("--tool", "tools", multiple=True, help="A tool it may ask for; repeat. None: it only hands things over.")
@click.option(
    "--environment",
    "environments",
    multiple=True,
    type=click.Choice(ENVIRONMENTS),
    help="Where; repeat (default: the environment of this workspace).",
)
@click.option("--actions-per-hour", type=click.IntRange(1, agents_config.ACTIONS_MAX), help="Its own budget.")
@click.option("--rate", "rates", multiple=True, metavar="TOOL=N", help="Effects of one tool per hour; repeat.")
@click.option("--expires", default="", help="When it ends: a time with its zone such as 2027-01-01T00:00:00Z.")
@as_json_option
@click.pass_obj
def register(
    place: Place,
    agent: str,
    owner: str,
    pattern: str,
    tools: tuple[str, ...],
    environments: tuple[str, ...],
    actions_per_hour: int | None,
    rates: tuple[str, ...],
    expires: str,
    *,
    as_json: bool,
) -> None:
    """Register an agent: agents.yaml, a key of its own, and an entry in the log. Safe to run again."""
    asked: dict[str, Any] = {
        "id": principal(agent),
        "owner": owner if owner.startswith("person:") else f"person:{owner}",
        "pattern": pattern,
        "tools": list(tools),
    }
    budgets: dict[str, Any] = {"actions_per_hour": actions_per_hour} if actions_per_hour else {}
    if rates:
        budgets["per_tool"] = dict(_rate(rate) for rate in rates)
    if budgets:
        asked["budgets"] = budgets
    if expires:
        asked["expires"] = expires
    with workspace(place) as opened:
        asked["environments"] = list(environments) or [opened.operator.environment]
        status, entry = register_agent(opened, asked)
    if as_json:
        print_json({**_plain(status), "entry": entry})
    else:
        console().print(f"[green]registered[/] {literal(status.registration.principal)}{_at(entry)}")
        _print(status)


@agents.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Every agent, built in or registered."""
    with workspace(place) as opened:
        found = all_agents(opened)
    if as_json:
        print_json([_plain(status) for status in found])
        return
    for status in found:
        one = status.registration
        origin = "built in" if status.built_in else "registered"
        console().print(
            literal(f"{one.principal:<26} {status.state:<13} {one.pattern:<20} {len(one.tools):>2} tools  {origin}")
        )


@agents.command()
@click.argument("agent")
@as_json_option
@click.pass_obj
def show(place: Place, agent: str, *, as_json: bool) -> None:
    """What one agent may ask for."""
    with workspace(place) as opened:
        found = [status for status in all_agents(opened) if status.registration.principal == principal(agent)]
    if not found:
        raise ConfigError(f"{agent[:128]} is not registered", code="agent_unregistered", next_step="bywire agents list")
    if as_json:
        print_json(_plain(found[0]))
    else:
        _print(found[0])


@agents.command()
@click.argument("agent")
@click.option("--run", default="", help="What it works on; sessions of one run share their integrity.")
@click.option("--parent", default="", help="The session it works for.")
@click.option(
    "--seconds", type=click.IntRange(1, LIFETIME_SECONDS_MAX), default=LIFETIME_SECONDS_MAX, show_default=True
)
@as_json_option
@click.pass_obj
def token(place: Place, agent: str, run: str, parent: str, seconds: int, *, as_json: bool) -> None:
    """Print a token of at most 15 minutes. Whoever has it is the agent: hand it over where nobody else reads."""
    with workspace(place) as opened:
        issued = issue_token(opened, principal(agent), run=run, parent=parent, lifetime_seconds=seconds)
    if as_json:
        print_json(msgspec.to_builtins(issued))
    else:
        click.echo(issued.token)


@agents.command()
@click.argument("agent")
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@as_json_option
@click.pass_obj
def revoke(place: Place, agent: str, reason: str, *, as_json: bool) -> None:
    """End an agent's key and its sessions at once."""
    with workspace(place) as opened:
        changes = revoke_agent(opened, principal(agent), reason)
    if as_json:
        print_json([msgspec.to_builtins(change) for change in changes])
        return
    for change in changes:
        ended = change.ended.get("sessions", 0)
        console().print(
            f"[green]revoked[/] {literal(change.principal)}, key {change.retired[:16]}, {ended} sessions; "
            f"ledger entry #{change.entry}"
        )


def _rate(text: str) -> tuple[str, int]:
    tool, _, number = text.partition("=")
    if not number.isascii() or not number.isdigit():
        raise click.UsageError(f"--rate wants TOOL=N, not {text[:80]}")
    return tool, int(number)


def _at(entry: int) -> str:
    return f", ledger entry #{entry}" if entry >= 0 else ""


def _plain(status: AgentStatus) -> dict[str, Any]:
    one = status.registration
    return {
        "id": one.principal,
        "owner": one.owner,
        **(registration_facts(one) or {}),
        "actions_per_hour": one.actions_per_hour,
        "tool_rates": one.tool_rates,
        "state": status.state,
        "built_in": status.built_in,
        "key_ids": list(status.key_ids),
    }


def _print(status: AgentStatus) -> None:
    one = status.registration
    lines = [
        ("agent", f"{one.principal}, {status.state}"),
        ("owner", one.owner),
        ("pattern", str(one.pattern)),
        ("tools", ", ".join(one.tools) or "none"),
        ("environments", ", ".join(one.environments)),
        ("per hour", _budget(status)),
        ("key", ", ".join(key[:16] for key in status.key_ids) or "none that is valid"),
    ]
    for label, text in lines:
        console().print(f"[bold]{label:<13}[/] {literal(text)}")


def _budget(status: AgentStatus) -> str:
    one = status.registration
    rates = [f"{tool} {number}" for tool, number in sorted(one.tool_rates.items())]
    return ", ".join([str(one.actions_per_hour or "the operator's limit"), *rates])
