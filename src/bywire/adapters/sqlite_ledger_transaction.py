"""What a work sees inside the group committer's open transaction, and how many works share one statement.

Log rows of a batch are gathered and written by one statement for all of them: when the batch ends, or before anything
else is asked of the database. A work that only appends does not touch SQLite, so it needs no savepoint to be undone.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from bywire.adapters.blob_keys import BlobKeys
from bywire.adapters.sqlite_ledger import ENTRY_COUNT, INSERT_ENTRY, PUT_BLOB, SqliteLedger
from bywire.ledger import log
from bywire.model.errors import LedgerError


class Transaction(SqliteLedger):
    """What a work sees: the whole database, inside the open write transaction. Not valid after the work returns."""

    def __init__(self, connection: sqlite3.Connection, keys: BlobKeys | None = None) -> None:
        super().__init__(connection, keys)
        self._entries: int | None = None
        self._blobs: dict[bytes, tuple[bytes, bytes, int]] = {}
        self._rows: list[tuple[int, bytes, bytes, bytes]] = []
        self._retired: dict[str, int] | None = None
        self._mark: tuple[int, int, int | None] | None = None
        self._savepoint = False
        self._over = False

    def begin(self) -> None:
        """A work begins: what it does from here on can be undone alone."""
        self._mark = (len(self._blobs), len(self._rows), self._entries)
        self._savepoint = False

    def keep(self) -> None:
        """It is done; what it did becomes part of the transaction."""
        if self._savepoint:
            self._connection.execute("RELEASE work")
        self._mark = None

    def undo(self) -> None:
        """Take back what the work did, its entries included."""
        blobs, rows, entries = self._mark or (0, 0, None)
        self._mark = None
        if self._savepoint:
            # The rows of earlier works were written before the savepoint; all that is gathered since is its own.
            blobs, rows, entries = 0, 0, None
            self._connection.execute("ROLLBACK TO work")
            self._connection.execute("RELEASE work")
        for digest in list(self._blobs)[blobs:]:
            del self._blobs[digest]
        del self._rows[rows:]
        self._entries, self._retired = entries, None

    def finish(self) -> None:
        """Write what is still gathered; nothing may use this object afterwards."""
        self.write_gathered()
        self._over = True

    def is_open(self) -> bool:
        """Whether SQLite still holds the transaction open; some of its errors end it."""
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement. sqlite3 errors reach the work raw, so that it may tell a conflict from a failure."""
        self.write_gathered()
        self._entries = self._retired = None
        return self._connection.execute(sql, values)

    def append(self, leaf: bytes, blobs: Iterable[bytes] = ()) -> int:
        """Append a log entry with its blobs; its index is final once the work's future resolves."""
        return log.append(self, leaf, blobs)

    def entry_count(self) -> int:
        """Asked of the database once: nobody else appends while this transaction is open."""
        if self._entries is None:
            if self._rows:
                self.write_gathered()
            self._entries = int(self._connection.execute(ENTRY_COUNT).fetchone()[0])
        return self._entries

    def retired_from(self, key_id: str) -> int | None:
        """The first index that a key may not sign, read once for many appends."""
        if self._retired is None:
            self._retired = dict(self._connection.execute("SELECT key_id, to_index FROM retired_keys"))
        return self._retired.get(key_id)

    def put_blob(self, content: bytes, key_number: int = 0) -> str:
        """Gather a blob, sealed, under its digest."""
        self._require_valid()
        digest = sha256(content).digest()
        if digest not in self._blobs:
            self._blobs[digest] = (digest, self._keys.seal(key_number, digest, content), key_number)
        return digest.hex()

    def insert_entry(self, index: int, leaf: bytes, leaf_hash: bytes, content: str) -> None:
        """Gather an entry, and count it."""
        self._require_valid()
        self._rows.append((index, leaf_hash, bytes.fromhex(content), leaf))
        self._entries = index + 1

    def write_gathered(self) -> None:
        """Write what is gathered: earlier works' rows outside, this work's inside its savepoint.

        Earlier rows that cannot be written stay gathered, so that the whole batch fails when it ends.
        """
        self._require_valid()
        if self._mark is not None and not self._savepoint:
            blobs, rows, _ = self._mark
            self._insert(list(self._blobs.values())[:blobs], self._rows[:rows])
            self._blobs = dict(list(self._blobs.items())[blobs:])
            del self._rows[:rows]
            self._connection.execute("SAVEPOINT work")
            self._savepoint = True
        if self._blobs or self._rows:
            gathered, self._blobs = list(self._blobs.values()), {}
            rows_gathered, self._rows = self._rows, []
            self._insert(gathered, rows_gathered)

    def _require_valid(self) -> None:
        if self._over:
            raise LedgerError("this transaction has ended", code="writer_closed", next_step="submit another work")

    def _insert(self, blobs: list[tuple[bytes, bytes, int]], rows: list[tuple[int, bytes, bytes, bytes]]) -> None:
        if blobs:
            self._connection.executemany(PUT_BLOB, blobs)
        if rows:
            self._connection.executemany(INSERT_ENTRY, rows)

    # Every other way to the database goes through these three.
    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        self.write_gathered()
        return super()._one(sql, *values)

    def _write(self, sql: str, *values: object) -> None:
        self.write_gathered()
        super()._write(sql, *values)

    def _stream(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        self.write_gathered()
        return super()._stream(sql, *values)
