"""The group committer: the one thread of a process that writes `bywire.db`.

Works queue up while a commit is on its way to the disk and then share the next one: one `BEGIN IMMEDIATE`, one
savepoint for each work, one fsync. Nobody is told of a result before the commit that holds it. A work that raises is
rolled back alone. SQLite's lock fences other processes; indexes are assigned and the tree is integrated inside it.
"""

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from bywire.adapters.disk_reserve import DiskReserve
from bywire.adapters.sqlite_database import (
    BUSY_TIMEOUT_MS,
    disk_full,
    explain,
    explained,
    is_broken,
    is_disk_full,
    open_database,
)
from bywire.adapters.sqlite_ledger import SqliteLedger
from bywire.ledger import log
from bywire.model.errors import BywireError, ConflictError, LedgerError

T = TypeVar("T")

BATCH_MAX = 256
QUEUE_MAX = 4_096
WAL_BYTES_MAX = 16 * 1024 * 1024
WAL_COMMITS_MAX = 400


class Transaction(SqliteLedger):
    """What a work sees: the whole database, inside the open write transaction. Not valid after the work returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._entries: int | None = None

    def entry_count(self) -> int:
        """Asked of the database once: nobody else appends while this transaction is open."""
        if self._entries is None:
            self._entries = super().entry_count()
        return self._entries

    def insert_entry(self, index: int, leaf: bytes, leaf_hash: bytes, content: str) -> None:
        """Insert an entry, and count it."""
        self._entries = None
        super().insert_entry(index, leaf, leaf_hash, content)
        self._entries = index + 1

    def begin(self) -> None:
        """Open the savepoint of one work."""
        self._connection.execute("SAVEPOINT work")

    def keep(self) -> None:
        """Close it; what the work did becomes part of the transaction."""
        self._connection.execute("RELEASE work")

    def undo(self) -> None:
        """Roll back what the work did, its entries included."""
        self._entries = None
        self._connection.execute("ROLLBACK TO work")
        self.keep()

    def is_open(self) -> bool:
        """Whether SQLite still holds the transaction open; some of its errors end it."""
        return self._connection.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement. sqlite3 errors reach the work raw, so that it may tell a conflict from a failure."""
        self._entries = None
        return self._connection.execute(sql, values)

    def append(self, leaf: bytes, blobs: Iterable[bytes] = ()) -> int:
        """Append a log entry with its blobs; its index is final once the work's future resolves."""
        return log.append(self, leaf, blobs)


class _Job(Generic[T]):
    def __init__(self, work: Callable[[Transaction], T], *, reducing: bool) -> None:
        self.work = work
        self.reducing = reducing
        self.future: Future[T] = Future()
        self.settle: Callable[[], None] = lambda: None

    def attempt(self, transaction: Transaction) -> bool:
        """Do the work in a savepoint of its own; remember what to tell, tell nobody yet."""
        transaction.begin()
        try:
            result = self.work(transaction)
        except BaseException as error:
            if not transaction.is_open() or is_disk_full(error) or is_broken(error):
                raise
            transaction.undo()
            told = _told(error)
            self.settle = lambda: self.future.set_exception(told)
            return False
        transaction.keep()
        self.settle = lambda: self.future.set_result(result)
        return True


