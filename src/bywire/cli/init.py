"""`bywire init`."""

import click
import msgspec

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.wiring.initialising import Initialised, initialise


@click.command()
@click.option("--approver", default="oncall", show_default=True, help="Who approves; never the agents' owner.")
@click.option("--passphrase", is_flag=True, help="Protect the approver's key with a passphrase (asked for).")
@as_json_option
@click.pass_obj
def init(place: Place, approver: str, *, passphrase: bool, as_json: bool) -> None:
    """Prepare a repository: bywire.yaml and an operator directory outside it. Safe to run again."""
    secret = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True).encode() if passphrase else None
    made = initialise(place.repo, place.operator, approver=approver, passphrase=secret)
    if as_json:
        print_json(msgspec.to_builtins(made))
    else:
        _print(made)


def _print(made: Initialised) -> None:
    out = console()
    found, intent = made.findings, made.intent
    out.print(f"service    {made.service} ({', '.join(found.languages) or 'language not recognised'})")
    for label, command in (("test", intent.test), ("build", intent.build), ("start", intent.start)):
        shown = " ".join(command.run) if command else "not found: fill it in"
        out.print(f"{label:<10} {literal(shown)}")
    verb = "written" if made.intent_written else "kept as it was"
    out.print(f"intent     {literal(made.intent_file)} ({verb})")
    out.print(
        f"operator   {literal(made.operator_dir)}: keys, policy, tiers and limits; keep it out of every repository"
    )
    if made.approver_made:
        out.print(f"approver   {made.approver}; hand {literal(made.approver_key)} to that person")
    else:
        out.print("approver   as before; a further person's key: [cyan]bywire keys rotate approver person:NAME[/]")
    out.print("next       read bywire.yaml, commit it, then: [cyan]bywire deliver --goal 'first release'[/]")
