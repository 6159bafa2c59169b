"""`bywire rollout report`: a rollout, drawn."""

from pathlib import Path

import click

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.release.report import render
from bywire.wiring.reporting import rollout_history


@click.group()
def rollout() -> None:
    """Rollouts: report."""


@rollout.command()
@click.argument("delivery", required=False)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("rollout.html"))
@as_json_option
@click.pass_obj
def report(place: Place, delivery: str | None, output: Path, *, as_json: bool) -> None:
    """Draw effect over time with bounds per segment, exposure and verdicts, as one HTML page (default: the newest)."""
    with workspace(place) as opened:
        history = rollout_history(opened, delivery or "")
    output.write_text(render(history))
    if as_json:
        print_json({"file": str(output), "points": len(history.points), "outcome": history.outcome})
    else:
        console().print(f"{history.outcome}: {len(history.points)} intervals drawn in {literal(str(output))}")
