"""The bill: what the effects of agents and teams cost, and how much of each budget today has used."""

from typing import Any

import msgspec

from bywire.adapters.sqlite_costs import Charge, SqliteCosts
from bywire.gateway.inputs import DAY_MS
from bywire.model.connected import THOUSANDTHS
from bywire.model.gateway_budgets import Budget
from bywire.model.windows import DAY
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.workspace import Workspace

_SCOPES = {"agent": "principal:agent:", "team": "team:", "tool": "tool:", "environment": "environment:"}


class BudgetUse(msgspec.Struct, frozen=True):
    """One budget and what of it is used today, in thousandths."""

    budget: Budget
    used: int


class Bill(msgspec.Struct, frozen=True):
    """Charges of the days from `first_day` to `last_day` (UTC, since the epoch), and the budgets as they stand now."""

    first_day: int
    last_day: int
    charges: tuple[Charge, ...]
    budgets: tuple[BudgetUse, ...]


def bill(workspace: Workspace, days: int) -> Bill:
    """The last `days` days, today among them. Raises ConfigError for a gateway.yaml that cannot be read."""
    today = workspace.clock.now_ms() // DAY_MS
    first = today - days + 1
    return Bill(
        first_day=first,
        last_day=today,
        charges=usage_between(workspace, first, today),
        budgets=tuple(
            BudgetUse(budget, used(workspace, budget, today)) for budget in read_gateway(workspace).budgets.budgets
        ),
    )


def usage_between(workspace: Workspace, first_day: int, last_day: int) -> tuple[Charge, ...]:
    """What was charged on these days (UTC, since the epoch), both included, by team, principal, unit and tool."""
    return SqliteCosts(workspace.reader).usage_between(first_day, last_day)


def totals(charges: tuple[Charge, ...]) -> list[dict[str, Any]]:
    """Charges by team, principal and unit; amounts in whole units, to the thousandth."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for charge in charges:
        line = found.setdefault((charge.team, charge.principal, charge.unit), [0, 0])
        line[0] += charge.amount
        line[1] += charge.calls
    return [
        {"team": team, "principal": principal, "unit": unit, "amount": whole(amount), "calls": calls}
        for (team, principal, unit), (amount, calls) in sorted(found.items())
    ]


def whole(thousandths: int) -> int | float:
    """An amount in units."""
    return thousandths // THOUSANDTHS if thousandths % THOUSANDTHS == 0 else thousandths / THOUSANDTHS


def used(workspace: Workspace, budget: Budget, day: int) -> int:
    """What of a budget is used on a day (UTC, since the epoch), in thousandths."""
    kind, _, name = budget.scope.partition(":")
    return workspace.state.spent(f"{_SCOPES[kind]}{name}", budget.unit, DAY, day)
