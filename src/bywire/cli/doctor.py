"""`bywire doctor`."""

from collections.abc import Iterable

import click
import msgspec

from bywire.adapters.surroundings import host
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.wiring.examining import Examination, Health, examine

_STYLE = {
    Health.WORKS: "green", Health.LIMIT: "yellow", Health.BROKEN: "bold red",
    "yes": "green", "partly": "yellow", "no": "red", "no effect seen": "default", "way": "yellow",
}  # fmt: skip


@click.command()
@click.option("--probe", is_flag=True, help="Also try: cloud metadata, a connection out, sudo without a password.")
@as_json_option
@click.pass_obj
def doctor(place: Place, *, probe: bool, as_json: bool) -> None:
    """What this installation can and cannot promise. Exit 1 when something is broken."""
    with workspace(place, check=False) as opened:
        found = examine(opened, host(probe=probe))
    if as_json:
        print_json({**msgspec.to_builtins(found), "broken": len(found.broken)})
    else:
        _print(found)
    finish(EXIT_DENIED if found.broken else EXIT_OK)


def _print(found: Examination) -> None:
    for health, title in ((Health.BROKEN, "broken"), (Health.WORKS, "works"), (Health.LIMIT, "limits")):
        checks = [check for check in found.checks if check.health is health]
        if checks:
            _section(title, [(check.health, check.name, check.says, check.fix) for check in checks])
    _section("ways around the door", (("way", way.what, way.where, way.fix) for way in found.ways_around))
    for title, answers in (("readiness", found.readiness), ("practical checklist", found.practical)):
        _section(title, ((one.answer, one.item, one.why, one.fix) for one in answers))
    rows = [
        (
            point.through_bywire,
            point.path,
            f"{point.kind}, {point.tier} tier: {'; '.join(point.does) or 'nothing that was recognised'}",
            "",
        )
        for point in found.inventory
    ]
    _section("inventory of pipeline entry points, and whether each goes through bywire", rows)


def _section(title: str, rows: Iterable[tuple[str, str, str, str]]) -> None:
    out = console()
    out.print(f"[bold]{title}[/]")
    empty = True
    for mark, name, says, fix in rows:
        empty = False
        out.print(f"  [{_STYLE[mark]}]{mark:<7}[/] {literal(name)}: {literal(says)}")
        if fix:
            out.print(f"          [cyan]{literal(fix)}[/]")
    if empty:
        out.print("  none was seen from here")
