"""The group committer: one commit for many, nobody told too early, one failure hurts one, and kill -9 loses nothing."""

import errno
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bywire.adapters import sqlite_writer
from bywire.adapters.disk_reserve import DiskReserve
from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.sqlite_writer import Writer
from bywire.ledger import log
from bywire.ledger.entry import leaf_bytes, parse_leaf, record_entry
from bywire.ledger.merkle import leaf_hash
from bywire.ledger.verify import check_tail, verify_all
from bywire.model.errors import BywireError, ConflictError, LedgerError
from bywire.seal.keys import SigningKey

ORIGIN = "log.example/workspace"
KEY = SigningKey.from_seed(b"l" * 32)


def keys(size):
    return (KEY.public,)


def appending(text, blob_bytes=0):
    record = text.encode() + b" " * blob_bytes
    leaf = leaf_bytes(record_entry("record", 1, f"record:{text}", record))
    return lambda transaction: transaction.append(leaf, [record])


def of(text):
    record = text.encode()
    return leaf_bytes(record_entry("record", 1, f"record:{text}", record)), [record]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bywire.db"


@pytest.fixture
def writer(path):
    with Writer(path) as opened:
        yield opened


@pytest.fixture
def reader(path, writer):
    opened = open_reader(path)
    yield opened
    opened.close()


class Gate:
    """A work that holds the writer still, so that others queue up behind it."""

    def __init__(self, writer):
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.future = writer.submit(self.work)
        assert self.entered.wait(10)

    def work(self, transaction):
        self.entered.set()
        assert self.opened.wait(10)

    def open(self):
        self.opened.set()
        self.future.result(10)


def test_works_that_wait_share_one_commit(writer):
    statements = []
    gate = Gate(writer)
    writer._connection.set_trace_callback(statements.append)
    futures = [writer.submit(appending(str(number))) for number in range(100)]
    gate.open()
    assert [future.result(10) for future in futures] == list(range(100))
    assert statements.count("COMMIT") == 2  # the gate's own, then one for the hundred


def test_a_batch_has_a_limit(path):
    with Writer(path, batch_max=10) as writer:
        statements = []
        gate = Gate(writer)
        writer._connection.set_trace_callback(statements.append)
        futures = [writer.submit(appending(str(number))) for number in range(25)]
        gate.open()
        assert [future.result(10) for future in futures] == list(range(25))
        assert statements.count("COMMIT") == 4


def test_what_a_caller_was_told_is_committed_and_integrated(writer, reader):
    for number in range(5):
        assert writer.run(appending(str(number))) == number
        with reader.snapshot():
            assert reader.entry_count() == number + 1
            assert int.from_bytes(reader.frontier()[:8], "big") == number + 1


def test_a_work_that_raises_is_rolled_back_alone(writer, reader):
    def failing(transaction):
        transaction.append(*arguments)
        raise ConflictError("the grant was used", code="grant_used")

    record = b"never"
    arguments = (leaf_bytes(record_entry("record", 1, "record:never", record)), [record])
    gate = Gate(writer)
    futures = [writer.submit(work) for work in (appending("a"), failing, appending("b"))]
    gate.open()
    assert futures[0].result(10) == 0
    with pytest.raises(ConflictError, match="grant"):
        futures[1].result(10)
    assert futures[2].result(10) == 1
    assert [parse_leaf(leaf).object for _, leaf, _ in reader.rows(0)] == ["record:a", "record:b"]
    assert reader.blob(parse_leaf(arguments[0]).content) is None


def test_a_work_that_raises_after_touching_sql_takes_only_its_own_back(writer, reader):
    def failing(transaction):
        transaction.append(*of("early"))
        transaction.execute("INSERT INTO meta VALUES ('probe', 1)")
        transaction.append(*of("late"))
        raise ConflictError("the grant was used", code="grant_used")

    def counting(transaction):
        (found,) = transaction.execute("SELECT count(*) FROM entries").fetchone()
        return found, transaction.append(*of("b")), transaction.entry_count()

    gate = Gate(writer)
    pending = [writer.submit(work) for work in (appending("a"), failing, counting, failing, appending("c"))]
    gate.open()
    for index in (1, 3):
        with pytest.raises(ConflictError):
            pending[index].result(10)
    assert (pending[0].result(10), pending[2].result(10), pending[4].result(10)) == (0, (1, 1, 2), 2)
    assert [parse_leaf(leaf).object for _, leaf, _ in reader.rows(0)] == ["record:a", "record:b", "record:c"]
    assert reader._connection.execute("SELECT count(*) FROM meta WHERE key = 'probe'").fetchone() == (0,)
    assert writer.run(lambda transaction: verify_all(transaction, ORIGIN, keys)).ok


