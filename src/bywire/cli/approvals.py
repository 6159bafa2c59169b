"""`bywire approvals`: what waits for a person, and the person's answer, signed with their own key."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click

from bywire.cli.approval_page import moment, print_line, print_packet
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.principal import KeyRole
from bywire.seal.keys import Signer
from bywire.wiring.approval_view import summary
from bywire.wiring.approving import (
    decide_approval,
    found_row,
    person_key,
    principal_of,
    progress,
    remind,
    revoke_approval,
)
from bywire.wiring.identities import open_signer
from bywire.wiring.workspace import Workspace

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


key_option = click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The person's key file, when it is kept elsewhere.",
)


ssh_agent_option = click.option(
    "--ssh-agent", default="", help="Sign with a key that ssh-agent holds: its comment, or SHA256:..."
)


@click.group()
def approvals() -> None:
    """Requests that need a person: list, show, approve, deny, revoke, remind."""


@approvals.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Every request, newest first."""
    with workspace(place) as opened:
        now_ms = opened.clock.now_ms()
        rows = [(row, progress(opened, row, now_ms)) for row in opened.approvals.rows()]
    if as_json:
        print_json([summary(row, standing, now_ms) for row, standing in rows])
        return
    for row, standing in rows:
        print_line(row, standing, now_ms)
    if not rows:
        console().print("nothing waits for approval")


@approvals.command()
@click.argument("approval_id")
@as_json_option
@click.pass_obj
def show(place: Place, approval_id: str, *, as_json: bool) -> None:
    """The whole packet: exactly what a signature would cover."""
    with workspace(place) as opened:
        row, now_ms = found_row(opened.approvals.row(approval_id), approval_id), opened.clock.now_ms()
        standing = progress(opened, row, now_ms)
    if as_json:
        told = summary(row, standing, now_ms)
        print_json({**told, "packet": row.packet.as_json(), "packet_digest": row.packet.digest})
        return
    print_packet(row, standing, now_ms)


