"""Two processes that append to one log: SQLite's lock is the sequencer's lease, and a process that slept knows nothing.

Whatever a process saw before it was paused, an index is given out under the lock, from what is committed by then.
"""

import signal
import subprocess
import sys
import time

import pytest

from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.sqlite_writer import Writer
from bywire.ledger import log
from bywire.ledger.entry import leaf_bytes, parse_leaf, record_entry
from bywire.ledger.verify import check_tail, verify_all
from bywire.model.errors import ConflictError
from bywire.seal.keys import SigningKey

ORIGIN = "log.example/two"
KEY = SigningKey.from_seed(b"t" * 32)

# Appends one entry for each line it reads and tells its index. `hold` stops inside the transaction, before the append.
CHILD = """
import os, signal, sys
from pathlib import Path
from bywire.adapters.sqlite_writer import Writer
from bywire.ledger.entry import leaf_bytes, record_entry
with Writer(Path(sys.argv[1])) as writer:
    print("ready", flush=True)
    for line in sys.stdin:
        text = line.strip()
        def work(tx):
            count = tx.entry_count()
            if text.startswith("hold"):
                print("holding", count, flush=True)
                os.kill(os.getpid(), signal.SIGSTOP)
            record = text.encode()
            return tx.append(leaf_bytes(record_entry("record", 1, "record:child", record)), [record])
        print("appended", writer.run(work), flush=True)
"""


def keys(size):
    return (KEY.public,)


class Child:
    def __init__(self, path):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.read() == "ready"

    def send(self, text):
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def read(self):
        return self.process.stdout.readline().strip()

    def signal(self, number):
        self.process.send_signal(number)

    def until_stopped(self):
        """The whole process has stopped, not only the thread that asked for it."""
        deadline = time.monotonic() + 10
        place = f"/proc/{self.process.pid}/stat"
        while time.monotonic() < deadline:
            with open(place) as stat:
                if stat.read().rpartition(")")[2].split()[0] == "T":
                    return
            time.sleep(0.01)
        raise AssertionError("it did not stop")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bywire.db"


@pytest.fixture
def writer(path):
    with Writer(path) as opened:
        opened._connection.execute("PRAGMA busy_timeout=50")
        yield opened


@pytest.fixture
def child(path, writer):
    running = Child(path)
    yield running
    running.close()


def append(writer, text):
    record = text.encode()
    leaf = leaf_bytes(record_entry("record", 1, f"record:{text}", record))
    return writer.run(lambda tx: tx.append(leaf, [record]))


def objects(path):
    reader = open_reader(path)
    try:
        assert verify_all(reader, ORIGIN, keys).ok
        return [parse_leaf(leaf).object for _, leaf, _ in reader.rows(0)]
    finally:
        reader.close()


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc to see that a process has stopped")


@linux
def test_rule_24_who_sleeps_with_the_lease_blocks_and_is_not_overtaken(path, writer, child):
    append(writer, "first")
    child.send("hold")
    assert child.read() == "holding 1"
    child.until_stopped()
    with pytest.raises(ConflictError) as busy:
        append(writer, "meanwhile")
    assert busy.value.code == "database_busy"
    child.signal(signal.SIGCONT)
    assert child.read() == "appended 1"
    assert append(writer, "after") == 2
    assert objects(path) == ["record:first", "record:child", "record:after"]


@linux
def test_rule_24_who_dies_with_the_lease_leaves_nothing_behind(path, writer, child):
    append(writer, "first")
    child.send("hold")
    assert child.read() == "holding 1"
    child.until_stopped()
    child.signal(signal.SIGKILL)
    child.process.wait(10)
    assert append(writer, "after") == 1
    assert writer.run(lambda tx: check_tail(tx, ORIGIN, keys)) == 2
    assert objects(path) == ["record:first", "record:after"]


@linux
def test_rule_24_who_slept_without_the_lease_appends_to_the_log_as_it_is_now(path, writer, child):
    child.send("one")
    assert child.read() == "appended 0"
    child.signal(signal.SIGSTOP)
    child.until_stopped()
    child.send("two")
    for number in range(50):
        assert append(writer, str(number)) == 1 + number
    note = writer.run(lambda tx: log.publish(tx, ORIGIN, KEY))
    child.signal(signal.SIGCONT)
    assert child.read() == "appended 51"
    assert objects(path)[-1] == "record:child"
    # Published before the sleeper woke, and true afterwards.
    assert writer.run(lambda tx: check_tail(tx, ORIGIN, keys, [note])) == 52


def test_rule_24_two_that_append_at_once_leave_no_gap_and_one_root_for_a_size(path, writer, child):
    writer._connection.execute("PRAGMA busy_timeout=5000")
    notes = {}
    for number in range(40):
        child.send(f"child {number}")
        append(writer, str(number))
        if number % 4 == 0:
            note = writer.run(lambda tx: log.publish(tx, ORIGIN, KEY))
            assert notes.setdefault(note.split("\n")[1], note) == note
    told = sorted(int(child.read().removeprefix("appended ")) for _ in range(40))
    assert len(set(told)) == 40
    assert len(objects(path)) == 80
    assert writer.run(lambda tx: check_tail(tx, ORIGIN, keys, list(notes.values()))) == 80