def test_appends_of_a_batch_share_their_statements(writer):
    statements = []
    gate = Gate(writer)
    writer._connection.set_trace_callback(statements.append)
    pending = [writer.submit(appending(str(number))) for number in range(50)]
    gate.open()
    assert [one.result(10) for one in pending] == list(range(50))
    assert not [one for one in statements if one.startswith("SAVEPOINT")]


def test_many_who_wait_are_all_told(writer):
    def failing(transaction):
        raise ConflictError("no", code="no")

    gate = Gate(writer)
    with ThreadPoolExecutor(40) as pool:
        told = [pool.submit(writer.run, failing if number % 7 == 3 else appending(str(number))) for number in range(40)]
        unwaited = [writer.submit(appending(f"unwaited-{number}")) for number in range(5)]
        gate.open()
        indexes = [one.result(10) for number, one in enumerate(told) if number % 7 != 3]
        indexes += [one.result(10) for one in unwaited]
        assert sorted(indexes) == list(range(len(indexes)))
        for one in told[3::7]:
            with pytest.raises(ConflictError):
                one.result(10)


def test_a_failure_after_the_commit_takes_nothing_back(writer, monkeypatch):
    monkeypatch.setattr(writer, "_maintain", lambda: 1 / 0)
    gate = Gate(writer)
    with ThreadPoolExecutor(12) as pool:
        told = [pool.submit(writer.run, appending(str(number))) for number in range(12)]
        deadline = time.monotonic() + 10
        while writer._jobs.qsize() < 12:
            assert time.monotonic() < deadline
        gate.open()
        assert sorted(one.result(10) for one in told) == list(range(12))


def test_nobody_waits_for_others_who_were_not_there(writer, monkeypatch):
    waits = []
    monkeypatch.setattr(sqlite_writer.time, "sleep", waits.append)
    for number in range(5):
        writer.run(appending(str(number)))
    assert waits == []


def test_the_same_bytes_in_one_batch_are_stored_once(writer, reader):
    def same(number):
        leaf = leaf_bytes(record_entry("record", number, f"record:{number}", b"same"))
        return lambda transaction: transaction.append(leaf, [b"same"])

    gate = Gate(writer)
    pending = [writer.submit(same(number)) for number in range(5)]
    gate.open()
    assert [one.result(10) for one in pending] == list(range(5))
    assert [blob for _, _, blob in reader.rows(0)] == [b"same"] * 5
    assert reader._connection.execute("SELECT count(*) FROM blobs").fetchone() == (1,)


def test_rows_that_cannot_be_written_fail_everybody_in_the_batch(writer, reader):
    """Rows are written after their work is done: one that the database refuses must not leave others half told."""

    def misuse(transaction):
        content = transaction.put_blob(b"content")
        leaf = leaf_bytes(record_entry("record", 1, "record:gap", b"content"))
        transaction.insert_entry(transaction.entry_count(), leaf, leaf_hash(leaf), "0" * len(content))

    gate = Gate(writer)
    pending = [writer.submit(work) for work in (appending("a"), misuse, lambda tx: tx.execute("SELECT 1"))]
    gate.open()
    for one in pending:
        with pytest.raises(LedgerError) as refused:
            one.result(10)
        assert refused.value.code == "database_constraint"
    assert reader.entry_count() == 0
    assert writer.run(appending("a")) == 0


def test_a_transaction_is_of_no_use_after_its_work(writer, reader):
    kept = []
    writer.run(kept.append)
    for use in (
        lambda: kept[0].append(*of("late")),
        lambda: kept[0].execute("DELETE FROM meta"),
        lambda: kept[0].leaf(0),
        kept[0].frontier,
    ):
        with pytest.raises(LedgerError) as refused:
            use()
        assert refused.value.code == "writer_closed"
    assert reader.entry_count() == 0


