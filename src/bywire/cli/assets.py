"""`bywire assets`: the producer's side of prompts, datasets and adapters."""

import click
import msgspec

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, print_json
from bywire.cli.workspace import workspace
from bywire.wiring.attesting import attest as attest_asset


@click.group()
def assets() -> None:
    """Assets of AI features: attest, as their producer."""


@assets.command()
@click.argument("name")
@click.option("--change", "branch", default="", help="The branch whose materials count (default: the current one).")
@as_json_option
@click.pass_obj
def attest(place: Place, name: str, branch: str, *, as_json: bool) -> None:
    """Make the asset again from its materials; sign its provenance only when the bytes are the same."""
    with workspace(place) as opened:
        made = attest_asset(opened, name, branch or opened.repository.current_branch())
    if as_json:
        print_json(msgspec.to_builtins(made))
    else:
        console().print(
            f"attested {made.name} sha256:{made.digest[:12]} at {made.commit[:12]}, ledger entry #{made.entry}"
        )
