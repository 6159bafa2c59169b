"""`bywire doctor`."""

import click
import msgspec

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.wiring.examining import Check, Health, examine

_STYLE = {Health.WORKS: "green", Health.LIMIT: "yellow", Health.BROKEN: "bold red"}


@click.command()
@as_json_option
@click.pass_obj
def doctor(place: Place, *, as_json: bool) -> None:
    """What this installation can and cannot promise. Exit 1 when something is broken."""
    with workspace(place, check=False) as opened:
        checks = examine(opened)
    if as_json:
        print_json([msgspec.to_builtins(check) for check in checks])
    else:
        for check in checks:
            _print(check)
    finish(EXIT_DENIED if any(check.health is Health.BROKEN for check in checks) else EXIT_OK)


def _print(check: Check) -> None:
    out = console()
    out.print(f"[{_STYLE[check.health]}]{check.health:<7}[/] {check.name:<11} {literal(check.says)}")
    if check.fix:
        out.print(f"        {'':<11} [cyan]{literal(check.fix)}[/]")
