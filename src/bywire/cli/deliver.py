"""`bywire deliver`: one change, from goal to production, through every gate."""

import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from bywire.adapters import yaml_file
from bywire.adapters.clock import pause
from bywire.approvals.packet import Packet, differences
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import (
    EXIT_DENIED,
    EXIT_ERROR,
    EXIT_OK,
    EXIT_PENDING,
    console,
    finish,
    line,
    literal,
    print_denials,
    print_json,
)
from bywire.cli.workspace import workspace
from bywire.delivery.state import DeliveryState, Phase
from bywire.model.errors import ConfigError
from bywire.wiring.approving import Reminded, remind
from bywire.wiring.delivering import Delivering, WrittenPlan, run_to_rest
from bywire.wiring.workspace import Workspace

CODES = {
    Phase.SUCCESSFUL: EXIT_OK,
    Phase.DENIED: EXIT_DENIED,
    Phase.STOPPED: EXIT_DENIED,
    Phase.ROLLED_BACK: EXIT_DENIED,
    Phase.APPROVING: EXIT_PENDING,
}


@click.command()
@click.option("--goal", required=True, help="What this change is for; kept with everything it leads to.")
@click.option("--change", "branch", default="", help="The branch to deliver (default: the current one).")
@click.option(
    "--plan", "plan_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A rollout plan."
)
@click.option("--wait", "wait_seconds", default=0.0, help="Seconds to wait for an approval before exiting with 3.")
@click.option("--dry-run", is_flag=True, help="Every check, no effect.")
@as_json_option
@click.pass_obj
def deliver(
    place: Place, goal: str, branch: str, plan_file: Path | None, wait_seconds: float, *, dry_run: bool, as_json: bool
) -> None:
    """Plan, build, test, audit, approve and roll out a change. Run it again to continue where it stopped."""
    plan = read_plan(plan_file) if plan_file else None
    with workspace(place, take_over=True, lock="deliver") as opened:
        delivering = Delivering(opened, show=show_output if not as_json else lambda _: None)
        state = delivering.begin(goal, branch or opened.repository.current_branch(), dry_run=dry_run, plan=plan)
        story = Story(quiet=as_json, shown=0)
        story.resume(state)

        def seen(state: DeliveryState) -> None:
            story.tell(state)
            if state.phase is Phase.APPROVING:
                story.remind(remind(opened))

        state = run_to_rest(
            delivering,
            state,
            pause=pause,
            seen=seen,
            wait_seconds=wait_seconds,
            now_ms=opened.clock.now_ms,
        )
        packet = waiting_packet(opened, state)
    if as_json:
        print_json(summary(state))
    else:
        closing(state)
        print_misfit(packet)
    finish(CODES.get(state.phase, EXIT_ERROR))


def read_plan(path: Path) -> WrittenPlan:
    """A rollout plan file. ConfigError `plan_invalid`."""
    value = yaml_file.load(yaml_file.read_bytes(path), str(path))
    try:
        plan = msgspec.convert(value, WrittenPlan)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{path}: {error}",
            code="plan_invalid",
            next_step="a plan has version: 1, steps: [{weight, segments}], warm and origin",
        ) from error
    if plan.version != 1:
        raise ConfigError(
            f"{path}: version {plan.version} is not known", code="plan_invalid", next_step="write version: 1"
        )
    weights = [step.weight for step in plan.steps]
    if not weights or weights != sorted(set(weights)) or not all(1 <= weight <= 100 for weight in weights):
        raise ConfigError(
            f"{path}: steps must rise and lie between 1 and 100",
            code="plan_invalid",
            next_step="for example steps: [{weight: 5}, {weight: 50}, {weight: 100}]",
        )
    return plan


def show_output(text: str) -> None:
    """The end of a failing command's output, as text and nothing else."""
    for row in text.splitlines():
        console().print(f"        [dim]| {literal(row)}[/]")


