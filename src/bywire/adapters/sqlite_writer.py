"""The group committer: the one thread of a process that writes `bywire.db`.

Works queue up while a commit is on its way to the disk and then share the next one: one `BEGIN IMMEDIATE`, one
statement for all their log rows, one fsync. Nobody is told of a result before the commit that holds it. A work that
raises is rolled back alone. SQLite's lock is the sequencer's lease: indexes are assigned and the tree is integrated
inside it, from what is committed then, so a process that slept cannot append to a log it no longer knows.
"""

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from bywire.adapters.blob_keys import BlobKeys
from bywire.adapters.disk_reserve import DiskReserve
from bywire.adapters.sqlite_database import (
    BUSY_TIMEOUT_MS,
    SQLITE_ERRORS,
    disk_full,
    explain,
    explained,
    is_broken,
    is_disk_full,
    open_database,
)
from bywire.adapters.sqlite_ledger_transaction import Transaction
from bywire.ledger import log
from bywire.model.errors import BywireError, ConflictError, LedgerError

__all__ = ["Pending", "Transaction", "Writer"]

T = TypeVar("T")

BATCH_MAX = 256
QUEUE_MAX = 4_096
# How long the next batch is waited for: a part of what the last commit took, and never long.
PATIENCE = 0.25
PATIENCE_SECONDS_MAX = 0.001
PATIENCE_STEP_SECONDS = 0.000_05
WAL_BYTES_MAX = 16 * 1024 * 1024
WAL_COMMITS_MAX = 400


class Pending(Generic[T]):
    """A queued work's result, for whoever waits. Lighter than a Future: one lock, released once."""

    __slots__ = ("_error", "_result", "_settled", "reducing", "work")

    def __init__(self, work: Callable[[Transaction], T], *, reducing: bool) -> None:
        self.work = work
        self.reducing = reducing
        self._settled = _held_lock()
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Whether `result` returns at once."""
        return not self._settled.locked()

    def result(self, timeout: float = -1) -> T:
        """Wait for the commit (`timeout` in seconds; TimeoutError) and return what the work returned, or raise."""
        if not self._settled.acquire(timeout=timeout):
            raise TimeoutError("the work is not committed yet")
        self._settled.release()
        if self._error is not None:
            raise self._error
        return self._result

    def attempt(self, transaction: Transaction) -> bool:
        """Do the work so that it can be undone alone; remember what to tell, tell nobody yet."""
        transaction.begin()
        try:
            self._result = self.work(transaction)
        except BaseException as error:
            if not transaction.is_open() or is_disk_full(error) or is_broken(error):
                raise
            transaction.undo()
            self._error = _told(error)
            return False
        transaction.keep()
        return True

    def settle(self) -> None:
        """Tell whoever waits."""
        self._settled.release()

    def fail(self, error: BaseException) -> None:
        """Tell whoever waits that it did not happen, unless they were told already."""
        if self._settled.locked():
            self._error = error
            self._settled.release()


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
        self._batch_jobs = 1
        self._commit_seconds = 0.0
        self._broken: BaseException | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._jobs: queue.SimpleQueue[Pending[Any] | None] = queue.SimpleQueue()
        self._keys = BlobKeys.beside(path)
        self._connection = open_database(path)
        self._released = reserve is not None and not reserve.hold()
        self._thread = threading.Thread(target=self._serve, name="bywire-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Transaction], T], *, reducing: bool = False) -> Pending[T]:
        """Queue `work(transaction)`; its result is there after its commit.

        `reducing` marks an exposure-reducing work that was authorised already: on a full disk it alone may use the
        reserve. Raises ConflictError `writer_busy` when QUEUE_MAX works are waiting, LedgerError `writer_closed`.
        """
        job = Pending(work, reducing=reducing)
        with self._closing:
            if self._closed:
                raise LedgerError("the database is closed", code="writer_closed", next_step="start bywire again")
            if self._jobs.qsize() >= QUEUE_MAX:
                raise ConflictError("too many writes are waiting", code="writer_busy", next_step="try again shortly")
            self._jobs.put(job)
        return job

    def run(self, work: Callable[[Transaction], T], *, reducing: bool = False) -> T:
        """Submit and wait. Not from inside a work: the writer would wait for itself."""
        if threading.get_ident() == self._thread.ident:
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
            started = time.monotonic()
            try:
                self._commit(batch)
                self._commit_seconds = time.monotonic() - started
                self._maintain()
            except BaseException as error:  # noqa: BLE001  this thread must outlive any error, or every caller hangs
                # Callers already told keep what they were told: housekeeping after a commit cannot undo it.
                _fail(batch, error)
                if is_broken(error):
                    self._broken = _told(error)
        self._connection.close()

    def _next_batch(self) -> list[Pending[Any]] | None:
        """The first job waits as long as it must; those already queued join it.

        Callers who were just told come back a moment later. Taking the first of them alone would make the others wait
        for a whole commit, so as many as came last time are waited for, briefly.
        """
        job = self._jobs.get()
        if job is None:
            return None
        patience = time.monotonic() + min(self._commit_seconds * PATIENCE, PATIENCE_SECONDS_MAX)
        while self._jobs.qsize() + 1 < self._batch_jobs and time.monotonic() < patience:
            time.sleep(PATIENCE_STEP_SECONDS)
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
        self._batch_jobs = len(batch)
        return batch

    def _commit(self, jobs: list[Pending[Any]]) -> None:
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
        except (BywireError, sqlite3.Error, OSError) as error:
            if not is_disk_full(error):
                raise
            _fail([job for job in admitted if not job.reducing], disk_full())
            retreat = [job for job in admitted if job.reducing]
            if not retreat or not self.release_reserve():
                raise
            self._transact(retreat)

    def _transact(self, jobs: list[Pending[Any]]) -> None:
        if not jobs:
            return
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise explain(error) from error
        transaction = Transaction(connection, self._keys)
        try:
            done = [job.attempt(transaction) for job in jobs]
            if any(done):
                log.integrate(transaction)
            transaction.finish()
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


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _fail(jobs: Sequence[Pending[Any]], error: BaseException) -> None:
    for job in jobs:
        job.fail(_told(error))


def _told(error: BaseException) -> BaseException:
    if isinstance(error, SQLITE_ERRORS):
        return explain(error)
    return disk_full() if isinstance(error, OSError) and is_disk_full(error) else error
