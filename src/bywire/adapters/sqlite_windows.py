"""Limits by the second and the minute, counted in the intent transaction: `model.windows` on a table.

Only what such a limit counts is kept, for one minute. The time is the transaction's own, not the question's: effects
are counted when they become possible. Every process of a database counts in the same rows.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from bywire.gateway.ports import Counted, Debit
from bywire.model.windows import LONGEST_SLIDING_MS, MINUTE, PERIOD_MS, SECOND, SLIDING, room_at

_FORGET = "DELETE FROM recent WHERE scope = ? AND at_ms <= ?"
_COUNT = (
    "INSERT INTO recent VALUES (?, ?, ?, ?) ON CONFLICT (scope, at_ms, unit) DO UPDATE"
    " SET amount = amount + excluded.amount"
)
_USED = "SELECT coalesce(sum(amount), 0) FROM recent WHERE scope = ? AND unit = ? AND at_ms > ?"
_ENTRIES = "SELECT at_ms, amount FROM recent WHERE scope = ? AND unit = ? AND at_ms > ?"
_RECENT = (
    "SELECT scope, unit, sum(amount), min(at_ms), sum(iif(at_ms > ?, amount, 0)), min(iif(at_ms > ?, at_ms, NULL))"
    " FROM recent WHERE scope IN ({}) AND at_ms > ? GROUP BY scope, unit ORDER BY scope, unit"
)


class _Connection(Protocol):
    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> Any: ...


class Overrun(msgspec.Struct, frozen=True):
    """A limit that has no room: `used` of it is, and at `free_ms` there is room; None: never for so much."""

    debit: Debit
    used: int
    free_ms: int | None


def take(tx: _Connection, debits: Iterable[Debit], now_ms: int) -> Overrun | None:
    """Count these debits' amounts at `now_ms`; the first limit that this exceeds. The caller then undoes all of it."""
    sliding = [debit for debit in debits if debit.period in SLIDING]
    for debit in sliding:
        begins_ms = now_ms - PERIOD_MS[debit.period]
        observed = int(tx.execute(_USED, (debit.scope, debit.unit, begins_ms)).fetchone()[0])
        if observed + debit.amount > debit.limit:
            entries = tx.execute(_ENTRIES, (debit.scope, debit.unit, begins_ms)).fetchall()
            return Overrun(debit, observed, room_at(entries, debit.period, debit.limit, debit.amount, now_ms))
    # A limit by the second and one by the minute of the same thing count it once.
    for scope, unit, amount in {(debit.scope, debit.unit, debit.amount) for debit in sliding}:
        tx.execute(_FORGET, (scope, now_ms - LONGEST_SLIDING_MS))
        tx.execute(_COUNT, (scope, now_ms, unit, amount))
    return None


def reading(scopes: Sequence[str], now_ms: int) -> tuple[str, tuple[Any, ...]]:
    """(SQL, values) of what these scopes used lately, for `counted`."""
    second, minute = (now_ms - PERIOD_MS[period] for period in (SECOND, MINUTE))
    return _RECENT.format(", ".join("?" * len(scopes))), (second, second, *scopes, minute)


def counted(rows: Iterable[tuple[Any, ...]]) -> tuple[Counted, ...]:
    """The rows that `reading` finds, a second's before its minute's."""
    found = []
    for scope, unit, in_minute, first, in_second, first_in_second in rows:
        if first_in_second is not None:
            found.append(Counted(scope, unit, SECOND, in_second, first_in_second + PERIOD_MS[SECOND]))
        found.append(Counted(scope, unit, MINUTE, in_minute, first + PERIOD_MS[MINUTE]))
    return tuple(found)
