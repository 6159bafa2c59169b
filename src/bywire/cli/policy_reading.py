"""`bywire policy explain` and `bywire policy diff`: what a rule says, and what another policy would say."""

import json
from pathlib import Path

import click
import msgspec

from bywire.adapters.operator_dir import operator_path
from bywire.adapters.sqlite_ledger import open_reader
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, denial, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.errors import ConfigError
from bywire.policy.difference import Delta, Difference
from bywire.policy.examination import Written
from bywire.wiring.auditing import find_decision
from bywire.wiring.policy_review import (
    Compared,
    Explained,
    compare_policies,
    explain_input,
    explain_recorded,
    policy_files,
    recorded_since,
)
from bywire.wiring.workspace import DATABASE_FILE

ACTION = "data.bywire.action.decision"
NAMES_SHOWN_MAX = 12


@click.command()
@click.argument("decision", required=False)
@click.option(
    "--input",
    "input_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An input document to decide, instead of a recorded decision.",
)
@click.option(
    "--bundle",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Decide it with this policy (default: the operator's).",
)
@click.option("--entrypoint", default=ACTION, show_default=True, help="What to ask.")
@as_json_option
@click.pass_obj
def explain(
    place: Place, decision: str | None, input_file: Path | None, bundle: Path | None, entrypoint: str, *, as_json: bool
) -> None:
    """Which rules made a decision, where they are written, and on which facts.

    DECISION: an id, its beginning, or a ledger index; or give --input FILE.
    """
    if (decision is None) is (input_file is None):
        raise click.UsageError("name a recorded DECISION, or give --input FILE")
    if input_file is not None:
        chosen = bundle or operator_path(place.repo, given=place.operator) / "policy"
        explained = explain_input(chosen, entrypoint, input_file)
    else:
        explained = _recorded(place, str(decision))
    if as_json:
        print_json(msgspec.to_builtins(explained))
    else:
        _print_explained(explained)


@click.command()
@click.argument("before", default="active")
@click.argument("after", default="")
@click.option("--since", type=int, help="Decide the recorded decisions again from this ledger entry on.")
@as_json_option
@click.pass_obj
def diff(place: Place, before: str, after: str, since: int | None, *, as_json: bool) -> None:
    """What AFTER (default: the operator's copy) adds to, removes from and changes in BEFORE (default: active).

    Each is a directory, `shipped`, `active`, or the digest of a policy that was active. Exit 1 when they differ.
    """
    after = after or str(operator_path(place.repo, given=place.operator) / "policy")
    if since is None and all(Path(name).is_dir() or name == "shipped" for name in (before, after)):
        found = compare_policies(policy_files(before, None), policy_files(after, None))
    else:
        with workspace(place) as opened:
            opened.bundle()
            recorded = recorded_since(opened, since) if since is not None else ()
            found = compare_policies(policy_files(before, opened), policy_files(after, opened), recorded)
    if as_json:
        print_json(
            {
                "before": {"digest": found.before.digest, "revision": found.before.revision},
                "after": {"digest": found.after.digest, "revision": found.after.revision},
                **msgspec.to_builtins(found.difference),
                "replayed": found.replayed,
                "decisions": msgspec.to_builtins(found.changed),
                "findings": list(found.after.findings),
            }
        )
    else:
        _print_difference(found)
    finish(EXIT_OK if found.difference.same and not found.changed else EXIT_DENIED)


def _recorded(place: Place, name: str) -> Explained:
    with workspace(place) as opened:
        opened.bundle()
        reader = open_reader(opened.directory.path / DATABASE_FILE)
        try:
            found = find_decision(reader, name)
        finally:
            reader.close()
        if found is None:
            raise ConfigError(
                f"no recorded decision {name}",
                code="not_found",
                next_step="bywire status DELIVERY lists ledger entries",
            )
        return explain_recorded(opened, found)


def _print_explained(explained: Explained) -> None:
    out, decided = console(), explained.decision
    entry = f", ledger entry #{explained.entry}" if explained.entry >= 0 else ", not recorded"
    out.print(f"decision   {decided.id}{entry}")
    out.print(f"answer     [bold]{decided.effect}[/] by {literal(decided.entrypoint)}")
    for reason in decided.reasons:
        rule, fact, following = denial({"rule": reason.rule, "facts": reason.facts})
        hard = " (hard: no approval lifts it)" if reason.hard else ""
        out.print(f"rule       [bold]{literal(rule)}[/]{hard}")
        out.print(f"  says     {literal(fact)}")
        for name, value in sorted(reason.facts.items()):
            out.print(f"  fact     {literal(f'{name}: {json.dumps(value, sort_keys=True)}')}")
        for written in explained.rules.get(reason.rule, ()):
            _print_written(written)
        out.print(f"  next     {literal(following)}")
    for obligation in decided.obligations:
        out.print(f"obliges    {literal(json.dumps(obligation, sort_keys=True))}")
    out.print(f"policy     {decided.bundle_digest[:16]}   input {decided.input_digest[:16]}   {decided.engine}")


def _print_written(written: Written) -> None:
    console().print(f"  written  {literal(written.place)}")
    for line in written.text.splitlines():
        console().print(f"           [dim]{literal(line.expandtabs(4)) or ' '}[/]")


def _print_difference(found: Compared) -> None:
    out = console()
    for label, side in (("before", found.before), ("after", found.after)):
        out.print(f"{label:<10} revision {side.revision}, {side.digest[:16]}, {len(side.rules)} rules")
    difference = found.difference
    print_deltas(difference)
    if difference.same:
        out.print("[green]the same[/]   no rule, table or message differs")
    for line in found.after.findings:
        out.print(f"[bold red]wrong[/]      {literal(line)}")
    for item in found.changed:
        out.print(f"[yellow]changes[/]    entry #{item.entry}  {literal(f'{item.principal} {item.tool}')}")
        out.print(f"           {literal(f'{item.was} by {_names(item.rules_were)}')}")
        out.print(f"        -> {literal(f'{item.would_be} by {_names(item.rules_would_be)}')}")
    if found.replayed:
        out.print(f"replayed   {found.replayed} recorded decisions, {len(found.changed)} come out otherwise")


def print_deltas(difference: Difference, *, definitions: bool = True) -> None:
    """A line for each kind of thing that was added, removed or changed."""
    for label, delta in (
        ("rules", difference.rules),
        ("definitions", difference.definitions),
        ("tables", difference.tables),
        ("messages", difference.messages),
        ("entrypoints", difference.entrypoints),
    ):
        if definitions or label != "definitions":
            _print_delta(label, delta)


def _print_delta(label: str, delta: Delta) -> None:
    for sign, style, names in (
        ("+", "green", delta.added),
        ("-", "red", delta.removed),
        ("~", "yellow", delta.changed),
    ):
        if names:
            console().print(f"{label:<10} [{style}]{sign}[/] {literal(_names(names))}")


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMES_SHOWN_MAX} more" if len(names) > NAMES_SHOWN_MAX else ""
    return ", ".join(names[:NAMES_SHOWN_MAX]) + more
