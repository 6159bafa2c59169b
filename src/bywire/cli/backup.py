"""`bywire backup` and `bywire restore`."""

from pathlib import Path

import click
import msgspec

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.errors import ConfigError
from bywire.wiring.approving import principal_of
from bywire.wiring.backup import make_backup
from bywire.wiring.restoring import Choice, Restored
from bywire.wiring.restoring import restore as restore_backup
from bywire.wiring.retaining import RETENTION_LOCK
from bywire.wiring.workspace import workspace_lock

_existing = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--with-keys", is_flag=True, help="Private keys too. Whoever reads the backup can then act as you.")
@as_json_option
@click.pass_obj
def backup(place: Place, destination: Path, *, with_keys: bool, as_json: bool) -> None:
    """Copy the workspace to DESTINATION, a new directory or a new .tar file. bywire may go on working meanwhile."""
    target = destination.absolute()
    with workspace_lock(place.repo, place.operator, RETENTION_LOCK), workspace(place) as opened:
        made = make_backup(opened, target, with_keys=with_keys)
    size = sum(stored.bytes for stored in made.files.values())
    if as_json:
        about = {"entries": made.size, "root": made.root, "files": len(made.files), "with_keys": made.with_keys}
        print_json({"backup": str(target), "bytes": size, **about})
        return
    out = console()
    out.print(
        f"[green]backed up[/]  {made.size} entries, root {made.root[:16]}, {len(made.files)} files, {size:,} bytes"
    )
    out.print(f"  in    {literal(str(target))}, verified after writing")
    if with_keys:
        out.print("  keys  are in it: keep it as safe as the workspace itself")
    else:
        out.print("  keys  are not in it: keep keys/ of the operator directory somewhere safe, too")
    out.print(
        f"  next  [cyan]bywire restore {literal(str(target))}[/] puts it back; trust.json must come from elsewhere"
    )


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--trust", type=_existing, help="The trust root to check the backup against (default: the workspace's).")
@click.option("--checkpoint", type=_existing, help="A checkpoint kept elsewhere: the backup may not be behind it.")
@click.option("--fork", is_flag=True, help="Go on from a backup that is behind, as a log with a new origin.")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@click.option("--as", "person", default="", help="Who answers for it (needed with --fork).")
@as_json_option
@click.pass_obj
def restore(
    place: Place,
    source: Path,
    trust: Path | None,
    checkpoint: Path | None,
    person: str,
    reason: str,
    *,
    fork: bool,
    as_json: bool,
) -> None:
    """Put a backup in place. Refused when it is behind what was published; what was here is kept aside."""
    if fork and not (person and reason):
        raise ConfigError(
            "a fork needs a person and a reason", code="usage", next_step="--fork --reason TEXT --as NAME"
        )
    principal = principal_of(person) if person else "person:unknown"
    done = restore_backup(
        place.repo,
        place.operator,
        source.absolute(),
        Choice(person=principal, reason=reason, fork=fork),
        trust_file=trust,
        checkpoint_file=checkpoint,
    )
    if as_json:
        print_json(msgspec.to_builtins(done))
        return
    _print(done)


def _print(done: Restored) -> None:
    out = console()
    out.print(f"[green]restored[/]  {done.size} entries; what was here is kept in {done.aside}")
    if done.forked:
        lost = ", ".join(f"{kind} {count}" for kind, count in sorted(done.missing_kinds.items())) or "kinds unknown"
        out.print(f"  fork  the log goes on as {literal(done.origin)}; entry #{done.entry} says why")
        out.print(f"  lost  {done.missing} entries ({literal(lost)}); give the new trust.json to whoever verifies")
    out.print(
        f"  ended {done.sessions} sessions, {done.approvals} approvals: what they permitted may have been used since"
    )
    for name in done.added:
        out.print(f"  added {literal(name)} from the backup")
    for name in done.differing:
        out.print(f"  kept  {literal(name)} as it is; the backup holds another version")
    if done.stopped:
        out.print("  stop  everything is stopped: nobody knows what targets did since")
        out.print("  next  [cyan]bywire reconcile[/], then [cyan]bywire resume[/]")
    else:
        out.print("  next  [cyan]bywire audit verify[/]")
