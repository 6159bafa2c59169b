"""`bywire retention`: what is kept for how long, and erasing what is old by destroying its keys."""

from pathlib import Path

import click
import msgspec

from bywire.cli.approvals import as_json_option, key_option, signs
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.ledger.retention import ERASABLE
from bywire.model.errors import ConflictError
from bywire.wiring.retaining import RETENTION_LOCK, Retained, apply_retention, held_keys, known_erasures
from bywire.wiring.workspace import workspace_lock


@click.group()
def retention() -> None:
    """Erase the content of old entries; the log and its proofs stay valid."""


@retention.command()
@as_json_option
@click.pass_obj
def show(place: Place, *, as_json: bool) -> None:
    """Which days can still be read, by class, and what was erased."""
    with workspace(place) as opened:
        held, erased = held_keys(opened), known_erasures(opened)
    if as_json:
        statements = [{"entry": index, **msgspec.to_builtins(erasure)} for index, erasure in erased]
        print_json({"held": msgspec.to_builtins(held), "erased": statements})
        return
    for item in held:
        days = f"{item.days} days, {item.oldest} to {item.newest}" if item.oldest else "never erased"
        console().print(f"{item.retention_class:<10}  {days}")
    for index, erasure in erased:
        said = f"{', '.join(erasure.classes)} before {erasure.before}, by {erasure.by}: {erasure.reason}"
        console().print(f"[dim]{'#' + str(index):>6}[/]  erased {literal(said)}")


@retention.command()
@click.option("--before", required=True, metavar="DATE", help="Erase what is older than this day (YYYY-MM-DD, UTC).")
@click.option(
    "--class", "classes", multiple=True, type=click.Choice(ERASABLE), help="Only this class; repeat for more."
)
@click.option("--as", "person", required=True, help="Who answers for it; signs with their own key.")
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@key_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json_option
@click.pass_obj
def apply(
    place: Place,
    before: str,
    classes: tuple[str, ...],
    person: str,
    reason: str,
    key: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Destroy the keys of old days and record who did it and why. This cannot be undone."""
    what = f"{', '.join(classes or ERASABLE)} before {before}"
    if not yes and not click.confirm(f"Erase {what} for good?", err=True):
        raise ConflictError("nothing was erased", code="not_confirmed", next_step="run it again with --yes")
    with (
        workspace_lock(place.repo, place.operator, RETENTION_LOCK),
        workspace(place, lock="deliver") as opened,
    ):
        done = apply_retention(opened, before, classes, person, reason, signs(opened, key))
    if as_json:
        print_json(msgspec.to_builtins(done))
        return
    _print(done)


def _print(done: Retained) -> None:
    out = console()
    out.print(f"[green]erased[/]  {', '.join(done.classes)} before {done.before}; ledger entry #{done.entry}")
    out.print(f"  gone  {done.entries} entries and {done.others} other blobs, {done.keys} keys destroyed")
    out.print(f"  kept  {done.kept} entries that something open still needs; {done.rows} rows outside the log scrubbed")
    for name in done.copies:
        out.print(f"  note  {literal(name)} was made earlier and still holds it: remove it when you need it no more")
    out.print("  next  [cyan]bywire audit verify[/]; backups made before keep what they hold until you destroy them")