def test_whoever_waits_may_give_up_and_ask_again(writer):
    gate = Gate(writer)
    pending = writer.submit(appending("a"))
    assert not pending.done()
    with pytest.raises(TimeoutError):
        pending.result(0.01)
    gate.open()
    assert pending.result(10) == 0
    assert pending.result() == 0
    assert pending.done()


def test_a_full_disk_while_a_data_key_is_made_is_told_as_such(writer, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(writer._keys, "seal", full)
        assert_full(writer.submit(appending("a")))
    assert writer.run(appending("a")) == 0


def test_when_the_batch_cannot_commit_everybody_is_told_so(writer, reader):
    def leave_a_gap(transaction):
        content = transaction.put_blob(b"content")
        leaf = leaf_bytes(record_entry("record", 1, "record:gap", b"content"))
        transaction.insert_entry(7, leaf, leaf_hash(leaf), content)

    gate = Gate(writer)
    futures = [writer.submit(work) for work in (appending("a"), leave_a_gap)]
    gate.open()
    for future in futures:
        with pytest.raises(LedgerError, match="missing"):
            future.result(10)
    assert reader.entry_count() == 0
    assert writer.run(appending("a")) == 0


def test_sqlite_errors_are_explained_to_the_caller(writer):
    with pytest.raises(LedgerError) as error:
        writer.run(lambda transaction: transaction.execute("INSERT INTO entries VALUES (0, x'00', 99, x'00')"))
    assert error.value.code == "database_constraint"


def test_waiting_inside_a_work_is_refused_rather_than_hanging(writer):
    with pytest.raises(RuntimeError, match="wait"):
        writer.run(lambda transaction: writer.run(appending("a")))


def test_closing_finishes_what_was_queued(path):
    writer = Writer(path)
    gate = Gate(writer)
    future = writer.submit(appending("a"))
    closing = threading.Thread(target=writer.close)
    closing.start()
    gate.open()
    closing.join(10)
    assert future.result(0) == 0
    writer.close()
    with pytest.raises(LedgerError) as error:
        writer.submit(appending("b"))
    assert error.value.code == "writer_closed"


def test_two_writers_on_one_file_keep_the_indexes_gapless(path):
    with Writer(path) as one, Writer(path) as two, ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda number: (one, two)[number % 2].run(appending(str(number))), range(120), timeout=60))
        assert sorted(told) == list(range(120))
        one.run(lambda transaction: log.publish(transaction, ORIGIN, KEY))
        assert two.run(lambda transaction: check_tail(transaction, ORIGIN, keys)) == 120
    reader = open_reader(path)
    assert verify_all(reader, ORIGIN, keys).ok
    reader.close()


def test_a_locked_database_is_a_conflict_and_not_the_end(path, writer):
    writer._connection.execute("PRAGMA busy_timeout=20")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ConflictError) as error:
        writer.run(appending("a"))
    assert error.value.code == "database_busy"
    other.execute("ROLLBACK")
    other.close()
    assert writer.run(appending("a")) == 0


def test_after_a_failing_disk_nothing_more_is_believed(writer):
    def failing(transaction):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    for work in (failing, appending("a")):
        with pytest.raises(LedgerError) as refused:
            writer.run(work)
        assert refused.value.code == "database_failed"


class Disk(DiskReserve):
    """A disk whose size the test sets: the reserve really gives room back to SQLite."""

    def __init__(self, path):
        super().__init__(path, 65_536)
        self.pages = None
        self.room = True

    def hold(self):
        return self.room and super().hold()

    def release(self):
        self.pages(1_000)
        self.room = False
        return super().release()


