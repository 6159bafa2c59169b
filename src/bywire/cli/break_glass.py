"""`bywire break-glass`: when the usual approval cannot be had in time, and somebody answers for acting without it."""

from pathlib import Path

import click

from bywire.approvals.break_glass import MINUTES_MAX, POSTMORTEM_BYTES_MAX
from bywire.cli.approval_page import moment
from bywire.cli.approvals import as_json_option, key_option, signs, ssh_agent_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.errors import EvidenceError
from bywire.wiring.approving import principal_of
from bywire.wiring.breaking_glass import (
    Broken,
    broken_glass,
    close_break_glass,
    open_break_glass,
    write_postmortem,
)

DEFAULT_AGENT = "agent:release-controller"


@click.group()
def break_glass() -> None:
    """Act without the usual approval: by a named person, for a short time, with a post-mortem owed. Hard rules hold."""


@break_glass.command("open")
@click.option("--as", "person", required=True, help="Who answers for it: sre-oncall, incident-commander or security.")
@click.option("--reason", required=True, help="Why, in 20 characters or more; kept for ever.")
@click.option("--tool", "tools", multiple=True, required=True, help="A tool that may be used; repeat for more.")
@click.option("--agent", "agents", multiple=True, default=(DEFAULT_AGENT,), help="Who may use it; repeat for more.")
@click.option("--minutes", type=click.IntRange(1, MINUTES_MAX), required=True, help="How long it stays open.")
@click.option("--uses", type=click.IntRange(1, 50), default=1, show_default=True, help="How many actions in all.")
@key_option
@ssh_agent_option
@as_json_option
@click.pass_obj
def open_(
    place: Place,
    person: str,
    reason: str,
    tools: tuple[str, ...],
    agents: tuple[str, ...],
    minutes: int,
    uses: int,
    key: Path | None,
    ssh_agent: str,
    *,
    as_json: bool,
) -> None:
    """Let agents use tools without the usual approval, signed by you."""
    principal = principal_of(person)
    with workspace(place) as opened:
        glass, entry = open_break_glass(
            opened,
            principal,
            reason,
            tools=tools,
            principals=agents,
            minutes=minutes,
            uses=uses,
            key=signs(opened, key, ssh_agent)(principal),
        )
    if as_json:
        print_json({"id": glass.id, **glass.as_json(), "entry": entry})
        return
    out = console()
    out.print(f"[bold red]glass broken[/] {glass.id} by {literal(principal)}, ledger entry #{entry}")
    what = f"{', '.join(glass.tools)} for {', '.join(glass.principals)}, {glass.uses} uses"
    out.print(f"  lets  {literal(f'{what}, until {moment(glass.expires_at_ms)}')}")
    out.print("  not   hard rules, stop and freeze-all: they hold behind broken glass, too")
    owed = f"bywire break-glass postmortem {glass.id} --as {literal(principal.partition(':')[2])} --file FILE"
    out.print(f"  owed  [cyan]{owed}[/]")


@break_glass.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Every broken glass, newest first."""
    with workspace(place) as opened:
        found = broken_glass(opened)
    if as_json:
        print_json([_summary(broken) for broken in found])
        return
    for broken in found:
        _print(broken)
    if not found:
        console().print("no glass was broken")


@break_glass.command()
@click.argument("glass_id")
@as_json_option
@click.pass_obj
def close(place: Place, glass_id: str, *, as_json: bool) -> None:
    """End one at once; anybody may."""
    with workspace(place) as opened:
        user = opened.repository.user()
        entry = close_break_glass(opened, glass_id, f"person:{user.name}" if user else "person:unknown")
    if as_json:
        print_json({"id": glass_id, "entry": entry})
    else:
        console().print(f"closed {glass_id}, ledger entry #{entry}")


@break_glass.command()
@click.argument("glass_id")
@click.option("--as", "person", required=True, help="Who broke it.")
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@key_option
@ssh_agent_option
@as_json_option
@click.pass_obj
def postmortem(
    place: Place, glass_id: str, person: str, file: Path, key: Path | None, ssh_agent: str, *, as_json: bool
) -> None:
    """Sign what happened and why; without it you cannot break glass again."""
    principal = principal_of(person)
    text = _text(file)
    with workspace(place) as opened:
        entry = write_postmortem(opened, glass_id, principal, text, signs(opened, key, ssh_agent)(principal))
    if as_json:
        print_json({"id": glass_id, "by": principal, "entry": entry})
    else:
        console().print(f"post-mortem of {glass_id} by {literal(principal)}, ledger entry #{entry}")


def _text(file: Path) -> str:
    with file.open("rb") as stream:
        data = stream.read(POSTMORTEM_BYTES_MAX + 1)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EvidenceError(
            f"{file} is not UTF-8 text", code="break_glass_refused", next_step="write the post-mortem as plain text"
        ) from error


def _summary(broken: Broken) -> dict[str, object]:
    glass = broken.glass
    return {
        "id": broken.id,
        "person": broken.person,
        "state": broken.state,
        "uses_left": broken.uses_left,
        "left_seconds": broken.left_seconds,
        "owes_postmortem": broken.owes_postmortem,
        "entry": broken.entry,
        "statement": glass.as_json() if glass else None,
    }


def _print(broken: Broken) -> None:
    glass = broken.glass
    what = f"{', '.join(glass.tools)} for {', '.join(glass.principals)}: {glass.reason}" if glass else "unreadable"
    notes = [f"{broken.uses_left} uses left", f"{broken.left_seconds} s left"] if broken.state == "open" else []
    notes += ["post-mortem owed"] if broken.owes_postmortem else ["post-mortem written"]
    said = f"{broken.person}  {what}  ({', '.join(notes)})"
    console().print(f"{broken.id}  {broken.state:<10}  {literal(said)}")
