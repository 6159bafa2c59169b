"""The bill: what the effects of agents and teams cost, and how much of each budget is used now."""

from typing import Any

import msgspec

from bywire.adapters.sqlite_costs import Charge, SqliteCosts
from bywire.gateway.inputs import DAY_MS
from bywire.model.connected import THOUSANDTHS
from bywire.wiring.budget_use import BudgetUse, OwnLimits, in_use, limits_of, ordered
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.workspace import Workspace


class Bill(msgspec.Struct, frozen=True):
    """Charges of the days from `first_day` to `last_day` (UTC, since the epoch), and the budgets as they stand now."""

    first_day: int
    last_day: int
    charges: tuple[Charge, ...]
    budgets: tuple[BudgetUse, ...]


def bill(workspace: Workspace, days: int) -> Bill:
    """The last `days` days, today among them.

    Raises ConfigError for a gateway.yaml that cannot be read, PolicyError when no policy is in force.
    """
    now_ms = workspace.clock.now_ms()
    today = now_ms // DAY_MS
    first = today - days + 1
    limits = (*limits_of(read_gateway(workspace).budgets), *OwnLimits().of(workspace.bundle()))
    return Bill(
        first_day=first,
        last_day=today,
        charges=usage_between(workspace, first, today),
        budgets=tuple(ordered(in_use(workspace, limits, now_ms))),
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
