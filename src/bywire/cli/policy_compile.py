"""`bywire policy compile`: agent policies in YAML or JSON become Rego in the operator's copy, ready to be signed."""

from pathlib import Path

import click
import msgspec

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.policy_reading import print_deltas
from bywire.cli.workspace import workspace
from bywire.config.agent_policy import DIRECTORY
from bywire.wiring.policy_compiling import Compiled, compile_policies


@click.command("compile")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the whole candidate into this new directory instead of the operator's copy.",
)
@as_json_option
@click.pass_obj
def compile_(place: Place, out: Path | None, *, as_json: bool) -> None:
    """Compile agent-policies/ (YAML or JSON) of the operator directory to Rego, with tests, and check the whole.

    Nothing is written unless the policy is fit to decide. What was compiled earlier and lost its file is removed.
    """
    with workspace(place) as opened:
        opened.bundle()
        found = compile_policies(opened, out)
    if as_json:
        print_json(
            {
                "agents": list(found.agents),
                "warnings": list(found.warnings),
                "before": {"digest": found.before.digest, "revision": found.before.revision},
                "after": {"digest": found.after.digest, "revision": found.after.revision},
                **msgspec.to_builtins(found.difference),
                "written": found.written,
            }
        )
    else:
        _print(found, out)


def _print(found: Compiled, out: Path | None) -> None:
    out_console = console()
    for warning in found.warnings:
        out_console.print(f"[yellow]warning[/]    {literal(warning)}")
    if not found.written:
        said = f"{len(found.agents)} agent policies" if found.agents else f"there is no policy in {DIRECTORY}/"
        out_console.print(f"[green]the same[/]   {said}; revision {found.before.revision} has them already")
        return
    print_deltas(found.difference, definitions=False)
    proved = len(found.after.tests.passed) if found.after.tests else 0
    out_console.print(f"compiled   {literal(', '.join(found.agents) or 'no agent')}; {proved} tests passed")
    out_console.print(
        f"written    {literal(found.written)}, revision {found.after.revision}, {found.after.digest[:16]}"
    )
    where = f" {out}" if out else ""
    signing = f"bywire policy sign{where} --as PERSON, then " if out else "bywire policy sign --as PERSON, then "
    out_console.print(f"  next     [cyan]{literal(f'{signing}bywire policy activate{where}')}[/]")
