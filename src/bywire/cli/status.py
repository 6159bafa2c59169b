"""`bywire status`."""

from typing import Any

import click
import msgspec

from bywire.adapters.serving_notes import Note
from bywire.cli.approvals import as_json_option
from bywire.cli.deliver import closing, summary
from bywire.cli.main import Place
from bywire.cli.output import console, line, literal, print_json
from bywire.cli.workspace import workspace
from bywire.delivery.state import DeliveryState
from bywire.model.errors import ConfigError, TargetError
from bywire.wiring.breaking_glass import unsettled_glass
from bywire.wiring.config_in_force import Stale, servers
from bywire.wiring.delivering import deliveries
from bywire.wiring.mediation import Mediation, mediation
from bywire.wiring.reconciling import recorded_findings
from bywire.wiring.workspace import Workspace


@click.command()
@click.argument("delivery", required=False)
@as_json_option
@click.pass_obj
def status(place: Place, delivery: str | None, *, as_json: bool) -> None:
    """What is running, what waits, what ended; with DELIVERY, its whole story."""
    with workspace(place) as opened:
        states = deliveries(opened)
        target = _target(opened)
        stops = opened.state.stops()
        unexplained = [item.finding.id for item in recorded_findings(opened) if not item.owner]
        incidents = opened.state.incidents()
        broken = unsettled_glass(opened)
        through = mediation(opened)
        running = servers(opened)
    if delivery:
        _one(states, delivery, as_json=as_json)
    elif as_json:
        print_json(
            {
                "deliveries": [_brief(state) for state in states],
                "target": target,
                "stops": stops,
                "unexplained": unexplained,
                "incidents": incidents,
                "break_glass": [{"id": item.id, "person": item.person, "state": item.state} for item in broken],
                "serving": [{**_server(note), **stale.told()} for note, stale in running],
                "mediation": {**msgspec.structs.asdict(through), "share": through.share},
            }
        )
    else:
        for item in incidents:
            said = literal(f"by {item['person']}: {item['reason']}. End it: bywire incident close")
            console().print(f"[bold red]incident[/] mode is on {said}")
        for glass in broken:
            said = literal(f"{glass.id} of {glass.person} is {glass.state}; see bywire break-glass list")
            console().print(f"[bold red]broken[/]   {said}")
        _serving(running)
        _all(states, target, stops, unexplained)
        _through(through)


def _one(states: list[DeliveryState], delivery: str, *, as_json: bool) -> None:
    state = next((state for state in states if state.id == delivery), None)
    if state is None:
        raise ConfigError(f"there is no delivery {delivery}", code="not_found", next_step="bywire status")
    if as_json:
        print_json(summary(state))
        return
    for event in state.events:
        line(event.text, event.entry, event.level)
    closing(state)


def _all(
    states: list[DeliveryState], target: dict[str, Any], stops: list[dict[str, Any]], unexplained: list[str]
) -> None:
    out = console()
    for stop in stops:
        what = f"{stop['scope']} {stop['target']}".strip()
        said = literal(f"{what} by {stop['person']}: {stop['reason']}. Lift it: bywire resume")
        out.print(f"[bold red]stopped[/]  {said}")
    if unexplained:
        count = f"{len(unexplained)} change{'s' if len(unexplained) > 1 else ''} without bywire"
        out.print(f"[bold red]finding[/]  {count}, and nobody answers for it: bywire reconcile")
    stable, canary = target.get("stable"), target.get("canary")
    if "error" in target:
        out.print(f"target   [bold red]{literal(target['error'])}[/]")
    else:
        out.print(
            f"target   http://127.0.0.1:{target['router_port']}  stable {stable['digest'][:12] if stable else 'none'}"
        )
    if canary:
        only = f" for {literal(', '.join(canary['segments']))}" if canary["segments"] else ""
        out.print(f"canary   {canary['digest'][:12]} at {canary['weight']:g}%{only}")
    for state in reversed(states):
        what = f"{literal(state.branch)}: {literal(state.goal)}"
        out.print(f"{state.id}  {state.phase:<11} {state.artifact[:12] or '-':<12}  {what}")
    if not states:
        out.print("no deliveries yet: bywire deliver --goal 'first release'")


def _through(found: Mediation) -> None:
    """How much of what agents did was only permitted or advised; silent when all of it went through the door."""
    if not found.permitted and not found.advised:
        return
    here = f"{found.mediated} carried out here ({found.share:.0%})"
    callers = f"{found.permitted} by their callers, {found.unreported} of them not reported"
    console().print(f"effects  {here}, {callers}; {found.advised} answers were advice only")


def _server(note: Note) -> dict[str, Any]:
    return {"process": note.process, "url": note.url, "started_ms": note.started_ms}


def _serving(running: tuple[tuple[Note, Stale], ...]) -> None:
    out = console()
    for note, stale in running:
        out.print(f"serving  [cyan]{literal(note.url)}[/], process {note.process}")
        if stale.files:
            out.print(f"[yellow]stale[/]    {literal(stale.says)} since it started; it goes on with what it read then")
            if stale.fault:
                out.print(f"         [bold red]{stale.fault['code']}[/] {literal(stale.fault['message'])}")
            out.print(f"  next   [cyan]{literal(stale.next_step)}[/]")


def _target(opened: Workspace) -> dict[str, Any]:
    try:
        return opened.target.status()
    except TargetError as error:
        return {"error": error.message, "next_step": error.next_step}


def _brief(state: DeliveryState) -> dict[str, Any]:
    return {
        "id": state.id,
        "phase": state.phase,
        "goal": state.goal,
        "branch": state.branch,
        "commit": state.head_commit,
        "artifact": state.artifact,
        "approval_id": state.approval_id,
    }
