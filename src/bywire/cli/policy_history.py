"""`bywire policy replay` and `bywire policy shadow report`: a policy against what was recorded."""

from pathlib import Path

import click
import msgspec

from bywire.adapters.knowledge_base import operator_policy
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.policy.replayed import LOOSER, STRICTER, Replay
from bywire.policy.shadow_report import ShadowReport, Suggestion
from bywire.wiring.policy_history import replay_candidate, shadow_report

GROUPS_SHOWN_MAX = 20
BAR_CHARS = 24
STYLES = {LOOSER: "bold red", STRICTER: "yellow"}
since_option = click.option("--since", default="7d", show_default=True, help="How far back: 30m, 12h, 7d.")


@click.command()
@since_option
@click.option(
    "--candidate",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The policy to try (default: the operator's copy).",
)
@as_json_option
@click.pass_obj
def replay(place: Place, since: str, candidate: Path | None, *, as_json: bool) -> None:
    """Decide what was recorded again with another policy, and show what would change.

    Exit 1 when anything comes out looser: what was denied or waited for a person would have gone on.
    """

    def progress(done: int) -> None:
        click.echo(f"replayed {done} decisions so far", err=True)

    with workspace(place) as opened:
        opened.bundle()
        chosen = candidate or opened.policies.directory
        found, outcome = replay_candidate(opened, operator_policy(chosen), since, progress)
    if as_json:
        print_json({"candidate": {"digest": found.digest, "revision": found.revision}, **msgspec.to_builtins(outcome)})
    else:
        console().print(f"candidate  {literal(str(chosen))}, revision {found.revision}, {found.digest[:16]}")
        _print_replay(outcome, since)
    finish(EXIT_DENIED if outcome.looser else EXIT_OK)


@click.command("report")
@since_option
@as_json_option
@click.pass_obj
def shadow_report_(place: Place, since: str, *, as_json: bool) -> None:
    """What rules on trial would have refused, whom, and which thresholds the record suggests."""
    with workspace(place) as opened:
        found = shadow_report(opened, since)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_report(found, since)


def _print_replay(outcome: Replay, since: str) -> None:
    out = console()
    for group in outcome.groups[:GROUPS_SHOWN_MAX]:
        style = STYLES.get(group.direction, "default")
        out.print(
            f"[{style}]{group.direction:<10}[/] {group.count:>6} x  {literal(f'{group.was} -> {group.would_be}')}"
        )
        examples = ", ".join(f"#{entry}" for entry in group.examples)
        out.print(f"             {literal(f'{group.rule}, {group.principal}')}, for example {examples}")
    if len(outcome.groups) > GROUPS_SHOWN_MAX:
        out.print(f"             and {len(outcome.groups) - GROUPS_SHOWN_MAX} more groups: --json")
    same = outcome.decisions - outcome.looser - outcome.stricter - outcome.otherwise
    out.print(
        f"replayed   {outcome.decisions} decisions of the last {since}: {same} the same, {outcome.stricter} stricter,"
        f" [bold]{outcome.looser} looser[/], {outcome.otherwise} for other reasons"
    )
    if outcome.groups:
        out.print(f"  next     [cyan]bywire explain {outcome.groups[0].examples[0]}[/] shows one of them")


def _print_report(found: ShadowReport, since: str) -> None:
    out = console()
    share = f"{found.ratio:.1%}"
    out.print(f"decisions  {found.decisions} in the last {since}, {found.blocked} refused by rules in force")
    out.print(f"on trial   [bold]{found.would_block}[/] more would have been refused ({share})")
    if not found.would_block:
        out.print("  next     [cyan]bywire policy shadow list[/] shows what is on trial")
        return
    _print_bars("rule", {item.rule: item.count for item in found.rules})
    _print_bars("agent", found.agents)
    for item in found.suggestions[:GROUPS_SHOWN_MAX]:
        about = f"{item.principal} {item.tool}: {item.subject}"
        out.print(f"suggests   [bold]{literal(item.rule)}[/], {literal(about)}")
        out.print(f"           {literal(_suggested(item))}")


def _print_bars(label: str, counts: dict[str, int]) -> None:
    most = max(counts.values(), default=1)
    for name, count in counts.items():
        bar = "\u2587" * max(1, round(BAR_CHARS * count / most))
        console().print(f"{label:<10} {count:>6} {bar:<{BAR_CHARS}} {literal(name)}")
        label = ""


def _suggested(item: Suggestion) -> str:
    hits = f"refused {item.hits} of {item.observed}"
    if item.percentile is not None:
        limit = f"the limit is {item.limit}; " if item.limit is not None else ""
        return f"{hits}: {limit}99 of 100 asked for at most {item.percentile}, the highest for {item.highest}"
    values = ", ".join(f"{value} ({count})" for value, count in item.values.items())
    return f"{hits}, most often {values}" if values else hits