def test_on_a_full_disk_only_retreat_is_recorded(path, tmp_path):
    disk = Disk(tmp_path / "bywire.db.reserve")
    with Writer(path, reserve=disk) as writer:
        assert disk.held()
        writer.run(appending("a"))
        (used,) = writer._connection.execute("PRAGMA page_count").fetchone()
        disk.pages = lambda more: writer._connection.execute(f"PRAGMA max_page_count={used + more}").fetchone()
        disk.pages(1)
        gate = Gate(writer)
        ordinary = writer.submit(appending("b", 100_000))
        retreat = writer.submit(appending("retreat", 100_000), reducing=True)
        gate.open()
        assert_full(ordinary)
        assert retreat.result(10) == 1
        assert not disk.held()
        assert_full(writer.submit(appending("c")))
        assert writer.run(appending("again"), reducing=True) == 2
        disk.room = True
        assert writer.run(appending("c")) == 3
        assert disk.held()


def test_on_a_full_disk_without_a_reserve_nothing_is_half_done(path, writer, reader):
    (used,) = writer._connection.execute("PRAGMA page_count").fetchone()
    writer._connection.execute(f"PRAGMA max_page_count={used + 1}").fetchone()
    for reducing in (False, True):
        assert_full(writer.submit(appending("a", 100_000), reducing=reducing))
    assert reader.entry_count() == 0
    writer._connection.execute(f"PRAGMA max_page_count={used + 1_000}").fetchone()
    assert writer.run(appending("a")) == 0


def assert_full(future):
    with pytest.raises(BywireError) as error:
        future.result(10)
    assert error.value.code == "disk_full"
    assert "free space" in error.value.next_step


def test_the_reserve_is_allocated_and_comes_back(tmp_path):
    reserve = DiskReserve(tmp_path / "reserve", 1_000_000)
    assert reserve.hold()
    status = (tmp_path / "reserve").stat()
    assert status.st_blocks * 512 >= 1_000_000
    assert status.st_mode & 0o777 == 0o600
    assert reserve.release()
    assert not reserve.release()
    assert reserve.hold()
    assert not DiskReserve(tmp_path / "huge", 2**60).hold()


def test_a_large_write_ahead_log_is_moved_into_the_database(path, monkeypatch):
    monkeypatch.setattr(sqlite_writer, "WAL_BYTES_MAX", 200_000)
    wal = path.with_name("bywire.db-wal")
    with Writer(path) as writer:
        for number in range(20):
            writer.run(appending(str(number), 50_000))
        writer.run(lambda transaction: None)
        assert wal.stat().st_size < 400_000
        assert writer.run(lambda transaction: verify_all(transaction, ORIGIN, keys)).ok


CHILD = """
import sys
from pathlib import Path
from bywire.adapters.sqlite_writer import Writer
from bywire.ledger import log
from bywire.ledger.entry import leaf_bytes, record_entry
from bywire.seal.keys import SigningKey
run, key = sys.argv[2], SigningKey.from_seed(b"l" * 32)
writer = Writer(Path(sys.argv[1]))
waiting = []
for number in range(1_000_000):
    record = f"{run} {number}".encode()
    leaf = leaf_bytes(record_entry("record", 1, "record:1", record))
    waiting.append((record.decode(), writer.submit(lambda tx, leaf=leaf, record=record: tx.append(leaf, [record]))))
    if number % 50 == 49:
        writer.run(lambda tx: log.publish(tx, "log.example/workspace", key))
    if len(waiting) == 5:
        for text, future in waiting:
            print(future.result(), text, flush=True)
        waiting = []
"""


def test_kill_minus_nine_loses_nothing_that_was_acknowledged(path):
    rounds, told = random.Random(20), {}
    for run in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(run)], stdout=subprocess.PIPE, text=True
        ) as child:
            lines = [child.stdout.readline()]
            deadline = time.monotonic() + rounds.uniform(0, 0.1)
            while time.monotonic() < deadline:
                lines.append(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            lines.extend(child.stdout.readlines())
        for line in lines:
            if line.endswith("\n"):
                index, text = line.strip().split(" ", 1)
                assert int(index) not in told
                told[int(index)] = text
        with Writer(path) as writer:
            size = writer.run(lambda transaction: check_tail(transaction, ORIGIN, keys))
    reader = open_reader(path)
    report = verify_all(reader, ORIGIN, keys)
    assert (report.ok, report.size) == (True, size)
    for index, text in told.items():
        assert reader.blob(parse_leaf(reader.leaf(index)).content) == text.encode()
    reader.close()
    assert len(told) > 100
