"""The ledger's ports on SQLite: blobs, entries, tiles, checkpoints, frontier, in `bywire.db`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from bywire.adapters.blob_keys import BlobKeys
from bywire.adapters.sqlite_database import SQLITE_ERRORS, connect, database_file, explain, explained
from bywire.ledger.log import TILE_WIDTH
from bywire.ledger.ports import StoredCheckpoint

FETCH_ROWS = 1_024
ENTRY_COUNT = "SELECT coalesce(max(idx) + 1, 0) FROM entries"
# A row whose bytes were erased is filled again when the same bytes come back.
PUT_BLOB = (
    "INSERT INTO blobs (digest, bytes, key) VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE"
    " SET bytes = excluded.bytes, key = excluded.key WHERE length(bytes) = 0 AND key IS NOT NULL"
)
# The subquery is NULL, and refused, when the blob is not stored.
INSERT_ENTRY = "INSERT INTO entries (idx, hash, blob, leaf) VALUES (?, ?, (SELECT id FROM blobs WHERE digest = ?), ?)"


class SqliteLedger:
    """`ledger.ports.LedgerTransaction` over one connection; whoever holds the connection opens the transaction."""

    def __init__(self, connection: sqlite3.Connection, keys: BlobKeys | None = None) -> None:
        self._connection = connection
        self._keys = keys or BlobKeys.beside(database_file(connection))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let every read inside the block see one committed state of the log."""
        with explained():
            self._connection.execute("BEGIN")
        try:
            self.entry_count()
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def entry_count(self) -> int:
        """One more than the highest index."""
        row = self._one(ENTRY_COUNT)
        return int(row[0]) if row else 0

    def leaf(self, index: int) -> bytes | None:
        """The leaf at `index`."""
        return self._bytes("SELECT leaf FROM entries WHERE idx = ?", index)

    def leaf_hashes(self, start: int) -> Iterator[tuple[int, bytes]]:
        """(index, stored leaf hash) from `start`."""
        return self._stream("SELECT idx, hash FROM entries WHERE idx >= ? ORDER BY idx", start)

    def rows(self, start: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(index, leaf, blob) from `start`; casts so that a tampered column type cannot surprise a reader."""
        return self._stream(
            "SELECT e.idx, CAST(e.leaf AS BLOB), unsealed(b.digest, b.key, b.bytes) FROM entries e"
            " LEFT JOIN blobs b ON b.id = e.blob WHERE e.idx >= ? ORDER BY e.idx",
            start,
        )

    def blob(self, digest: str) -> bytes | None:
        """The blob stored under a sha256 hex digest, unchecked; None when it is not there or its key is gone."""
        return self._bytes("SELECT unsealed(digest, key, bytes) FROM blobs WHERE digest = ?", bytes.fromhex(digest))

    def retention_entries(self) -> Iterator[int]:
        """Where retention statements are said to be."""
        for row in self._stream("SELECT entry FROM retentions ORDER BY entry"):
            yield row[0]

    def tile(self, level: int, index: int) -> bytes:
        """Hashes of one tile; those of the unfinished tile of level 0 are gathered from the entries' rows."""
        found = self._bytes("SELECT CAST(hashes AS BLOB) FROM tiles WHERE level = ? AND idx = ?", level, index)
        if found is not None or level:
            return found or b""
        first = index * TILE_WIDTH
        return b"".join(
            hashed
            for _, hashed in self._stream(
                "SELECT idx, CAST(hash AS BLOB) FROM entries WHERE idx BETWEEN ? AND ? ORDER BY idx",
                first,
                first + TILE_WIDTH - 1,
            )
        )

    def frontier(self) -> bytes:
        """The encoded frontier."""
        return self._bytes("SELECT CAST(value AS BLOB) FROM meta WHERE key = 'frontier'") or b""

    def last_checkpoint(self) -> StoredCheckpoint | None:
        """The checkpoint of the greatest size."""
        last = "SELECT size, CAST(root AS BLOB), CAST(note AS TEXT) FROM checkpoints ORDER BY size DESC LIMIT 1"
        row = self._one(last)
        return StoredCheckpoint(*row) if row else None

    def checkpoints(self, start: int) -> Iterator[StoredCheckpoint]:
        """Checkpoints of size >= `start`, by size."""
        for row in self._stream(
            "SELECT size, CAST(root AS BLOB), CAST(note AS TEXT) FROM checkpoints WHERE size >= ? ORDER BY size", start
        ):
            yield StoredCheckpoint(*row)

    def verified_size(self) -> int:
        """The marker of the last start-up check."""
        row = self._one("SELECT value FROM meta WHERE key = 'verified_size'")
        return int(row[0]) if row else 0

    def put_blob(self, content: bytes, key_number: int = 0) -> str:
        """Store bytes, sealed, under their digest."""
        digest = sha256(content).digest()
        self._write(PUT_BLOB, digest, self._keys.seal(key_number, digest, content), key_number)
        return digest.hex()

    def insert_entry(self, index: int, leaf: bytes, leaf_hash: bytes, content: str) -> None:
        """Insert an entry."""
        self._write(INSERT_ENTRY, index, leaf_hash, bytes.fromhex(content), leaf)

    def retired_from(self, key_id: str) -> int | None:
        """The first index that a key may not sign."""
        row = self._one("SELECT to_index FROM retired_keys WHERE key_id = ?", key_id)
        return int(row[0]) if row else None

    def note_retention(self, index: int) -> None:
        """Remember where a retention statement is."""
        self._write("INSERT INTO retentions VALUES (?)", index)

    def put_tile(self, level: int, index: int, hashes: bytes) -> None:
        """Write a tile."""
        self._write(
            "INSERT INTO tiles (level, idx, hashes) VALUES (?, ?, ?)"
            " ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes",
            level,
            index,
            hashes,
        )

    def put_frontier(self, frontier: bytes) -> None:
        """Write the frontier."""
        self._write("INSERT OR REPLACE INTO meta VALUES ('frontier', ?)", frontier)

    def insert_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Insert a checkpoint."""
        self._write(
            "INSERT INTO checkpoints (size, root, note) VALUES (?, ?, ?)",
            checkpoint.size,
            checkpoint.root,
            checkpoint.note,
        )

    def mark_verified(self, size: int) -> None:
        """Write the marker."""
        self._write("INSERT OR REPLACE INTO meta VALUES ('verified_size', ?)", size)

    # Plain try blocks: `explained()` would cost a durable append a third of its processor time.
    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        except SQLITE_ERRORS as error:
            raise explain(error) from error
        return row

    def _bytes(self, sql: str, *values: object) -> bytes | None:
        row = self._one(sql, *values)
        return row[0] if row else None

    def _write(self, sql: str, *values: object) -> None:
        try:
            self._connection.execute(sql, values)
        except SQLITE_ERRORS as error:
            raise explain(error) from error

    def _stream(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        try:
            cursor = self._connection.execute(sql, values)
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield from rows
        except SQLITE_ERRORS as error:
            raise explain(error) from error


def open_reader(path: Path) -> SqliteLedger:
    """A ledger for reading only, on a connection of its own; use it from one thread at a time."""
    return SqliteLedger(connect(path, read_only=True))
