"""Opening `bywire.db`: one file, WAL, synchronous=FULL, private to its owner, at the schema version of this program.

`open_database` creates or migrates; `connect` opens a further connection to a database that is already current.
`explained` turns SQLite's errors into ours.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bywire.adapters.blob_keys import BlobKeys
from bywire.adapters.directory_sync import sync_directory
from bywire.adapters.sqlite_schema import META_TABLE, MIGRATIONS
from bywire.model.errors import BywireError, ConflictError, LedgerError

BUSY_TIMEOUT_MS = 5_000
CACHE_KIB = 32_768
_RESTORE = "stop bywire, keep the file as it is, and restore the newest backup that is not behind the last checkpoint"
_PRIMARY_CODE = 0xFF
# When a damaged schema is quoted in SQLite's message, Python fails to decode that and says so instead.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)


def open_database(path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> sqlite3.Connection:
    """Open the database for writing, creating it (0600, in a 0700 directory) or migrating it as needed.

    A backup `<name>.backup-v<N>` is taken before a database of version N is migrated. Raises LedgerError
    `database_corrupt`, `database_unavailable`, `schema_newer`; BywireError `disk_full`; ConflictError `database_busy`.
    """
    _make_private(path)
    connection = connect(path)
    try:
        with explained():
            connection.execute("PRAGMA journal_mode=WAL")
        _migrate(connection, path, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with our settings, in autocommit mode: transactions are opened by name, never implicitly.

    It may be handed to another thread, but used by one at a time. Queries read a blob with
    `unsealed(digest, key, bytes)`, which is NULL when its data key is gone.
    """
    with explained():
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1_000,
        )
    try:
        with explained():
            for pragma in (
                "synchronous=FULL",
                "fullfsync=ON",
                "checkpoint_fullfsync=ON",
                "foreign_keys=ON",
                f"busy_timeout={BUSY_TIMEOUT_MS}",
                "wal_autocheckpoint=0",
                "trusted_schema=OFF",
                "cell_size_check=ON",
                f"cache_size=-{CACHE_KIB}",
                f"query_only={'ON' if read_only else 'OFF'}",
            ):
                connection.execute(f"PRAGMA {pragma}")
            connection.create_function("unsealed", 3, BlobKeys.beside(path).unseal)
            connection.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        connection.close()
        raise
    return connection


def database_file(connection: sqlite3.Connection) -> Path:
    """The file behind a connection."""
    return Path(connection.execute("PRAGMA database_list").fetchone()[2])


@contextmanager
def explained() -> Iterator[None]:
    """Turn SQLite's errors inside the block into ours."""
    try:
        yield
    except SQLITE_ERRORS as error:
        raise explain(error) from error


def explain(error: sqlite3.Error | UnicodeDecodeError) -> BywireError:
    """One clear error, with a stable code and a next step, for what SQLite reports."""
    if isinstance(error, UnicodeDecodeError):
        return LedgerError("bywire.db is damaged: its schema is not text", code="database_corrupt", next_step=_RESTORE)
    primary = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if _is_full(error):
        return disk_full()
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return ConflictError(
            "another process holds bywire.db",
            code="database_busy",
            next_step="wait for the other bywire command to finish, then run this one again",
        )
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return LedgerError(f"bywire.db is damaged: {error}", code="database_corrupt", next_step=_RESTORE)
    if primary in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return LedgerError(
            f"bywire.db cannot be opened or written: {error}",
            code="database_unavailable",
            next_step="check that the operator directory exists and belongs to the user who runs bywire",
        )
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return LedgerError(f"bywire.db refused a row: {error}", code="database_constraint", next_step=_RESTORE)
    return LedgerError(f"bywire.db failed: {error}", code="database_failed", next_step=_RESTORE)


def disk_full() -> BywireError:
    """What a person is told when the database cannot grow."""
    return BywireError(
        "the disk that holds bywire.db is full; nothing was recorded",
        code="disk_full",
        next_step="free space there and run the command again; retreat to the last good release stays possible",
    )


def is_disk_full(error: BaseException) -> bool:
    """Whether SQLite, directly or behind one of our errors, or the file system said that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    cause = sqlite_cause(error)
    return cause is not None and _is_full(cause)


def is_broken(error: BaseException) -> bool:
    """Whether SQLite reported a failing disk or a damaged file: after that no later success can be believed."""
    cause = sqlite_cause(error)
    code = getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return not is_disk_full(error) and code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def sqlite_cause(error: BaseException) -> sqlite3.Error | None:
    """The SQLite error that `error` is or directly explains."""
    cause = error.__cause__ if isinstance(error, BywireError) else error
    return cause if isinstance(cause, sqlite3.Error) else None


def _is_full(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    # The shared-memory file of the WAL cannot grow either on a full disk, and says so in its own way.
    return code & _PRIMARY_CODE == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE


def schema_version(connection: sqlite3.Connection) -> int:
    """The version a database is at; 0 for a new one."""
    with explained():
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE type='table' AND name='meta'").fetchone():
            return 0
        row = connection.execute("SELECT value FROM meta WHERE key='schema_version'").fetchone()
    return int(row[0]) if row else 0


def copy_database(connection: sqlite3.Connection, target: Path) -> None:
    """A consistent private copy of one committed state, as a single file, durably; others may go on writing."""
    _make_private(target)
    with explained(), closing(sqlite3.connect(target, isolation_level=None)) as copy:
        connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    with target.open("rb") as written:
        os.fsync(written.fileno())


def compact(path: Path) -> None:
    """Write the database anew, so that nothing of deleted rows is left in its pages, or in the WAL beside it.

    ConflictError `database_busy` while another process still reads what was there before.
    """
    with explained(), closing(connect(path)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("VACUUM")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise ConflictError(
            f"another process is reading {path.name}, so what was deleted still lies beside it",
            code="database_busy",
            next_step="let the other bywire commands end, then run this again: it finishes what was begun",
        )


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]) -> None:
    version = _checked_version(connection, migrations)
    if version == len(migrations):
        return
    if version:
        _back_up(connection, path.with_name(f"{path.name}.backup-v{version}"))
    with explained():
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read again: another process may have migrated while this one waited for the lock.
            for step in migrations[_checked_version(connection, migrations) :]:
                for statement in step:
                    connection.execute(statement)
            connection.execute(META_TABLE)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (len(migrations),))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _checked_version(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> int:
    version = schema_version(connection)
    if version > len(migrations):
        raise LedgerError(
            f"bywire.db has schema version {version}; this bywire knows {len(migrations)}",
            code="schema_newer",
            next_step="install the bywire version that wrote it, or a newer one",
        )
    return version


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    copy_database(connection, partial)
    partial.replace(target)
    sync_directory(target.parent)


def _make_private(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be created or opened: {error.strerror}",
            code="database_unavailable",
            next_step="check that the operator directory exists and belongs to the user who runs bywire",
        ) from error
