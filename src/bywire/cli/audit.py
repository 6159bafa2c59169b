"""`bywire audit`: verify, replay, export."""

import sys
from pathlib import Path

import click
import msgspec
from rich.progress import Progress

from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.ledger.proof import ProofReport
from bywire.model.errors import ConfigError
from bywire.wiring.auditing import export as export_delivery
from bywire.wiring.auditing import replay_log, verify_file, verify_log
from bywire.wiring.delivering import deliveries

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Verify, replay and export what was decided."""


@audit.command()
@click.argument("file", type=existing_file, required=False)
@click.option(
    "--trust", type=existing_file, help="The trust root to check FILE against; from the operator, not the file."
)
@click.option(
    "--witness-policy",
    type=existing_file,
    help="Which witnesses must have cosigned FILE's checkpoint (C2SP tlog-policy); from the verifier, not the file.",
)
@click.option("--content", type=existing_file, help="What the entry of a tlog-proof FILE stands for.")
@as_json_option
@click.pass_obj
def verify(
    place: Place,
    file: Path | None,
    trust: Path | None,
    witness_policy: Path | None,
    content: Path | None,
    *,
    as_json: bool,
) -> None:
    """Verify the workspace's whole log, or an exported FILE (bywire-proof or C2SP tlog-proof).

    Exit 0 only when everything verified.
    """
    if file is not None:
        _verify_file(file, trust, witness_policy, content, as_json=as_json)
    quiet = as_json or not sys.stdout.isatty()
    with workspace(place, check=False) as opened, Progress(transient=True, disable=quiet) as bar:
        task = bar.add_task("verifying", total=None)
        report = verify_log(opened, lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        print_json(msgspec.to_builtins(report))
    elif report.ok:
        console().print(
            f"[green]verified[/]  {report.size} entries, {report.checkpoints} checkpoints, root {report.root[:16]}"
        )
        if report.erased:
            under = ", ".join(f"#{index}" for index in report.erased_under)
            console().print(f"          {report.erased} erased under retention statement {under}")
    elif report.fault is not None:
        console().print(
            f"[bold red]broken[/]  entry #{report.fault.index}: {literal(report.fault.detail)} ({report.fault.kind})"
        )
        console().print("  next  stop using this workspace; compare with a backup and the last published checkpoint")
    finish(EXIT_OK if report.ok else EXIT_DENIED)


@audit.command()
@as_json_option
@click.pass_obj
def replay(place: Place, *, as_json: bool) -> None:
    """Decide every recorded question again; exit 0 only when every answer is the same."""
    with workspace(place) as opened:
        report = replay_log(opened)
    if as_json:
        print_json({**msgspec.to_builtins(report), "ok": report.ok})
    elif report.ok:
        console().print(
            f"[green]replayed[/]  {report.decisions} decisions ({report.reads} reads), every answer the same"
        )
    else:
        for item in report.differences:
            said = literal(f"{item.field}: {item.recorded} -> {item.replayed}")
            console().print(f"[bold red]differs[/]  entry #{item.entry} {said}")
        for digest in report.unavailable:
            console().print(f"[bold red]missing[/]  policy bundle {literal(digest[:16])} is not in the log")
    finish(EXIT_OK if report.ok else EXIT_DENIED)


@audit.command()
@click.option("--delivery", default="", help="Which delivery (default: the newest).")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write."
)
@as_json_option
@click.pass_obj
def export(place: Place, delivery: str, output: Path, *, as_json: bool) -> None:
    """Write one file that a stranger can verify offline with your trust root."""
    with workspace(place) as opened:
        known = [state.id for state in deliveries(opened)]
        chosen = delivery or (known[-1] if known else "")
        if chosen not in known:
            raise ConfigError(f"there is no delivery {chosen or 'yet'}", code="not_found", next_step="bywire status")
        document = export_delivery(opened, chosen)
        trust = opened.directory.path / "trust.json"
    output.write_bytes(document)
    if as_json:
        print_json({"delivery": chosen, "file": str(output), "bytes": len(document), "trust": str(trust)})
    else:
        console().print(f"exported {chosen} to {literal(str(output))} ({len(document):,} bytes)")
        console().print(f"  next  bywire audit verify {literal(str(output))} --trust {literal(str(trust))}")


def _verify_file(
    file: Path, trust: Path | None, witness_policy: Path | None, content: Path | None, *, as_json: bool
) -> None:
    report = verify_file(file, trust, witness_policy, content)
    if as_json:
        said = {"ok": report.ok, "code": report.code, "message": report.message, "entries": len(report.entries)}
        print_json({**said, "witnesses": list(report.witnesses)})
    else:
        _print_report(report)
    finish(EXIT_OK if report.ok else EXIT_DENIED)


def _print_report(report: ProofReport) -> None:
    out = console()
    if report.ok:
        out.print(f"[green]verified[/]  {literal(report.message)}")
        for proved in report.entries:
            signer = proved.signer or "log"
            out.print(f"[dim]{'#' + str(proved.index):>6}[/]  {literal(proved.entry.kind):<18} {literal(signer)}")
        for name in report.witnesses:
            out.print(f"witness  {literal(name)}")
        return
    out.print(f"[bold red]refused[/]  {report.code}: {literal(report.message)}")
    if report.code == "signer_untrusted":
        out.print("  next  get trust.json from the operator and add --trust trust.json")
