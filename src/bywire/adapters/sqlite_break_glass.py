"""Broken glass on SQLite: at most one unsettled a person, uses consumed one row at a time.

A row permits nothing by itself: whoever uses one verifies its statement first. What the row adds is what a statement
cannot know: how many uses are left, and whether it was closed.
"""

from typing import Any

import msgspec

from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.approvals.break_glass import BreakGlass
from bywire.ledger.entry import leaf_bytes, record_entry, statement_entry
from bywire.model.errors import ConflictError
from bywire.seal import jcs
from bywire.seal.dsse import unverified_statement

_FIELDS = "id, person, envelope, entry, uses_left, opened_ms, expires_ms, closed_ms, postmortem, postmortem_entry"
_OPEN = "closed_ms IS NULL AND uses_left > 0 AND expires_ms > ?"


class BreakGlassRow(msgspec.Struct, frozen=True):
    """One broken glass as stored; times in ms since the epoch, `entry` and `postmortem_entry` are ledger indexes."""

    id: str
    person: str
    envelope: bytes
    entry: int
    uses_left: int
    opened_ms: int
    expires_ms: int
    closed_ms: int | None
    postmortem: bytes | None
    postmortem_entry: int | None

    def is_open(self, now_ms: int) -> bool:
        """Whether it can still be used."""
        return self.closed_ms is None and self.uses_left > 0 and now_ms < self.expires_ms


def consume_break_glass(tx: Transaction, glass_id: str, now_ms: int) -> bool:
    """Use it once, inside the intent transaction; whether there was a use left."""
    used = tx.execute(f"UPDATE break_glass SET uses_left = uses_left - 1 WHERE id = ? AND {_OPEN}", (glass_id, now_ms))  # noqa: S608
    return used.rowcount == 1


class SqliteBreakGlass:
    """What was broken, by whom, and whether it was answered for."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    def rows(self) -> list[BreakGlassRow]:
        """Every one, newest first."""
        return self._rows("ORDER BY opened_ms DESC, rowid DESC")

    def row(self, glass_id: str) -> BreakGlassRow | None:
        """One by id."""
        return next(iter(self._rows("WHERE id = ?", (glass_id,))), None)

    def usable(self, now_ms: int) -> list[BreakGlassRow]:
        """Those that can be used now, newest first."""
        return self._rows(f"WHERE {_OPEN} ORDER BY opened_ms DESC, rowid DESC", (now_ms,))

    def by(self, person: str) -> list[BreakGlassRow]:
        """Those of one person, newest first."""
        return self._rows("WHERE person = ? ORDER BY opened_ms DESC, rowid DESC", (person,))

    def open(self, glass: BreakGlass, envelope: bytes, key_id: str, now_ms: int) -> int:
        """Store and log a verified statement; returns the ledger index.

        ConflictError `postmortem_missing` while the same person owes a post-mortem: of two processes at once, one.
        """
        leaf = statement_entry("break-glass", now_ms, glass.id, envelope, unverified_statement(envelope), key_id)
        values = (glass.uses, glass.opened_at_ms, glass.expires_at_ms)

        def work(tx: Transaction) -> int:
            owed = tx.execute(
                "SELECT id FROM break_glass WHERE person = ? AND postmortem IS NULL", (glass.person,)
            ).fetchone()
            if owed is not None:
                raise postmortem_missing(owed[0], glass.person)
            entry = tx.append(leaf_bytes(leaf), [envelope])
            added = tx.execute(
                "INSERT INTO break_glass (id, person, envelope, entry, uses_left, opened_ms, expires_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (glass.id, glass.person, envelope, entry, *values),
            )
            if added.rowcount != 1:
                raise _conflict(f"{glass.id} was opened before", "bywire break-glass list")
            return entry

        return self._writer.run(work)

    def close(self, glass_id: str, by: str, now_ms: int) -> int:
        """End it at once; returns the ledger index. ConflictError `break_glass_settled` when it was closed before."""
        record = jcs.canonical({"break_glass": glass_id, "by": by, "at_ms": now_ms})
        leaf = record_entry("break-glass-close", now_ms, glass_id, record)

        def work(tx: Transaction) -> int:
            closed = tx.execute(
                "UPDATE break_glass SET closed_ms = ? WHERE id = ? AND closed_ms IS NULL", (now_ms, glass_id)
            )
            if closed.rowcount != 1:
                raise _conflict(f"{glass_id} was closed before, or there is none", "bywire break-glass list")
            return tx.append(leaf_bytes(leaf), [record])

        # Closing reduces exposure: it must work on a full disk, too.
        return self._writer.run(work, reducing=True)

    def settle(self, glass: BreakGlass, envelope: bytes, key_id: str, now_ms: int) -> int:
        """Store and log its verified post-mortem, once and after its end; returns the ledger index.

        ConflictError `break_glass_open` while it can still be used, `break_glass_settled` when it has one.
        """
        statement = unverified_statement(envelope)
        leaf = statement_entry("break-glass-postmortem", now_ms, glass.id, envelope, statement, key_id)

        def work(tx: Transaction) -> int:
            if tx.execute(f"SELECT 1 FROM break_glass WHERE id = ? AND {_OPEN}", (glass.id, now_ms)).fetchone():  # noqa: S608
                raise ConflictError(
                    f"{glass.id} is still open",
                    code="break_glass_open",
                    next_step=f"bywire break-glass close {glass.id}",
                )
            entry = tx.append(leaf_bytes(leaf), [envelope])
            settled = tx.execute(
                "UPDATE break_glass SET postmortem = ?, postmortem_entry = ? WHERE id = ? AND postmortem IS NULL",
                (envelope, entry, glass.id),
            )
            if settled.rowcount != 1:
                raise _conflict(f"{glass.id} has its post-mortem, or there is none", "bywire break-glass list")
            return entry

        return self._writer.run(work)

    def _rows(self, where: str, values: tuple[Any, ...] = ()) -> list[BreakGlassRow]:
        found = self._reader.rows(f"SELECT {_FIELDS} FROM break_glass {where}", values)  # noqa: S608  our own constants
        return [BreakGlassRow(*row) for row in found]


def postmortem_missing(glass_id: str, person: str) -> ConflictError:
    """Why a person may not break glass again yet."""
    return ConflictError(
        f"{person} has not written the post-mortem of {glass_id} and may not break glass again before that",
        code="postmortem_missing",
        next_step=f"bywire break-glass postmortem {glass_id} --as {person.partition(':')[2]} --file FILE",
    )


def _conflict(why: str, next_step: str) -> ConflictError:
    return ConflictError(why, code="break_glass_settled", next_step=next_step)
