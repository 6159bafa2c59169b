"""What effects cost: charged in the intent transaction, summed for budgets and for the bill.

A budget has no counter of its own. It is a sum over the charges, so that one that is set at noon knows the morning, and
two that name the same thing count it once.
"""

from typing import Any, Protocol

import msgspec

from bywire.adapters.sqlite_reading import Reader
from bywire.gateway.inputs import DAY_MS, HOUR_MS
from bywire.gateway.ports import Debit, Intent
from bywire.model.windows import DAY, HOUR

HOURS_A_DAY = DAY_MS // HOUR_MS
_HOURS = {HOUR: 1, DAY: HOURS_A_DAY}
_CHARGE = (
    "INSERT INTO costs VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE"
    " SET amount = amount + excluded.amount, calls = calls + 1"
)
_SUM = "SELECT coalesce(sum(amount), 0) FROM costs WHERE unit = ? AND hour BETWEEN ? AND ?"
_COLUMNS = {"principal": "principal", "team": "team", "tool": "tool", "environment": "environment"}
_BETWEEN = (
    "SELECT principal, team, tool, environment, unit, sum(amount), sum(calls) FROM costs WHERE hour BETWEEN ? AND ?"
    " GROUP BY 1, 2, 3, 4, 5 ORDER BY 2, 1, 5, 3, 4"
)


class Charge(msgspec.Struct, frozen=True):
    """What one principal's effects with one tool cost over some time: `amount` thousandths of `unit`."""

    principal: str
    team: str
    tool: str
    environment: str
    unit: str
    amount: int
    calls: int


class _Connection(Protocol):
    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> Any: ...


def charge(tx: _Connection, intent: Intent) -> None:
    """Add what an intent costs."""
    hour = intent.now_ms // HOUR_MS
    for cost in intent.costs:
        where = (intent.principal, cost.unit, hour, intent.team, intent.tool, intent.environment)
        tx.execute(_CHARGE, (*where, cost.amount))


def overspent(tx: _Connection, debit: Debit, now_ms: int) -> int | None:
    """What was spent, when that is more than the debit's limit."""
    hours = _HOURS[debit.period]
    sql, values = summing(debit.scope, debit.unit, debit.period, now_ms // (hours * HOUR_MS))
    used = int(tx.execute(sql, values).fetchone()[0])
    return used if used > debit.limit else None


def summing(scope: str, unit: str, period: str, at: int) -> tuple[str, tuple[Any, ...]]:
    """(SQL, values) of what a scope cost in a period; `|` joins parts such as `principal:ID|tool:NAME`."""
    hours = _HOURS[period]
    sql, values = _SUM, [unit, at * hours, at * hours + hours - 1]
    for part in scope.split("|"):
        column, _, value = part.partition(":")
        sql += f" AND {_COLUMNS[column]} = ?"
        values.append(value)
    return sql, tuple(values)


class SqliteCosts:
    """Read-only: the bill."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def usage_between(self, first_day: int, last_day: int) -> tuple[Charge, ...]:
        """What was charged on days (UTC, since the epoch) from the first to the last, both included."""
        rows = self._reader.rows(_BETWEEN, (first_day * HOURS_A_DAY, last_day * HOURS_A_DAY + HOURS_A_DAY - 1))
        return tuple(Charge(*row) for row in rows)
