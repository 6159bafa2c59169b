"""The ledger's ports on SQLite: blobs, entries, tiles, checkpoints, frontier, in `bywire.db`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bywire.adapters.sqlite_database import connect, explain, explained
from bywire.ledger.log import TILE_WIDTH
from bywire.ledger.ports import StoredCheckpoint
from bywire.seal.digest import sha256_hex

FETCH_ROWS = 1_024


class SqliteLedger:
    """`ledger.ports.LedgerTransaction` over one connection; whoever holds the connection opens the transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

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
        row = self._one("SELECT max(idx) + 1 FROM entries")
        return int(row[0]) if row and row[0] else 0

    def leaf(self, index: int) -> bytes | None:
        """The leaf at `index`."""
        return self._bytes("SELECT leaf FROM entries WHERE idx = ?", index)

    def leaf_hashes(self, start: int) -> Iterator[tuple[int, bytes]]:
        """(index, stored leaf hash) from `start`."""
        return self._stream("SELECT idx, hash FROM entries WHERE idx >= ? ORDER BY idx", start)

    def rows(self, start: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(index, leaf, blob) from `start`; casts so that a tampered column type cannot surprise a reader."""
        return self._stream(
            "SELECT e.idx, CAST(e.leaf AS BLOB), CAST(b.bytes AS BLOB) FROM entries e"
            " LEFT JOIN blobs b ON b.id = e.blob WHERE e.idx >= ? ORDER BY e.idx",
            start,
        )

    def blob(self, digest: str) -> bytes | None:
        """The blob stored under a sha256 hex digest, unchecked."""
        return self._bytes("SELECT CAST(bytes AS BLOB) FROM blobs WHERE digest = ?", bytes.fromhex(digest))

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

    def put_blob(self, content: bytes) -> str:
        """Store bytes under their digest."""
        digest = sha256_hex(content)
        self._write(
            "INSERT INTO blobs (digest, bytes) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING",
            bytes.fromhex(digest),
            content,
        )
        return digest

    def insert_entry(self, index: int, leaf: bytes, leaf_hash: bytes, content: str) -> None:
        """Insert an entry; the subquery is NULL, and refused, when the blob is not stored."""
        self._write(
            "INSERT INTO entries (idx, hash, blob, leaf) VALUES (?1, ?2, (SELECT id FROM blobs WHERE digest = ?3), ?4)",
            index,
            leaf_hash,
            bytes.fromhex(content),
            leaf,
        )

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
        except sqlite3.Error as error:
            raise explain(error) from error
        return row

    def _bytes(self, sql: str, *values: object) -> bytes | None:
        row = self._one(sql, *values)
        return row[0] if row else None

    def _write(self, sql: str, *values: object) -> None:
        try:
            self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise explain(error) from error

    def _stream(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        try:
            cursor = self._connection.execute(sql, values)
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield from rows
        except sqlite3.Error as error:
            raise explain(error) from error


def open_reader(path: Path) -> SqliteLedger:
    """A ledger for reading only, on a connection of its own; use it from one thread at a time."""
    return SqliteLedger(connect(path, read_only=True))
