"""`bywire log`: publish the log as files, check such files, prove, and ask the witnesses."""

from pathlib import Path

import click
import msgspec

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.ledger.checkpoint import parse_checkpoint
from bywire.ledger.witness import proof_lines
from bywire.wiring.auditing import prove_entry
from bywire.wiring.publishing import (
    compared,
    consistency,
    log_vkeys,
    publish_log,
    stored_note,
    verify_consistency_files,
    verify_directory,
)
from bywire.wiring.witness_report import WitnessReport

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
existing_directory = click.Path(exists=True, file_okay=False, path_type=Path)
new_file = click.Path(dir_okay=False, path_type=Path)
trust_option = click.option("--trust", type=existing_file, help="The trust root, from the operator.")
policy_option = click.option(
    "--witness-policy", type=existing_file, help="Which witnesses must have cosigned (C2SP tlog-policy)."
)


@click.group()
def log() -> None:
    """The transparency log: publish, prove, check, ask its witnesses."""


@log.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@as_json_option
@click.pass_obj
def publish(place: Place, directory: Path, *, as_json: bool) -> None:
    """Write the log to DIRECTORY as C2SP tlog-tiles files, for any static web server. Only what is new is written."""
    with workspace(place) as opened:
        checkpoint = publish_log(opened, directory)
        trust = opened.directory.path / "trust.json"
    if as_json:
        print_json({"directory": str(directory), "size": checkpoint.size, "root": checkpoint.root.hex()})
        return
    said = literal(str(directory))
    console().print(f"published {checkpoint.size} entries to {said}, root {checkpoint.root.hex()[:16]}")
    console().print(f"  next  bywire log verify-tiles {said} --trust {literal(str(trust))}")


@log.command("verify-tiles")
@click.argument("directory", type=existing_directory)
@trust_option
@policy_option
@click.option("--compare", is_flag=True, help="Compare with this workspace's own log, too.")
@as_json_option
@click.pass_obj
def verify_tiles(
    place: Place, directory: Path, trust: Path | None, witness_policy: Path | None, *, compare: bool, as_json: bool
) -> None:
    """Check a published log from its files alone. Exit 0 only when everything verified."""
    report = verify_directory(directory, trust, witness_policy)
    if compare:
        with workspace(place, check=False) as opened:
            report = compared(opened, report)
    if as_json:
        print_json(msgspec.to_builtins(report))
    elif report.ok:
        console().print(f"[green]verified[/]  {literal(report.message)} ({report.files} files)")
        for name in report.witnesses:
            console().print(f"  witness  {literal(name)}")
    else:
        where = f" ({literal(report.path)})" if report.path else ""
        _refused(report.code, report.message, where)
    finish(EXIT_OK if report.ok else EXIT_DENIED)


@log.command()
@click.option("--size", type=click.IntRange(0), help="Of which tree size (default: the newest).")
@as_json_option
@click.pass_obj
def checkpoint(place: Place, size: int | None, *, as_json: bool) -> None:
    """Print a published checkpoint: a signed note (C2SP tlog-checkpoint)."""
    with workspace(place) as opened:
        note = stored_note(opened, size)
    if as_json:
        found = parse_checkpoint(note)
        print_json({"origin": found.origin, "size": found.size, "root": found.root.hex(), "note": note})
    else:
        click.echo(note, nl=False)


@log.command()
@as_json_option
@click.pass_obj
def keys(place: Place, *, as_json: bool) -> None:
    """Print the log's verifier keys, to hand to a witness."""
    with workspace(place, check=False) as opened:
        found = log_vkeys(opened)
    if as_json:
        print_json(list(found))
    else:
        click.echo("\n".join(found))


