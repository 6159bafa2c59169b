"""Bars of the ledger: syncs a commit, appends against the disk's own pace, what group commit gains with many writers,
proofs and verification at 1e6 entries.

The pace of appending is judged on a disk of SLOW_SYNC_MS a sync (this one, slowed by strace), because there the disk
sets the pace and group commit earns its keep. Where a sync takes a fraction of a millisecond the interpreter sets it:
this disk as it is counts when it meets the bar, and is otherwise told with the sync time from which it would.
Run alone: python -m bench ledger
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

from bench.measured import at_least, at_most, not_judged, tell
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
SLOW_SYNC_MS = 4
TURNS = 10
APPENDS = 200
WRITERS = 64
APPENDS_ALONE = 100
APPENDS_EACH = 20
GAIN_TURNS = 12
GAIN_MIN = 8
SYNCS = 100
ENTRIES = 1_000_000
PROOFS = 2_000
PROOF_MS_MAX = 1
VERIFY_SECONDS_MAX = 10


def appending(number):
    record = b'{"record":%d}' % number
    leaf = leaf_bytes(record_entry("record", number, f"record:{number}", record))
    return lambda transaction: transaction.append(leaf, [record])


def fsyncs_per_batch():
    """fsync and fdatasync calls of BATCHES further commits, counted by strace; no WAL maintenance falls among them."""
    bar, limit = "ledger_fsyncs_per_committed_batch", 1
    counts = [_count_syncs(batches) for batches in (1, 1 + BATCHES)]
    if None in counts:
        return not_judged(bar, "strace is missing or may not trace here", "fsync", f"<= {limit}")
    return at_most(bar, (counts[1] - counts[0]) / BATCHES, "fsync", limit)


def _count_syncs(batches):
    with tempfile.TemporaryDirectory(dir=_directory()) as directory:
        summary = Path(directory) / "strace"
        options = ["-c", "-e", "trace=fsync,fdatasync", "-o", str(summary)]
        if _traced(options, "--append", f"{directory}/bywire.db", str(batches)) is None:
            return None
        rows = re.findall(
            r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*(?:fsync|fdatasync)$", summary.read_text(), re.MULTILINE
        )
        return sum(map(int, rows))


def _traced(options, *arguments):
    """Standard output of this module run under strace; None where that is impossible."""
    if shutil.which("strace") is None:
        return None
    child = [sys.executable, "-m", "bench.ledger", *arguments]
    done = subprocess.run(["strace", "-f", *options, *child], check=False, timeout=300, capture_output=True)
    return None if done.returncode else done.stdout


def _append_and_vanish(path, batches):
    writer = Writer(Path(path))
    for number in range(batches):
        writer.run(appending(number))
    os._exit(0)  # a clean close would add the syncs of the last WAL checkpoint


def append_pace(callers):
    """Appends by `callers`, each waiting for its append, against the raw sync rate of the same file system.

    Both are measured in turns, because a shared disk changes its speed from second to second. The raw rate is that
    of a growing file, one 4 KiB page and one sync at a time: what a log without SQLite would pay for each batch.
    `without_syncs` is the rate that the interpreter alone allows.
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
    return {
        "rate": TURNS * APPENDS / appended,
        "syncs": TURNS * SYNCS / syncing,
        "batch": TURNS * APPENDS / batches,
        "without_syncs": unsynced,
    }


def _slowed(*arguments):
    """Standard output of this module where each sync takes SLOW_SYNC_MS longer; None where that is impossible."""
    delayed = f"fsync,fdatasync:delay_exit={SLOW_SYNC_MS * 1_000}"
    options = ["--seccomp-bpf", "-qq", "-o", os.devnull, "-e", "trace=fsync,fdatasync", "-e", f"inject={delayed}"]
    return _traced(options, *arguments)


def appends_per_second(callers):
    """On a slow disk, and here."""
    bar = f"ledger_appends_{callers}_caller{'s' * (callers > 1)}"
    slow = f"{bar}_{SLOW_SYNC_MS}_ms_sync"
    said = _slowed("--pace", str(callers))
    if said is None:
        yield not_judged(slow, "strace is missing or may not slow syncs here", "appends/s", ">= 0.5 x syncs x batch")
    else:
        yield _paced(slow, json.loads(said))
    pace = append_pace(callers)
    here = _paced(bar, pace)
    if not here["ok"]:
        sync_ms = 1_000 / pace["syncs"]
        enough_ms = 1_000 * pace["batch"] / pace["rate"] - sync_ms
        tell(f"{bar}: this disk syncs in {sync_ms:.2f} ms, the interpreter sets the pace; met from {enough_ms:.2f} ms")
    yield here


