"""`bywire policy shadow`: record what a rule says without enforcing it, for a while, because somebody signed for it."""

from pathlib import Path

import click

from bywire.cli.approval_page import moment
from bywire.cli.approvals import as_json_option, key_option, signs
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.policy.shadow import DAYS_MAX
from bywire.wiring.policies import end_shadow, listed_shadows, shadow_rule


class _RuleFirst(click.Group):
    """`shadow RULE ...` is short for `shadow begin RULE ...`; every rule id has a dot, no command has."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and "." in args[0]:
            args = ["begin", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RuleFirst)
def shadow() -> None:
    """A rule recorded and not enforced, outside production: `shadow RULE --as PERSON --days N --reason TEXT`."""


@shadow.command()
@click.argument("rule")
@click.option("--as", "person", required=True, help="Who answers for it, e.g. oncall.")
@click.option("--days", type=click.IntRange(1, DAYS_MAX), required=True, help="How long, in days.")
@click.option("--reason", required=True, help="Why; kept with the signature.")
@click.option("--service", default="", help="Where: a connected tool's service (default: the operator's).")
@click.option("--environment", default="", help="Where: its environment, never production (default: the operator's).")
@key_option
@as_json_option
@click.pass_obj
def begin(
    place: Place,
    rule: str,
    person: str,
    days: int,
    reason: str,
    service: str,
    environment: str,
    key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Sign that RULE is recorded instead of enforced, for some days, in one environment of one service."""
    with workspace(place) as opened:
        where = (service or opened.operator.service, environment or opened.operator.environment)
        signed, entry = shadow_rule(opened, rule, person, days, reason, signs(opened, key), place=where)
    if as_json:
        print_json(
            {
                "rule": signed.rule,
                "owner": signed.owner,
                "expires_at_ms": signed.expires_at_ms,
                "environment": signed.environment,
                "service": signed.service,
                "entry": entry,
            }
        )
        return
    console().print(
        f"[yellow]shadowed[/]   {literal(signed.rule)} until {moment(signed.expires_at_ms)}, ledger entry #{entry}"
    )
    console().print(f"  owner    {literal(signed.owner)}, for {literal(f'{signed.service} in {signed.environment}')}")
    console().print(f"  next     [cyan]bywire policy shadow end {literal(signed.rule)} --as PERSON[/]")


@shadow.command("list")
@as_json_option
@click.pass_obj
def list_(place: Place, *, as_json: bool) -> None:
    """Every shadow there was, newest first."""
    with workspace(place) as opened:
        found = listed_shadows(opened)
    if as_json:
        print_json(
            [
                {
                    "rule": item.row.rule,
                    "state": item.state,
                    "owner": item.shadow.owner if item.shadow else None,
                    "reason": item.shadow.reason if item.shadow else None,
                    "expires_at_ms": item.row.expires_ms,
                    "entry": item.row.entry,
                }
                for item in found
            ]
        )
        return
    for item in found:
        owner = item.shadow.owner if item.shadow else "nobody"
        said = f"{item.state}, until {moment(item.row.expires_ms)}, by {owner}"
        console().print(f"[dim]#{item.row.entry:<5}[/] {literal(item.row.rule):<32} {literal(said)}")
    if not found:
        console().print("no rule is shadowed; every rule is enforced")


@shadow.command()
@click.argument("rule")
@click.option("--as", "person", required=True, help="Who ends it.")
@as_json_option
@click.pass_obj
def end(place: Place, rule: str, person: str, *, as_json: bool) -> None:
    """Enforce RULE again, at once."""
    with workspace(place) as opened:
        ended, entry = end_shadow(opened, rule, person)
    if as_json:
        print_json({"rule": rule, "ended": ended, "entry": entry})
    else:
        console().print(f"[green]enforced[/]   {literal(rule)} again, ledger entry #{entry}")
