"""`bywire schema`: the JSON Schemas of the files that people write, for editors; and a check of such files, for CI."""

import json
from pathlib import Path

import click

from bywire.adapters.schema_files import PublishedSchema, published_schema, published_schemas
from bywire.cli.approvals import as_json_option
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.model.errors import BywireError
from bywire.wiring.file_checks import check_file

MODELINE = "# yaml-language-server: $schema="


@click.command()
@click.argument("name", required=False)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json_option
def schema(name: str | None, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Without NAME, list the schemas. With NAME, print that one. With FILES, check them; exit 1 when one is wrong.

    A check reads a file as it is read when it counts, which is more than a JSON Schema can say. It needs no workspace.
    """
    if name is None:
        _list(as_json=as_json)
        return
    found = published_schema(name)
    if not files:
        # It is JSON with or without --json.
        click.echo(found.text(), nl=False)
        return
    faults = {place: _fault(found, place) for place in files}
    if as_json:
        checked = [{"file": str(place), "error": fault and fault.as_json()} for place, fault in faults.items()]
        print_json({"schema": found.name, "files": checked})
    else:
        _print(faults)
    finish(EXIT_DENIED if any(faults.values()) else EXIT_OK)


def _fault(found: PublishedSchema, place: Path) -> BywireError | None:
    try:
        check_file(found.name, place)
    except BywireError as error:
        return error
    return None


def _list(*, as_json: bool) -> None:
    schemas = published_schemas()
    if as_json:
        told = [
            {"name": one.name, "file": one.file, "id": json.loads(one.text())["$id"], "path": str(one.path)}
            for one in schemas
        ]
        print_json(told)
        return
    out = console()
    for one in schemas:
        out.print(literal(f"{one.name:<13} {one.file:<24} {one.path}"))
    out.print(f"  next  [cyan]the first line of a file, for editors: {literal(f'{MODELINE}PATH')}[/]")
    out.print("  next  [cyan]bywire schema NAME FILE...[/] checks files, for CI")


def _print(faults: dict[Path, BywireError | None]) -> None:
    out = console()
    for place, fault in faults.items():
        if fault is None:
            out.print(f"[green]valid[/]   {literal(str(place))}")
        else:
            out.print(f"[bold red]wrong[/]   {literal(fault.message)}")
            out.print(f"  next  [cyan]{literal(fault.next_step)}[/]")
