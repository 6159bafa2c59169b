"""`bywire stop`, `resume`, `rollback`: the big handles."""

import click

from bywire.adapters.sqlite_restoring import require_reconciled
from bywire.cli.approvals import as_json_option
from bywire.cli.incident import whoever
from bywire.cli.main import Place
from bywire.cli.output import EXIT_DENIED, EXIT_ERROR, EXIT_OK, EXIT_PENDING, console, finish, print_denials, print_json
from bywire.cli.workspace import workspace
from bywire.gateway.redaction import Redactor
from bywire.model.decision import OutcomeStatus
from bywire.model.errors import TargetError
from bywire.wiring.retreat import roll_back

_CODES = {OutcomeStatus.COMMITTED: EXIT_OK, OutcomeStatus.DENIED: EXIT_DENIED, OutcomeStatus.PENDING: EXIT_PENDING}


@click.command()
@click.option("--agent", default="", help="Stop one agent, e.g. agent:release-controller.")
@click.option("--service", default="", help="Stop one service.")
@click.option("--freeze-all", is_flag=True, help="Stop retreats too. Only for when retreating is the danger.")
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@as_json_option
@click.pass_obj
def stop(place: Place, agent: str, service: str, *, freeze_all: bool, reason: str, as_json: bool) -> None:
    """No intent commits after this returns. Pre-authorised retreats stay possible, unless --freeze-all."""
    if sum(map(bool, (agent, service, freeze_all))) > 1:
        raise click.UsageError("choose one of --agent, --service and --freeze-all")
    scope = "freeze_all" if freeze_all else "agent" if agent else "service" if service else "all"
    with workspace(place) as opened:
        person = whoever(opened)
        # Redacted, not refused: a stop waits for nobody to find better words.
        reason = Redactor(opened.workspace_key).display(reason)
        document = {"scope": scope, "target": agent or service, "by": person, "reason": reason}
        entry = opened.change_state(
            "stop",
            document,
            lambda tx: opened.state.stop(tx, scope, agent or service, person, reason, opened.clock.now_ms()),
        )
    if as_json:
        print_json({**document, "entry": entry})
    else:
        console().print(f"stopped ({scope}); ledger entry #{entry}. Lift it with `bywire resume`.")


@click.command()
@as_json_option
@click.pass_obj
def resume(place: Place, *, as_json: bool) -> None:
    """Lift every stop and freeze."""
    lifted = 0

    def lift(tx: object) -> None:
        nonlocal lifted
        lifted = opened.state.resume(tx, opened.clock.now_ms())  # type: ignore[arg-type]

    with workspace(place) as opened:
        require_reconciled(opened.reader)
        entry = opened.change_state("resume", {"what": "all"}, lift)
    if as_json:
        print_json({"lifted": lifted, "entry": entry})
    else:
        console().print(f"{lifted} stops lifted; ledger entry #{entry}")


@click.command()
@click.option("--to", "digest", default="", help="The release to go back to (default: the last good one).")
@as_json_option
@click.pass_obj
def rollback(place: Place, digest: str, *, as_json: bool) -> None:
    """Give all traffic back to a release that served well. Takes over from a running delivery."""
    with workspace(place, take_over=True) as opened:
        to, outcome = roll_back(opened, digest)
    if outcome.status in {OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN}:
        problem = outcome.error or {"message": "nobody knows whether it happened"}
        raise TargetError(problem["message"], code=problem.get("code"), next_step="bywire status")
    if as_json:
        print_json({"status": outcome.status, "entry": outcome.entry, "approval_id": outcome.approval_id})
    elif outcome.status is OutcomeStatus.COMMITTED:
        console().print(f"[green]rolled back[/] to {to[:12]}, ledger entry #{outcome.entry}")
    elif outcome.status is OutcomeStatus.PENDING:
        console().print(f"waiting for approval: bywire approvals show {outcome.approval_id}")
    elif outcome.decision is not None:
        print_denials([{"rule": reason.rule, "facts": reason.facts} for reason in outcome.decision.reasons])
    finish(_CODES.get(outcome.status, EXIT_ERROR))
