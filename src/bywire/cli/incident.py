"""`bywire incident`: incident mode, which lets mitigations be asked for that are forbidden in quiet times."""

import click

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.errors import ConflictError
from bywire.wiring.approving import refuse_secrets
from bywire.wiring.workspace import Workspace


@click.group()
def incident() -> None:
    """Incident mode: open, close, list. It allows nothing by itself; approvals stay as they are."""


@incident.command("open")
@click.option("--reason", required=True, help="What is wrong; kept in the ledger.")
@as_json_option
@click.pass_obj
def open_(place: Place, reason: str, *, as_json: bool) -> None:
    """Begin incident mode."""
    with workspace(place) as opened:
        refuse_secrets(opened, reason)
        person = whoever(opened)
        document = {"by": person, "reason": reason}
        entry = opened.change_state(
            "incident-opened",
            document,
            lambda tx: opened.state.open_incident(tx, person, reason, opened.clock.now_ms()),
        )
    if as_json:
        print_json({**document, "entry": entry})
    else:
        console().print(f"incident mode is on; ledger entry #{entry}. End it with `bywire incident close`.")


@incident.command()
@as_json_option
@click.pass_obj
def close(place: Place, *, as_json: bool) -> None:
    """End incident mode."""
    closed = 0

    def end(tx: object) -> None:
        nonlocal closed
        closed = opened.state.close_incidents(tx, opened.clock.now_ms())  # type: ignore[arg-type]

    with workspace(place) as opened:
        if not opened.state.incidents():
            raise ConflictError("no incident is open", code="no_incident", next_step="bywire incident open --reason R")
        entry = opened.change_state("incident-closed", {"by": whoever(opened)}, end)
    if as_json:
        print_json({"closed": closed, "entry": entry})
    else:
        console().print(f"incident mode is off ({closed} closed); ledger entry #{entry}")


@incident.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Incidents that are open."""
    with workspace(place) as opened:
        found = opened.state.incidents()
    if as_json:
        print_json(found)
        return
    for item in found:
        console().print(f"{item['id']}  {literal(item['person'])}  {literal(item['reason'])}")
    if not found:
        console().print("no incident is open")


def whoever(opened: Workspace) -> str:
    """The person that git names here: recorded, never believed."""
    user = opened.repository.user()
    return f"person:{user.name}" if user else "person:unknown"