@log.command("consistency")
@click.option("--from", "size1", type=click.IntRange(0), required=True, help="The earlier tree size.")
@click.option("--to", "size2", type=click.IntRange(0), help="The later tree size (default: the newest published).")
@as_json_option
@click.pass_obj
def consistency_command(place: Place, size1: int, size2: int | None, *, as_json: bool) -> None:
    """Print the proof that the log of one size extends the log of another: one base64 hash a line (RFC 6962 2.1.2)."""
    with workspace(place) as opened:
        found = consistency(opened, size1, size2)
    if as_json:
        proof = [hashed.hex() for hashed in found.proof]
        roots = {"root_from": found.root1.hex(), "root_to": found.root2.hex()}
        print_json({"origin": found.origin, "from": found.size1, "to": found.size2, **roots, "proof": proof})
    else:
        click.echo(proof_lines(found.proof), nl=False)


@log.command("verify-consistency")
@click.argument("old", type=existing_file)
@click.argument("new", type=existing_file)
@click.argument("proof", type=existing_file)
@trust_option
@as_json_option
def verify_consistency(old: Path, new: Path, proof: Path, trust: Path | None, *, as_json: bool) -> None:
    """Check, from files, that checkpoint NEW extends checkpoint OLD by PROOF. Exit 0 only when it does."""
    report = verify_consistency_files(old, new, proof, trust)
    if as_json:
        print_json(msgspec.to_builtins(report))
    elif report.ok:
        console().print(f"[green]verified[/]  {literal(report.message)}")
    else:
        _refused(report.code, report.message)
    finish(EXIT_OK if report.ok else EXIT_DENIED)


@log.command()
@click.argument("index", type=click.IntRange(0))
@click.option("-o", "--output", type=new_file, required=True, help="The file to write; by custom *.tlog-proof.")
@click.option("--content", type=new_file, help="Also write what the entry stands for, byte for byte.")
@as_json_option
@click.pass_obj
def prove(place: Place, index: int, output: Path, content: Path | None, *, as_json: bool) -> None:
    """Write the proof that entry INDEX is in the log, as C2SP tlog-proof text."""
    with workspace(place) as opened:
        text, stands_for = prove_entry(opened, index)
        trust = opened.directory.path / "trust.json"
    output.write_text(text)
    written = content is not None and stands_for is not None
    if content is not None and stands_for is not None:
        content.write_bytes(stands_for)
    if as_json:
        shown = str(content) if written else None
        print_json({"index": index, "file": str(output), "content": shown, "trust": str(trust)})
        return
    console().print(f"proved entry {index} in {literal(str(output))}")
    if content is not None and not written:
        console().print("  what it stands for is not stored any more; the proof of the entry remains")
    more = f" --content {literal(str(content))}" if written else ""
    console().print(f"  next  bywire audit verify {literal(str(output))} --trust {literal(str(trust))}{more}")


@log.command()
@as_json_option
@click.pass_obj
def witnesses(place: Place, *, as_json: bool) -> None:
    """Ask every witness again, and say how far behind they are. Exit 1 while too few have seen the log."""
    with workspace(place) as opened:
        opened.cosigned(opened.publish(), again=True)
        report = opened.witness_report()
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _print_witnesses(report)
    finish(EXIT_DENIED if report.overdue else EXIT_OK)


def _print_witnesses(report: WitnessReport) -> None:
    out = console()
    for one in report.witnesses:
        state = f"[yellow]{literal(one.problem)}[/]" if one.problem else "[green]answers[/]"
        out.print(f"{one.size:>8}  {literal(one.name)}  {literal(one.place)}  {state}")
    out.print(literal(report.says))
    if not report.witnesses:
        out.print(f"  next  {literal(report.fix)}")
    if report.overdue:
        out.print("[bold red]overdue[/]  nothing new is exposed until they have caught up; retreats stay possible")


def _refused(code: str, message: str, where: str = "") -> None:
    console().print(f"[bold red]refused[/]  {code}: {literal(message)}{where}")
    if code == "signer_untrusted":
        console().print("  next  get trust.json from the operator and add --trust trust.json")
