"""`bywire witness`: the program that another host or user runs to remember a log. It needs no workspace."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from bywire.adapters.witness_server import serve as serve_http
from bywire.adapters.witness_state import WitnessState, create_witness, trust_log
from bywire.cli.approvals import as_json_option
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.wiring.witness_program import Cosigned, cosign_inbox

state_option = click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), required=True, help="The witness's own directory."
)


@click.group()
def witness() -> None:
    """Remember a log for somebody else: cosign its checkpoints, and never one that takes something back."""


@witness.command()
@state_option
@click.option("--name", required=True, help="The witness's name, such as witness.example/w1.")
@click.option("--log", "logs", multiple=True, help="A log to know, from `bywire log keys`; may be given again.")
@as_json_option
def init(state: Path, name: str, logs: Sequence[str], *, as_json: bool) -> None:
    """Make a witness: draw its key, and say which logs it knows."""
    _describe(create_witness(state, name, logs), state, as_json=as_json)


@witness.command()
@state_option
@click.argument("vkey")
@click.option("--only", is_flag=True, help="Believe no earlier key of that log any more: after its key was replaced.")
@as_json_option
def trust(state: Path, vkey: str, *, only: bool, as_json: bool) -> None:
    """Know one more log, or one more key of a log. A forked log is a new one: its origin differs."""
    _describe(trust_log(state, vkey, only=only), state, as_json=as_json)


@witness.command()
@state_option
@as_json_option
def show(state: Path, *, as_json: bool) -> None:
    """What this witness is called, and the size it last cosigned of each log."""
    _describe(WitnessState(state), state, as_json=as_json)


@witness.command()
@state_option
@as_json_option
def cosign(state: Path, *, as_json: bool) -> None:
    """Answer what logs have left in the inbox, once. Exit 1 when something was refused."""
    answers = cosign_inbox(WitnessState(state))
    if as_json:
        print_json([msgspec.to_builtins(answer) for answer in answers])
    else:
        _print_answers(answers)
    finish(EXIT_DENIED if any(answer.code for answer in answers) else EXIT_OK)


@witness.command()
@state_option
@click.option("--listen", default="127.0.0.1:0", show_default=True, help="A loopback address; port 0 is a free one.")
def serve(state: Path, listen: str) -> None:
    """Answer over HTTP (C2SP tlog-witness) until interrupted."""
    serve_http(WitnessState(state), listen, lambda url: click.echo(f"listening {url}"))


def _print_answers(answers: Sequence[Cosigned]) -> None:
    out = console()
    for answer in answers:
        said = literal(answer.origin)
        if answer.code:
            out.print(f"[bold red]refused[/]  {said}: {answer.code}: {literal(answer.message)}")
        else:
            out.print(f"[green]cosigned[/]  {said} at {answer.size} entries")
    if not answers:
        out.print("nothing new to cosign")


def _describe(opened: WitnessState, state: Path, *, as_json: bool) -> None:
    sizes = opened.sizes()
    key = opened.public.raw_public.hex()
    if as_json:
        print_json({"name": opened.name, "key": key, "vkey": opened.vkey, "state": str(state), "logs": sizes})
        return
    out = console()
    out.print(f"witness  {literal(opened.name)}")
    out.print(f"key      {key}")
    out.print(f"vkey     {literal(opened.vkey)}")
    for origin, size in sizes.items():
        out.print(f"log      {literal(origin)}, {size} entries cosigned")
    if not sizes:
        out.print(f"  next  bywire witness trust --state {literal(str(state))} VKEY, with a line of `bywire log keys`")
