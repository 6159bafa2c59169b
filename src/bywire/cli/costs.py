"""`bywire costs`: what agents and teams spent, and how much of each budget is used now."""

import re
from typing import Any

import click

from bywire.adapters.sqlite_costs import Charge
from bywire.cli.approvals import as_json_option
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.gateway.inputs import DAY_MS
from bywire.model.windows import DAY, HOUR, MINUTE, SECOND
from bywire.wiring.budget_use import GATEWAY, BudgetUse
from bywire.wiring.chargeback import Bill, bill, totals, whole

DAYS_MAX = 366
_WHEN = {DAY: "today", HOUR: "this hour", MINUTE: "in the last minute", SECOND: "in the last second"}
_UNTIL = {DAY: "the next day (UTC)", HOUR: "the next hour", MINUTE: "a minute", SECOND: "a second"}
_SINCE = re.compile(r"([1-9][0-9]{0,2})d")


@click.command()
@click.option("--since", default="7d", help="How many days back, today among them: 7d.")
@as_json_option
@click.pass_obj
def costs(place: Place, since: str, *, as_json: bool) -> None:
    """What effects cost, by team, agent and unit; denied and waiting calls cost nothing. Days are UTC."""
    days = _days(since)
    with workspace(place) as opened:
        found = bill(opened, days)
    if as_json:
        print_json(_document(found))
    else:
        _print(found, days)


def _days(text: str) -> int:
    found = _SINCE.fullmatch(text)
    if found is None or int(found[1]) > DAYS_MAX:
        raise click.UsageError(f"--since says how many days, from 1d to {DAYS_MAX}d")
    return int(found[1])


def _document(found: Bill) -> dict[str, Any]:
    return {
        "from_ms": found.first_day * DAY_MS,
        "to_ms": (found.last_day + 1) * DAY_MS,
        "totals": totals(found.charges),
        "charges": [_charge(charge) for charge in found.charges],
        "budgets": [_budget(item) for item in found.budgets],
    }


def _charge(charge: Charge) -> dict[str, Any]:
    return {
        "team": charge.team,
        "principal": charge.principal,
        "tool": charge.tool,
        "environment": charge.environment,
        "unit": charge.unit,
        "amount": whole(charge.amount),
        "calls": charge.calls,
    }


def _budget(item: BudgetUse) -> dict[str, Any]:
    budget = item.limit
    return {
        "scope": budget.scope,
        "unit": budget.unit,
        "period": budget.period,
        "limit": whole(budget.limit),
        "used": whole(item.used),
        "left": whole(item.left),
        "set_in": budget.set_in,
    }


def _print(found: Bill, days: int) -> None:
    out = console()
    lines = totals(found.charges)
    for line in lines:
        who = f"{line['team'] or 'no team':<16} {line['principal']:<28}"
        out.print(f"{literal(who)} {line['amount']:>12} {line['unit']} in {line['calls']} call{_s(line['calls'])}")
    if not lines:
        out.print(f"nothing was spent in {days} day{_s(days)}")
    for item in map(_budget, found.budgets):
        full = item["left"] == 0
        style = "bold red" if full else "default"
        said = f"{item['used']} of {item['limit']} {item['unit']} used {_WHEN[item['period']]}"
        out.print(f"[{style}]budget[/]  {literal(_where(item['scope']))}: {said}")
        if full:
            place = "gateway.yaml" if item["set_in"] == GATEWAY else "the agent's policy"
            out.print(f"  next  [cyan]wait for {_UNTIL[item['period']]}, or raise it in {place}[/]")


def _where(scope: str) -> str:
    return scope.replace("|tool:", " with ").replace("|environment:", " in ")


def _s(count: int) -> str:
    return "" if count == 1 else "s"
