"""`bywire reconcile`: what changed without bywire, who answers for it, and what is still unknown."""

from pathlib import Path
from typing import Any

import click
import msgspec

from bywire.cli.approvals import as_json_option, key_option, passphrase
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.wiring import owning
from bywire.wiring.owning import Answering
from bywire.wiring.reconciling import OpenIntent, Outside, Recorded, Report
from bywire.wiring.reconciling import reconcile as run

person_option = click.option("--as", "person", required=True, help="Who answers for it, e.g. oncall.")


@click.group(invoke_without_command=True)
@as_json_option
@click.pass_context
def reconcile(context: click.Context, *, as_json: bool) -> None:
    """Compare the target with the ledger. Exit 1 while something unexplained, or unknown, waits for a person."""
    if context.invoked_subcommand is not None:
        return
    with workspace(context.obj) as opened:
        report = run(opened)
    if as_json:
        print_json(_as_json(report))
    else:
        _print(report)
    finish(EXIT_OK if report.settled else EXIT_DENIED)


@reconcile.command()
@click.argument("finding")
@person_option
@click.option("--explanation", required=True, help="Who did it, and why; kept in the ledger.")
@key_option
@as_json_option
@click.pass_obj
def own(place: Place, finding: str, person: str, explanation: str, key: Path | None, *, as_json: bool) -> None:
    """Sign for an unexplained change, as the person who answers for it."""
    who = Answering(person, passphrase, key)
    with workspace(place) as opened:
        entry = owning.own(opened, finding, who, explanation)
    if as_json:
        print_json({"finding": finding, "owner": who.principal, "entry": entry})
    else:
        console().print(f"[green]owned[/] {literal(finding)} by {literal(who.principal)}, ledger entry #{entry}")


@reconcile.command()
@click.argument("intent")
@person_option
@click.option("--happened", type=click.Choice(["yes", "no"]), required=True, help="Whether the effect took place.")
@click.option("--reason", required=True, help="How you know; kept in the ledger.")
@key_option
@as_json_option
@click.pass_obj
def settle(
    place: Place, intent: str, person: str, happened: str, reason: str, key: Path | None, *, as_json: bool
) -> None:
    """Say how an INTENT ended that nothing but a person can settle."""
    who = Answering(person, passphrase, key)
    with workspace(place) as opened:
        outcome = owning.settle(opened, intent, who, reason, happened=happened == "yes")
    if as_json:
        print_json({"intent": intent, "status": outcome.status, "by": who.principal, "entry": outcome.entry})
    else:
        said = literal(f"{intent} by {who.principal}")
        console().print(f"[green]settled[/] as {outcome.status}: {said}, ledger entry #{outcome.entry}")


def _print(report: Report) -> None:
    out = console()
    for item in report.findings:
        if not item.owner:
            _print_finding(item, new=item.finding.id in report.new)
    for intent in report.open_intents:
        _print_intent(intent)
    if report.outside is not None:
        _print_outside(report.outside)
    owned = [item for item in report.findings if item.owner]
    for item in owned:
        out.print(f"[dim]owned[/]    {item.finding.id}  {literal(f'{item.owner}: {item.explanation}')}")
    seen = report.coverage
    parts = [f"{seen.mediated} of {seen.changes} changes of the target went through bywire ({seen.share:.0%})"]
    if seen.unexplained or seen.out_of_sight:
        parts.append(f"{seen.unexplained} did not, {seen.out_of_sight} are out of sight; findings owned: {len(owned)}")
    if report.advised:
        parts.append(f"{report.advised} answers were advice only, and what became of them is not known here")
    out.print(f"coverage {'; '.join(parts)}")


def _print_finding(item: Recorded, *, new: bool) -> None:
    out = console()
    seen = "new" if new else "still open"
    out.print(f"[bold red]finding[/]  {item.finding.id}  {item.finding.kind}, {seen}, ledger entry #{item.entry}")
    out.print(f"  fact   {literal(item.finding.says)}")
    out.print(f"  next   [cyan]{literal(item.finding.next_step)}[/]")


def _print_intent(intent: OpenIntent) -> None:
    out = console()
    told = {"did": "the target did it", "refused": "the target refused it", "nothing": "the target knows nothing of it"}
    out.print(f"[yellow]open[/]     {literal(intent.key)}")
    out.print(f"  fact   {intent.tool} is {intent.state}; {told.get(intent.target, 'nobody was asked')}")
    out.print(f"  next   [cyan]{literal(intent.next_step)}[/]")


def _print_outside(outside: Outside) -> None:
    out = console()
    count = f"{len(outside.commits)}{' or more' if outside.more else ''}"
    out.print(f"[yellow]outside[/]  commits of {literal(outside.branch)} that no delivery carried: {count}")
    for commit in outside.commits:
        out.print(f"  {commit['commit'][:12]}  {literal(commit['author'])}: {literal(commit['says'])}")
    out.print("  next   [cyan]review them; bywire deliver --goal GOAL carries them through the gate[/]")


def _as_json(report: Report) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(report)
    plain["coverage"]["share"] = report.coverage.share
    plain["unexplained"] = [item.finding.id for item in report.unexplained]
    return plain