@approvals.command()
@click.argument("approval_id")
@click.option("--as", "person", required=True, help="Who approves, e.g. oncall.")
@click.option("--role", default="", help="The role you approve in (default: your first that fits).")
@click.option("--reason", default="", help="Why; kept with the approval.")
@key_option
@ssh_agent_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json_option
@click.pass_obj
def approve(
    place: Place,
    approval_id: str,
    person: str,
    role: str,
    reason: str,
    key: Path | None,
    ssh_agent: str,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Sign the packet: this action, this evidence, this policy, until it expires."""
    said = _Said(approval_id, "approved", person, role, reason)
    _decide(place, said, lambda opened: signs(opened, key, ssh_agent), yes=yes, as_json=as_json)


@approvals.command()
@click.argument("approval_id")
@click.option("--as", "person", required=True, help="Who denies.")
@click.option("--role", default="", help="The role you deny in.")
@click.option("--reason", default="", help="Why; kept with the denial.")
@key_option
@ssh_agent_option
@as_json_option
@click.pass_obj
def deny(
    place: Place,
    approval_id: str,
    person: str,
    role: str,
    reason: str,
    key: Path | None,
    ssh_agent: str,
    *,
    as_json: bool,
) -> None:
    """Sign a refusal; one settles the request."""
    said = _Said(approval_id, "denied", person, role, reason)
    _decide(place, said, lambda opened: signs(opened, key, ssh_agent), yes=True, as_json=as_json)


@approvals.command()
@click.argument("approval_id")
@click.option("--as", "person", required=True, help="Who takes it back.")
@click.option("--reason", required=True, help="Why; kept with the revocation.")
@key_option
@ssh_agent_option
@as_json_option
@click.pass_obj
def revoke(
    place: Place, approval_id: str, person: str, reason: str, key: Path | None, ssh_agent: str, *, as_json: bool
) -> None:
    """Take an approval back: nothing more is started under it. Pre-authorised retreats stay possible."""
    with workspace(place) as opened:
        row = found_row(opened.approvals.row(approval_id), approval_id)
        entry = revoke_approval(opened, row, person, reason, signs(opened, key, ssh_agent))
    result = {"id": approval_id, "revoked_by": principal_of(person), "entry": entry}
    if as_json:
        print_json(result)
        return
    console().print(f"[green]revoked[/] {approval_id} by {literal(principal_of(person))}, ledger entry #{entry}")
    console().print("what already runs under it stops at its next step; give traffic back now: bywire rollback")


@approvals.command("remind")
@as_json_option
@click.pass_obj
def remind_(place: Place, *, as_json: bool) -> None:
    """Record the reminders that are due and say who should act by when. Sends nothing by itself."""
    with workspace(place) as opened:
        found = remind(opened)
        configured = bool(opened.operator.reminders.after_seconds or opened.operator.reminders.escalate_to)
    if as_json:
        print_json(
            [
                {
                    "id": item.reminder.approval,
                    "reminder": item.reminder.name,
                    "roles": list(item.reminder.roles),
                    "persons": list(item.persons),
                    "act_by_ms": item.reminder.act_by_ms,
                    "entry": item.entry,
                }
                for item in found
            ]
        )
        return
    for item in found:
        reminder = item.reminder
        who = ", ".join(item.persons) or f"somebody who holds {' or '.join(reminder.roles) or 'a role'}"
        kind = "escalated" if reminder.escalates else "reminder"
        console().print(f"{kind:<10}{reminder.approval}  {literal(f'{who}: answer by {moment(reminder.act_by_ms)}')}")
    if not found:
        more = "" if configured else "; reminders are configured in operator.yaml under reminders"
        console().print(f"nobody is to be reminded now{more}")


@approvals.command()
@click.option("--as", "person", required=True, help="Whose key, e.g. oncall.")
@as_json_option
@click.pass_obj
def protect(place: Place, person: str, *, as_json: bool) -> None:
    """Put a passphrase on an approver's key, or change it."""
    secret = str(click.prompt("New passphrase", hide_input=True, confirmation_prompt=True)).encode()
    with workspace(place) as opened:
        opened.keys.protect(KeyRole.APPROVER, principal_of(person), secret, passphrase)
    if as_json:
        print_json({"protected": principal_of(person)})
    else:
        console().print(f"the key of {literal(principal_of(person))} now needs its passphrase")


def signs(opened: Workspace, key: Path | None, ssh_agent: str = "") -> Callable[[str], Signer]:
    """How a person signs here: with a key in ssh-agent, the key file they brought, or theirs of this workspace."""
    if ssh_agent and key is not None:
        raise click.UsageError("choose one of --key and --ssh-agent")
    if ssh_agent:
        return lambda principal: open_signer(opened, principal, ssh_agent)
    return lambda principal: person_key(opened, principal, passphrase, key)


def passphrase() -> bytes:
    """Ask on the terminal; a key without one never gets here."""
    return str(click.prompt("Passphrase of the approver key", hide_input=True)).encode()


class _Said(NamedTuple):
    """A person's answer, before it is signed."""

    approval_id: str
    verdict: str
    person: str
    role: str
    reason: str


def _decide(
    place: Place, said: _Said, signs_with: Callable[[Workspace], Callable[[str], Signer]], *, yes: bool, as_json: bool
) -> None:
    about, who = said.approval_id, principal_of(said.person)
    with workspace(place) as opened:
        row, now_ms = found_row(opened.approvals.row(about), about), opened.clock.now_ms()
        if not as_json:
            print_packet(row, progress(opened, row, now_ms), now_ms)
        if not yes and not click.confirm("Sign this?", default=False):
            finish(EXIT_DENIED)
        entry = decide_approval(opened, row, who, said.role, said.reason, said.verdict, signs_with(opened))
        row = found_row(opened.approvals.row(about), about)
        standing = progress(opened, row, now_ms)
    quorum = {"needed": row.packet.quorum, "have": standing.counted}
    if as_json:
        print_json(
            {"id": about, "verdict": said.verdict, "by": who, "entry": entry, "state": row.verdict, "quorum": quorum}
        )
        return
    console().print(f"[green]{said.verdict}[/] {about} by {literal(who)}, ledger entry #{entry}")
    if row.verdict == "pending":
        others = ", ".join(standing.may_answer) or "nobody who could; see people in operator.yaml"
        console().print(f"{standing.counted} of {row.packet.quorum} persons agreed; waits for {literal(others)}")