class Writer:
    """Owns the write connection of `path`. `submit` from any thread; `close` when done.

    `reserve` None holds no space back (tests, scratch databases).
    """

    def __init__(self, path: Path, *, reserve: DiskReserve | None = None, batch_max: int = BATCH_MAX) -> None:
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._reserve = reserve
        self._batch_max = batch_max
        self._wal_kept_bytes = 0
        self._wal_commits = 0
        self._broken: BaseException | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._connection = open_database(path)
        self._released = reserve is not None and not reserve.hold()
        self._thread = threading.Thread(target=self._serve, name="bywire-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Transaction], T], *, reducing: bool = False) -> "Future[T]":
        """Queue `work(transaction)`; the future resolves after its commit.

        `reducing` marks an exposure-reducing work that was authorised already: on a full disk it alone may use the
        reserve. Raises ConflictError `writer_busy` when QUEUE_MAX works are waiting, LedgerError `writer_closed`.
        """
        job = _Job(work, reducing=reducing)
        with self._closing:
            if self._closed:
                raise LedgerError("the database is closed", code="writer_closed", next_step="start bywire again")
            if self._jobs.qsize() >= QUEUE_MAX:
                raise ConflictError("too many writes are waiting", code="writer_busy", next_step="try again shortly")
            self._jobs.put(job)
        return job.future

    def run(self, work: Callable[[Transaction], T], *, reducing: bool = False) -> T:
        """Submit and wait. Not from inside a work: the writer would wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a work must not wait for another work")
        return self.submit(work, reducing=reducing).result()

    def release_reserve(self) -> bool:
        """Give the reserved space back to the disk; whether there was any.

        Writes that do not reduce exposure are then refused until the reserve could be held again.
        """
        if self._reserve is None or not self._reserve.release():
            return False
        self._released = True
        return True

    def close(self) -> None:
        """Finish what is queued, then close. Idempotent."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        while (batch := self._next_batch()) is not None:
            jobs = [job for job in batch if job.future.set_running_or_notify_cancel()]
            try:
                self._commit(jobs)
                self._maintain()
            except BaseException as error:  # noqa: BLE001  this thread must outlive any error, or every caller hangs
                # Callers already told keep what they were told: housekeeping after a commit cannot undo it.
                _fail(jobs, error)
                if is_broken(error):
                    self._broken = _told(error)
        self._connection.close()

    def _next_batch(self) -> list[_Job[Any]] | None:
        """The first job waits as long as it must; those already queued join it, none is waited for."""
        job = self._jobs.get()
        if job is None:
            return None
        batch = [job]
        while len(batch) < self._batch_max:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            batch.append(job)
        return batch

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        """Commit a batch and tell its callers; on a full disk the exposure-reducing ones try again from the reserve."""
        if self._broken is not None:
            _fail(jobs, self._broken)
            return
        if self._released and self._reserve is not None:
            self._released = not self._reserve.hold()
        admitted = [job for job in jobs if job.reducing or not self._released]
        _fail([job for job in jobs if job not in admitted], disk_full())
        try:
            self._transact(admitted)
        except (BywireError, sqlite3.Error) as error:
            if not is_disk_full(error):
                raise
            _fail([job for job in admitted if not job.reducing], disk_full())
            retreat = [job for job in admitted if job.reducing]
            if not retreat or not self.release_reserve():
                raise
            self._transact(retreat)

    def _transact(self, jobs: list[_Job[Any]]) -> None:
        if not jobs:
            return
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise explain(error) from error
        transaction = Transaction(connection)
        try:
            done = [job.attempt(transaction) for job in jobs]
            if any(done):
                log.integrate(transaction)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._wal_commits += 1
        for job in jobs:
            job.settle()

    def _maintain(self) -> None:
        """Move the WAL's content into the database from time to time, unless a reader is in the way.

        A file of moderate size is kept and written over from its start, because a commit that does not grow it syncs
        faster; a large one is cut.
        """
        try:
            wal_bytes = os.stat(self._wal).st_size  # noqa: PTH116  Path.stat costs twice as much, after every commit
        except FileNotFoundError:
            return
        if wal_bytes - self._wal_kept_bytes < WAL_BYTES_MAX and self._wal_commits < WAL_COMMITS_MAX:
            return
        self._wal_commits = 0
        self._wal_kept_bytes = wal_bytes
        mode = "TRUNCATE" if wal_bytes >= WAL_BYTES_MAX else "RESTART"
        with explained():
            self._connection.execute("PRAGMA busy_timeout=0")
            try:
                busy, _, _ = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            finally:
                self._connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        if not busy:
            self._wal_kept_bytes = 0


def _fail(jobs: Sequence[_Job[Any]], error: BaseException) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(_told(error))


def _told(error: BaseException) -> BaseException:
    return explain(error) if isinstance(error, sqlite3.Error) else error