class Story:
    """Prints each event of a delivery once."""

    def __init__(self, *, quiet: bool, shown: int) -> None:
        self._quiet = quiet
        self._shown = shown

    def resume(self, state: DeliveryState) -> None:
        """Begin a new story, or say where an earlier one is continued."""
        if len(state.events) > 1:
            self._shown = len(state.events)
            if not self._quiet:
                line(f"continuing {state.id} ({state.phase}); its story so far: bywire status {state.id}")
        self.tell(state)

    def tell(self, state: DeliveryState) -> None:
        """Print what is new."""
        if not self._quiet:
            for event in state.events[self._shown :]:
                line(event.text, event.entry, event.level)
        self._shown = len(state.events)

    def remind(self, due: tuple[Reminded, ...]) -> None:
        """Print the reminders that were recorded just now."""
        for item in due:
            if item.entry is not None and not self._quiet:
                who = ", ".join(item.persons) or " or ".join(item.reminder.roles)
                line(f"{item.reminder.approval} still waits for {who}", item.entry, "warn")


def summary(state: DeliveryState) -> dict[str, Any]:
    """A delivery as JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(state)
    plain.pop("rollout")
    plain.pop("limits")
    return {**plain, "exit_code": CODES.get(state.phase, EXIT_ERROR)}


_WORDS = {Phase.DENIED: "denied", Phase.STOPPED: "stopped", Phase.FAILED: "failed"}


def closing(state: DeliveryState) -> None:
    """What a person needs to know at the end, and what to do next."""
    out = console()
    if state.phase in {Phase.DENIED, Phase.STOPPED, Phase.FAILED}:
        for reason in state.reasons:
            print_denials([reason], next_for(state, str(reason.get("rule"))), word=_WORDS[state.phase])
    if state.phase is Phase.DENIED and state.recourse:
        for patch in state.recourse.get("patches", ()):
            out.print(f"fix     {literal(patch['path'])}: {literal(patch['explanation'])}")
        for command in state.recourse.get("commands", ()):
            following = f"{shlex.join(command['argv'])} --change {shlex.quote(fix_branch(state))}"
            out.print(f"fix     {literal(command['who'])}: [cyan]{literal(following)}[/]")
    if state.phase is Phase.ROLLED_BACK:
        for reason in state.reasons:
            out.print(f"why     {literal(str(reason['facts'].get('explanation', reason['rule'])))}")
        out.print("next    [cyan]bywire rollout report[/]")
    if state.phase is Phase.APPROVING:
        out.print(f"pending [cyan]bywire approvals approve {state.approval_id} --as NAME[/], then deliver again")


def waiting_packet(opened: Workspace, state: DeliveryState) -> tuple[Packet, Packet] | None:
    """The packet that waits and the one that was approved before it, when there is such a pair."""
    row = opened.approvals.row(state.approval_id) if state.phase is Phase.APPROVING else None
    before = opened.approvals.row(row.packet.supersedes) if row is not None and row.packet.supersedes else None
    return (before.packet, row.packet) if row is not None and before is not None else None


def print_misfit(pair: tuple[Packet, Packet] | None) -> None:
    """Why an earlier approval does not fit what is asked now."""
    if pair is not None:
        before, now = pair
        changed = differences(before, now)
        why = "was given for something else:" if changed else "does not count any more:"
        console().print(f"        {before.id} {why}")
        for text in changed or now.contrary[:1]:
            console().print(f"        {literal(text)}")


def fix_branch(state: DeliveryState) -> str:
    """The branch to continue with after a denial."""
    branch = (state.recourse or {}).get("fix_branch", "")
    return str(branch or state.branch)


def next_for(state: DeliveryState, rule: str) -> str:
    """The command that answers one reason of a denial; empty leaves the rule's own advice."""
    recourse = state.recourse or {}
    for command in recourse.get("commands", ()):
        if command["rule"] == rule:
            return f"{shlex.join(command['argv'])} --change {shlex.quote(fix_branch(state))}"
    if any(patch["rule"] == rule for patch in recourse.get("patches", ())):
        return f"bywire deliver --change {shlex.quote(fix_branch(state))} --goal {shlex.quote(state.goal)}"
    return ""
