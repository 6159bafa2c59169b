"""Bars of the ledger. Each function returns one or more {"bar", "value", "unit", "limit", "ok"}.

`ok` is None, with a `reason`, where this host cannot measure. Run alone: python bench/ledger.py
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.sqlite_writer import WAL_COMMITS_MAX, Writer
from bywire.ledger import log
from bywire.ledger.entry import leaf_bytes, record_entry
from bywire.ledger.verify import verify_all
from bywire.seal.keys import SigningKey

ORIGIN = "bench.example/log"
KEY = SigningKey.from_seed(b"b" * 32)
BATCHES = 200
CALLERS = (1, 8)
TURNS = 20
APPENDS = 200
SYNCS = 100
ENTRIES = 1_000_000
PROOFS = 2_000


def appending(number):
    record = b'{"record":%d}' % number
    leaf = leaf_bytes(record_entry("record", number, f"record:{number}", record))
    return lambda transaction: transaction.append(leaf, [record])


def fsyncs_per_batch():
    """fsync and fdatasync calls of BATCHES further commits, counted by strace; no WAL maintenance falls among them."""
    bar = {"bar": "ledger_fsyncs_per_committed_batch", "value": None, "unit": "fsync", "limit": "<= 1", "ok": None}
    if shutil.which("strace") is None:
        return {**bar, "reason": "strace is not installed"}
    counts = [_count_syncs(batches) for batches in (1, 1 + BATCHES)]
    if None in counts:
        return {**bar, "reason": "strace may not trace here"}
    value = (counts[1] - counts[0]) / BATCHES
    return {**bar, "value": value, "ok": value <= 1}


def _count_syncs(batches):
    with tempfile.TemporaryDirectory(dir=_directory()) as directory:
        summary = Path(directory) / "strace"
        traced = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", str(summary)]
        child = [sys.executable, __file__, "--append", f"{directory}/bywire.db", str(batches)]
        if subprocess.run([*traced, *child], check=False, timeout=300, capture_output=True).returncode:
            return None
        rows = re.findall(
            r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*(?:fsync|fdatasync)$", summary.read_text(), re.MULTILINE
        )
        return sum(map(int, rows))


def _append_and_vanish(path, batches):
    writer = Writer(Path(path))
    for number in range(batches):
        writer.run(appending(number))
    os._exit(0)  # a clean close would add the syncs of the last WAL checkpoint


def appends_per_second(callers):
    """Appends by `callers`, each waiting for its append, against the raw fsync rate of the same file system.

    Both are measured in turns, because a shared disk changes its speed from second to second. The raw rate is that
    of a growing file, one 4 KiB page and one sync at a time: what a log without SQLite would pay for each batch.
    `without_syncs` is the rate that the interpreter alone allows: on a fast disk it, not the disk, sets the pace.
    """
    with tempfile.TemporaryDirectory(dir=_directory()) as directory, Writer(Path(directory) / "bywire.db") as writer:
        for number in range(WAL_COMMITS_MAX + 1):
            writer.run(appending(number))  # past the first WAL checkpoint: the steady state
        commits = _count_calls(writer, "_transact")
        syncing = appended = 0.0
        for turn in range(TURNS):
            syncing += _sync_seconds(directory)
            appended += _append_seconds(writer, callers, WAL_COMMITS_MAX + 1 + turn * APPENDS)
        batches = len(commits)
        writer._connection.execute("PRAGMA synchronous=OFF")
        unsynced = APPENDS / _append_seconds(writer, callers, WAL_COMMITS_MAX + 1 + TURNS * APPENDS)
    rate, syncs, batch = TURNS * APPENDS / appended, TURNS * SYNCS / syncing, TURNS * APPENDS / batches
    limit = 0.5 * syncs * batch
    return {
        "bar": f"ledger_appends_per_second_{callers}_callers",
        "value": round(rate),
        "unit": "appends/s",
        "limit": f">= {limit:.0f} (0.5 x {syncs:.0f} fsync/s x mean batch {batch:.1f})",
        "ok": rate >= limit,
        "without_syncs": round(unsynced),
    }


def _append_seconds(writer, callers, first):
    works = iter([appending(first + number) for number in range(APPENDS)])
    lock = threading.Lock()

    def call():
        while True:
            with lock:
                work = next(works, None)
            if work is None:
                return
            writer.run(work)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def _count_calls(counted, name):
    calls = []
    original = getattr(counted, name)

    def call(*arguments):
        calls.append(None)
        return original(*arguments)

    setattr(counted, name, call)
    return calls


def _sync_seconds(directory):
    sync = getattr(os, "fdatasync", os.fsync)
    descriptor = os.open(f"{directory}/raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        started = time.perf_counter()
        for _ in range(SYNCS):
            os.write(descriptor, b"x" * 4_096)
            sync(descriptor)
        return time.perf_counter() - started
    finally:
        os.close(descriptor)


def million_entries(entries=ENTRIES):
    """Build a log of `entries`, prove random ones, verify all of it."""
    with tempfile.TemporaryDirectory(dir=_directory()) as directory:
        path = Path(directory) / "bywire.db"
        started = time.perf_counter()
        with Writer(path) as writer:
            for first in range(0, entries, 2_000):
                works = [appending(number) for number in range(first, min(first + 2_000, entries))]
                writer.run(lambda transaction, works=works: [work(transaction) for work in works])
                if not first % 50_000:
                    writer.run(lambda transaction: log.publish(transaction, ORIGIN, KEY))
            writer.run(lambda transaction: log.publish(transaction, ORIGIN, KEY))
        built = time.perf_counter() - started
        reader = open_reader(path)
        times = []
        for number in range(PROOFS):
            started = time.perf_counter()
            log.inclusion_proof(reader, number * 7_919 % entries, entries)
            times.append(1_000 * (time.perf_counter() - started))
        started = time.perf_counter()
        with reader.snapshot():
            report = verify_all(reader, ORIGIN, lambda _: (KEY.public,))
        took = time.perf_counter() - started
        reader.close()
        megabytes = path.stat().st_size / 1e6
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    note = {"entries": entries, "built_seconds": round(built, 1), "megabytes": round(megabytes)}
    return [
        {
            "bar": "ledger_inclusion_proof_p50",
            "value": round(p50, 3),
            "unit": "ms",
            "limit": "<= 1",
            "ok": p50 <= 1,
            "p99": round(p99, 3),
            **note,
        },
        {
            "bar": "ledger_verify_all",
            "value": round(took, 2),
            "unit": "s",
            "limit": "<= 10",
            "ok": report.ok and report.size == entries and took <= 10,
            **note,
        },
    ]


def _directory():
    """A directory on the file system whose syncs count; BENCH_DIR when the default is in memory."""
    return os.environ.get("BENCH_DIR")


def bars():
    """Every bar of the ledger."""
    return [fsyncs_per_batch(), *map(appends_per_second, CALLERS), *million_entries()]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--append"]:
        _append_and_vanish(sys.argv[2], int(sys.argv[3]))
    for bar in bars():
        print(json.dumps(bar))
