"""`bywire approvals`: what waits for a person, and the person's answer, signed with their own key."""

import json
from pathlib import Path
from typing import Any

import click

from bywire.adapters.sqlite_approvals import ApprovalRow
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, console, finish, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.errors import ConflictError
from bywire.model.principal import KeyRole
from bywire.wiring.approving import decide_approval

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


key_option = click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The person's key file, when it is kept elsewhere.",
)


@click.group()
def approvals() -> None:
    """Requests that need a person: list, show, approve, deny."""


@approvals.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Every request, newest first."""
    with workspace(place) as opened:
        rows, now_ms = opened.approvals.rows(), opened.clock.now_ms()
    if as_json:
        print_json([_summary(row, now_ms) for row in rows])
        return
    for row in rows:
        summary = _summary(row, now_ms)
        left = summary["expires_in_seconds"]
        when = f"{left} s left" if left else "expired"
        what = f"{row.packet.action['tool']} {row.packet.service} in {row.packet.environment}"
        asked = literal(f"{what}  asked by {row.packet.requester}, {when}")
        console().print(f"{row.packet.id}  {summary['state']:<8}  {asked}")
    if not rows:
        console().print("nothing waits for approval")


@approvals.command()
@click.argument("approval_id")
@as_json_option
@click.pass_obj
def show(place: Place, approval_id: str, *, as_json: bool) -> None:
    """The whole packet: exactly what a signature would cover."""
    with workspace(place) as opened:
        row, now_ms = _row(opened.approvals.row(approval_id), approval_id), opened.clock.now_ms()
    if as_json:
        print_json({**_summary(row, now_ms), "packet": row.packet.as_json(), "packet_digest": row.packet.digest})
        return
    _print_packet(row, now_ms)


@approvals.command()
@click.argument("approval_id")
@click.option("--as", "person", required=True, help="Who approves, e.g. oncall.")
@click.option("--role", default="", help="The role you approve in (default: your first that fits).")
@click.option("--reason", default="", help="Why; kept with the approval.")
@key_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json_option
@click.pass_obj
def approve(
    place: Place, approval_id: str, person: str, role: str, reason: str, key: Path | None, *, yes: bool, as_json: bool
) -> None:
    """Sign the packet: this action, this evidence, this policy, until it expires."""
    _decide(place, approval_id, person, role, reason, "approved", key, yes=yes, as_json=as_json)


@approvals.command()
@click.argument("approval_id")
@click.option("--as", "person", required=True, help="Who denies.")
@click.option("--role", default="", help="The role you deny in.")
@click.option("--reason", default="", help="Why; kept with the denial.")
@key_option
@as_json_option
@click.pass_obj
def deny(
    place: Place, approval_id: str, person: str, role: str, reason: str, key: Path | None, *, as_json: bool
) -> None:
    """Sign a refusal."""
    _decide(place, approval_id, person, role, reason, "denied", key, yes=True, as_json=as_json)


@approvals.command()
@click.option("--as", "person", required=True, help="Whose key, e.g. oncall.")
@as_json_option
@click.pass_obj
def protect(place: Place, person: str, *, as_json: bool) -> None:
    """Put a passphrase on an approver's key, or change it."""
    secret = str(click.prompt("New passphrase", hide_input=True, confirmation_prompt=True)).encode()
    with workspace(place) as opened:
        opened.keys.protect(KeyRole.APPROVER, f"person:{person}", secret, _passphrase)
    if as_json:
        print_json({"protected": f"person:{person}"})
    else:
        console().print(f"the key of person:{person} now needs its passphrase")


def _decide(
    place: Place,
    approval_id: str,
    person: str,
    role: str,
    reason: str,
    verdict: str,
    key: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    with workspace(place) as opened:
        row = _row(opened.approvals.row(approval_id), approval_id)
        if not as_json:
            _print_packet(row, opened.clock.now_ms())
        if not yes and not click.confirm("Sign this?", default=False):
            finish(EXIT_DENIED)
        entry = decide_approval(opened, row, person, role, reason, verdict, _passphrase, key)
    result = {"id": approval_id, "verdict": verdict, "by": f"person:{person}", "entry": entry}
    if as_json:
        print_json(result)
    else:
        console().print(f"[green]{verdict}[/] {approval_id} by person:{person}, ledger entry #{entry}")


def _passphrase() -> bytes:
    """Ask on the terminal; a key without one never gets here."""
    return str(click.prompt("Passphrase of the approver key", hide_input=True)).encode()


def _row(row: ApprovalRow | None, approval_id: str) -> ApprovalRow:
    if row is None:
        raise ConflictError(f"there is no approval {approval_id}", code="not_found", next_step="bywire approvals list")
    return row


def _summary(row: ApprovalRow, now_ms: int) -> dict[str, Any]:
    left = max(0, (row.packet.expires_at_ms - now_ms) // 1000)
    state = "expired" if row.verdict == "pending" and left == 0 else row.verdict
    return {
        "id": row.packet.id,
        "state": state,
        "action": row.packet.action["tool"],
        "action_digest": row.packet.action_digest,
        "service": row.packet.service,
        "environment": row.packet.environment,
        "requester": row.packet.requester,
        "expires_in_seconds": left,
        "uses_left": row.uses_left,
    }


def _print_packet(row: ApprovalRow, now_ms: int) -> None:
    packet, summary = row.packet, _summary(row, now_ms)
    lines = [
        ("action", f"{packet.action['tool']} on {packet.service} in {packet.environment} ({packet.tier} tier)"),
        ("requested by", packet.requester),
        ("target now", _brief(packet.target)),
        ("undo", packet.undo),
        ("expected", packet.expected),
        ("evidence", f"{len(packet.evidence)} statements, digest {packet.evidence_digest[:16]}"),
        ("policy", packet.bundle_digest[:16]),
        ("state", f"{summary['state']}, expires in {summary['expires_in_seconds']} s"),
        ("may approve", ", ".join(packet.approver_roles) or "any listed approver"),
        *(("missing", text) for text in packet.missing),
        *(("contrary", text) for text in packet.contrary),
        *(("uncertain", text) for text in packet.uncertain),
        *((("untrusted", packet.prose),) if packet.prose else ()),
        *((f"  {name}", json.dumps(value)) for name, value in sorted(packet.action["parameters"].items())),
    ]
    out = console()
    out.rule(f"{packet.id}  sha256 {packet.digest[:16]}", align="left")
    for label, text in lines:
        out.print(f"[bold]{label:<13}[/] {literal(text)}")


def _brief(target: dict[str, Any]) -> str:
    return ", ".join(f"{name} {str(value)[:12]}" for name, value in sorted(target.items()) if value not in ("", None))