def group_commit_gain():
    """The rate of WRITERS that append at once over that of one alone, in turns of one run, on one database.

    Each waits for its own append before the next, as a thread that decides would. The turns alternate because a shared
    disk, and a shared processor, change their pace from second to second. The slower a sync, the larger the gain; where
    it takes a fraction of a millisecond, waking 64 threads is most of what an append costs.
    """
    with tempfile.TemporaryDirectory(dir=_directory()) as directory, Writer(Path(directory) / "bywire.db") as writer:
        for number in range(WAL_COMMITS_MAX + 1):
            writer.run(appending(number))
        commits = _count_calls(writer, "_transact")
        first, seconds, batches = WAL_COMMITS_MAX + 1, {1: 0.0, WRITERS: 0.0}, {1: 0, WRITERS: 0}
        appends = {1: APPENDS_ALONE, WRITERS: WRITERS * APPENDS_EACH}
        syncing = 0.0
        for _ in range(GAIN_TURNS):
            syncing += _sync_seconds(directory)
            for callers, count in appends.items():
                before = len(commits)
                seconds[callers] += _together_seconds(writer, callers, count, first)
                batches[callers] += len(commits) - before
                first += count
    rates = {callers: GAIN_TURNS * appends[callers] / seconds[callers] for callers in appends}
    return {
        "gain": rates[WRITERS] / rates[1],
        "alone": rates[1],
        "together": rates[WRITERS],
        "batch": GAIN_TURNS * appends[WRITERS] / batches[WRITERS],
        "sync_ms": 1_000 * syncing / (GAIN_TURNS * SYNCS),
    }


def _together_seconds(writer, callers, appends, first):
    """Until `callers` threads, each with its own share, have made `appends` in all."""
    each = appends // callers
    shares = [[appending(first + each * caller + number) for number in range(each)] for caller in range(callers)]
    ready = threading.Barrier(callers + 1)

    def call(works):
        ready.wait()
        for work in works:
            writer.run(work)

    threads = [threading.Thread(target=call, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def group_commit():
    """The gain here, and on a slow disk: each is a bar of its own."""
    bar = f"ledger_group_commit_{WRITERS}_over_1"
    slow = f"{bar}_{SLOW_SYNC_MS}_ms_sync"
    said = _slowed("--gain")
    if said is None:
        yield not_judged(slow, "strace is missing or may not slow syncs here", "x", f">= {GAIN_MIN}")
    else:
        yield _gained(slow, json.loads(said))
    yield _gained(bar, group_commit_gain())


def _gained(bar, found):
    tell(
        f"{bar}: 1 writer {found['alone']:.0f}/s, {WRITERS} writers {found['together']:.0f}/s"
        f" in batches of {found['batch']:.1f}; a sync takes {found['sync_ms']:.2f} ms; limit {GAIN_MIN} x"
    )
    return at_least(bar, found["gain"], "x", GAIN_MIN, digits=2)


def _paced(bar, pace):
    told = ", ".join(f"{name} {value:.1f}" for name, value in pace.items())
    tell(f"{bar}: {told}; limit 0.5 x syncs x batch")
    return at_least(bar, pace["rate"], "appends/s", 0.5 * pace["syncs"] * pace["batch"])


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
            writer._connection.execute("PRAGMA synchronous=OFF")  # building is no bar
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
    tell(f"{entries} entries built in {built:.1f} s, {megabytes:.0f} MB; inclusion proof p99 {p99:.2f} ms")
    verified = at_most("ledger_verify_all", took, "s", VERIFY_SECONDS_MAX, digits=2)
    yield at_most("ledger_inclusion_proof_p50", p50, "ms", PROOF_MS_MAX)
    yield {**verified, "ok": verified["ok"] and report.ok and report.size == entries}


def _directory():
    """A directory on the file system whose syncs count; BENCH_DIR when the default is in memory."""
    return os.environ.get("BENCH_DIR")


def bars():
    """Every bar of the ledger."""
    yield fsyncs_per_batch()
    for callers in CALLERS:
        yield from appends_per_second(callers)
    yield from group_commit()
    yield from million_entries()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--append"]:
        _append_and_vanish(sys.argv[2], int(sys.argv[3]))
    if sys.argv[1:2] == ["--pace"]:
        print(json.dumps(append_pace(int(sys.argv[2]))))
    if sys.argv[1:2] == ["--gain"]:
        print(json.dumps(group_commit_gain()))
