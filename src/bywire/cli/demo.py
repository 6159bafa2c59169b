"""`bywire demo`: a real service, a real change, every gate. Runs the same commands a person would type."""

from pathlib import Path

import click

from bywire.adapters.demo_scene import Scene
from bywire.cli.approvals import as_json_option
from bywire.cli.demo_acts import Acts
from bywire.cli.output import EXIT_ERROR, EXIT_OK, finish, print_json


@click.command()
@click.option("--healthy", "act", flag_value="healthy", help="A change without a bug: promoted at the first try.")
@click.option("--attack", "act", flag_value="attack", help="A branch that tries to get round the envelope.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where to build the scene; an earlier demo there is replaced.",
)
@as_json_option
def demo(act: str | None, directory: Path, *, as_json: bool) -> None:
    """A real service behind a real router, with real traffic: denied, repaired, rolled back, tried again, proved."""
    acts = Acts(Scene(directory.resolve()), quiet=as_json)
    try:
        story = {"healthy": acts.healthy, "attack": acts.attack}.get(act or "", acts.whole)
        result = story()
    finally:
        acts.close()
    if as_json:
        print_json(result)
    finish(EXIT_OK if result["ok"] else EXIT_ERROR)
