"""`bywire explain DECISION`."""

import click

from bywire.adapters.knowledge_base import denial_messages
from bywire.adapters.sqlite_ledger import open_reader
from bywire.audit.replay import Recorded
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import changes, console, denial, literal, print_json
from bywire.cli.workspace import workspace
from bywire.model.errors import ConfigError
from bywire.wiring.auditing import find_decision
from bywire.wiring.workspace import DATABASE_FILE


@click.command()
@click.argument("decision")
@as_json_option
@click.pass_obj
def explain(place: Place, decision: str, *, as_json: bool) -> None:
    """Why a decision was what it was: rules, facts, input. DECISION: an id, its beginning, or a ledger index."""
    with workspace(place) as opened:
        reader = open_reader(opened.directory.path / DATABASE_FILE)
        try:
            found = find_decision(reader, decision)
        finally:
            reader.close()
    if found is None:
        raise ConfigError(
            f"no recorded decision {decision}",
            code="not_found",
            next_step="bywire status DELIVERY lists ledger entries",
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)


def _print(found: Recorded) -> None:
    out, decided, action = console(), found.decision, found.input.get("action", {})
    advice = "; advice, which authorised nothing" if found.advised else ""
    out.print(f"decision   {decided.id}, ledger entry #{found.entry}{advice}")
    asked = f"{found.principal or 'somebody'} asks {action.get('tool')} on {action.get('service')}"
    out.print(f"question   {literal(asked)}")
    out.print(f"           in {action.get('environment')}, delivery {action.get('change') or 'none'}")
    out.print(f"answer     [bold]{decided.effect}[/] by {decided.entrypoint}")
    if found.sanitized is not None:
        told = f"{found.sanitized.before}, decision {found.sanitized.decision_id}; {changes(found.sanitized)}"
        out.print(f"before     {literal(told)}")
    for reason in decided.reasons:
        rule, fact, following = denial({"rule": reason.rule, "facts": reason.facts})
        known = rule in denial_messages()
        hard = " (hard: no approval lifts it)" if reason.hard else ""
        out.print(f"rule       {literal(rule)}{hard}")
        if known:
            out.print(f"  fact     {literal(fact)}")
            out.print(f"  next     {literal(following)}")
    out.print(f"engine     {decided.engine}")
    out.print(f"policy     {decided.bundle_digest[:16]}   input {decided.input_digest[:16]}")
    out.print("again      [cyan]bywire audit replay[/]")
