"""What a restored database must not believe any more: sessions, approvals, leases, checkpoints of another origin.

A backup may lie behind what truly happened: grants may have been used since, intents carried out, keys retired. All of
it happens on the copy, before that takes the database's place.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from bywire.adapters.sqlite_api_keys import revoke_api_keys
from bywire.adapters.sqlite_database import connect, explained
from bywire.adapters.sqlite_journal import remember_time
from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_sessions import revoke_all_sessions
from bywire.adapters.sqlite_writer import Transaction
from bywire.ledger import log
from bywire.ledger.entry import parse_leaf
from bywire.model.errors import ConflictError, LedgerError

# Far above any epoch that a process of the lost tail may have shown to a target.
EPOCH_LEAP = 1 << 20
_OWED = "restored_entry"
_KEEP_ENDED = """INSERT INTO retired_keys VALUES (?, ?, 'ended before the restore', ?)
    ON CONFLICT (key_id) DO UPDATE SET to_index = min(to_index, excluded.to_index)"""


def put_under_stop(tx: Transaction, entry: int, person: str, reason: str, now_ms: int) -> None:
    """Stop everything, and remember that targets must be compared with the log before anything is resumed."""
    tx.execute(
        "INSERT INTO stops (scope, target, person, reason, at_ms) VALUES ('all', '', ?, ?, ?)",
        (person, f"restored from a backup: {reason}", now_ms),
    )
    tx.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_OWED, entry))


def end_sessions(tx: Transaction, now_ms: int) -> int:
    """Revoke every session and leap the leases, above any epoch a target may have seen; returns how many sessions.

    API keys end with them: which were revoked after the backup is not known here.
    """
    tx.execute("UPDATE leases SET epoch = epoch + ?", (EPOCH_LEAP,))
    remember_time(tx, now_ms)
    revoke_api_keys(tx, now_ms, "restored from a backup")
    return revoke_all_sessions(tx)


def end_approvals(tx: Transaction, now_ms: int) -> int:
    """Revoke every approval that could still be used, and every glass that is broken; returns how many approvals.

    Requests that wait are kept, but have expired: what was answered, and used, after the backup is not known here.
    """
    granted = tx.execute(
        "UPDATE approvals SET revoked = 1 WHERE verdict = 'approved' AND revoked = 0 AND uses_left > 0"
    ).rowcount
    waiting = tx.execute(
        "UPDATE approvals SET expires_ms = ? WHERE verdict = 'pending' AND revoked = 0 AND expires_ms > ?",
        (now_ms, now_ms),
    ).rowcount
    tx.execute("UPDATE break_glass SET uses_left = 0, closed_ms = ? WHERE closed_ms IS NULL", (now_ms,))
    return granted + waiting


def leave_origin(tx: Transaction) -> None:
    """Drop checkpoints that were signed under the origin that is left: it is the log they belong to that ends."""
    size = tx.entry_count()
    tx.execute("DELETE FROM checkpoints")
    tx.execute("DELETE FROM meta WHERE key = 'verified_size'")
    # Indexes from here on are given out anew: a key retired in the part that is lost is retired from here.
    tx.execute("UPDATE retired_keys SET to_index = min(to_index, ?)", (size,))


def keep_ended(tx: Transaction, ends: Mapping[str, int], now_ms: int) -> None:
    """Remember where keys ended that the copy may still believe. An earlier end stands."""
    for key_id, end in ends.items():
        tx.execute(_KEEP_ENDED, (key_id, end, now_ms))


def retired_in(database: Path) -> dict[str, int]:
    """Where each key ended, as a database knows it; nothing when it cannot be read."""
    if not database.exists():
        return {}
    try:
        reader = Reader(database)
    except LedgerError:
        return {}
    try:
        found = reader.rows("SELECT key_id, to_index FROM retired_keys WHERE typeof(to_index) = 'integer'")
    except LedgerError:
        return {}
    finally:
        reader.close()
    return {str(key_id): max(end, 0) for key_id, end in found}


def settle_log(database: Path) -> None:
    """Bring the write-ahead log of a database into it: alone, it is then whole. ConflictError `database_busy`.

    A log that is damaged stays beside it.
    """
    try:
        with closing(connect(database)) as connection, explained():
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except LedgerError:
        return
    if busy:
        raise ConflictError(
            f"another process is reading {database.name}",
            code="database_busy",
            next_step="let the other bywire commands end, then run this again",
        )


def reconciliation_owed(reader: Reader) -> int | None:
    """The ledger index of the restore after which targets were not compared yet."""
    row = reader.row("SELECT value FROM meta WHERE key = ?", (_OWED,))
    return None if row is None else int(row[0])


def require_reconciled(reader: Reader) -> None:
    """ConflictError `reconcile_first` while a restored workspace was not compared with its targets."""
    if reconciliation_owed(reader) is not None:
        raise ConflictError(
            "this workspace was restored, and what its targets did since is not known",
            code="reconcile_first",
            next_step="bywire reconcile; then bywire resume",
        )


def reconciled(tx: Transaction) -> None:
    """The targets were compared; `bywire resume` may lift the stop."""
    tx.execute("DELETE FROM meta WHERE key = ?", (_OWED,))


def root_of(database: Path, size: int) -> bytes:
    """Root of the first `size` entries of a database's log."""
    reader = open_reader(database)
    try:
        with reader.snapshot():
            return log.root_at(reader, size)
    finally:
        reader.close()


def tail_of(database: Path, start: int) -> tuple[int, bytes, dict[str, int]] | None:
    """(size, root at `start`, entries from `start` by kind) of a database's log; None when it cannot be read."""
    if not database.exists():
        return None
    try:
        reader = open_reader(database)
    except LedgerError:
        return None
    try:
        with reader.snapshot():
            size = reader.entry_count()
            root = log.root_at(reader, start) if size >= start else b""
            kinds = Counter(parse_leaf(leaf).kind for _, leaf, _ in reader.rows(start))
            return size, root, dict(kinds)
    except (LedgerError, sqlite3.Error):
        return None
    finally:
        reader.close()
