"""Eight processes on one database for BYWIRE_SOAK_SECONDS (default 600), some of them killed and started again.

The log stays gapless and verifies, nothing acknowledged is lost, nothing happens twice, and neither memory nor the
write-ahead log grows without end. The short run is the same for a few seconds.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from door_world import CONTROLLER
from writer import opened

WRITER = Path(__file__).with_name("writer.py")
WRITERS = 8
SOAK_SECONDS = float(os.environ.get("BYWIRE_SOAK_SECONDS", "600"))
KILL_EVERY_SECONDS = 3.0
RSS_MAX = 300 * 2**20
RSS_GROWTH_MAX = 64 * 2**20
WAL_MAX = 64 * 2**20
PAGE = os.sysconf("SC_PAGE_SIZE")
END_SECONDS = 60


class Crowd:
    """The writers, and what was seen of them while they ran."""

    def __init__(self, directory):
        self.directory = directory
        self.running = {}
        self.kills = 0
        self.first_rss, self.last_rss, self.wal = {}, {}, 0

    def start(self, name):
        self.running[name] = subprocess.Popen([sys.executable, str(WRITER), str(self.directory), name])

    def kill(self, name):
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        self.kills += 1

    def look(self):
        assert [name for name, process in self.running.items() if process.poll() is not None] == [], "a writer fell"
        wal = self.directory / "bywire.db-wal"
        self.wal = max(self.wal, wal.stat().st_size if wal.exists() else 0)
        for process in self.running.values():
            statm = Path(f"/proc/{process.pid}/statm")
            if statm.exists():
                rss = int(statm.read_text().split()[1]) * PAGE
                self.last_rss[process.pid] = rss

    def end(self):
        (self.directory / "stop").touch()
        for process in self.running.values():
            assert process.wait(END_SECONDS) == 0


def soak(directory, seconds):
    """Let them write; every few seconds one dies and another takes its place."""
    opened(directory, take_over=True).close()
    crowd = Crowd(directory)
    ends = time.monotonic() + seconds
    try:
        for number in range(WRITERS):
            crowd.start(f"w{number}")
        kill_at = time.monotonic() + KILL_EVERY_SECONDS
        while time.monotonic() < ends:
            time.sleep(0.2)
            crowd.look()
            if time.monotonic() > kill_at:
                # The first half lives to the end, so that its memory can be watched.
                victim = f"w{WRITERS // 2 + crowd.kills % (WRITERS // 2)}"
                crowd.kill(victim)
                crowd.start(victim)
                kill_at = time.monotonic() + KILL_EVERY_SECONDS
            if not crowd.first_rss and time.monotonic() > ends - seconds * 0.7:
                crowd.first_rss = dict(crowd.last_rss)
        crowd.end()
    finally:
        for process in crowd.running.values():
            if process.poll() is None:
                process.kill()
                process.wait(20)
    return crowd


def check(directory, crowd):
    """Every promise, against what is in the files; the numbers, for whoever compares runs."""
    told = [line.split(" ") for place in directory.glob("told-*") for line in place.read_text().splitlines()]
    before = Counter((directory / "sent").read_text().splitlines())
    (directory / "stop").unlink()
    world = opened(directory, take_over=True)
    try:
        left = {key: state for key, state in world.intents().items() if state in {"intended", "unknown"}}
        # Nothing was sent that was not intended, and what cannot be repeated was sent once at most.
        assert set(before) <= set(world.intents())
        assert {key: count for key, count in before.items() if count > 1} == {}
        assert len(left) <= crowd.kills, "only a killed writer leaves its last intent open"
        world.recover()
        intents, after = world.intents(), Counter((directory / "sent").read_text().splitlines())
        assert {key for key, state in intents.items() if state != "committed"} == {
            key for key in left if "|page_person|" in key
        }, "what can be settled is; the rest waits for a person"
        for name, status in told:
            assert status in {"committed", "unknown"}, (name, status)
            if status == "committed":
                assert intents[f"{CONTROLLER}|{name}"] == "committed"
                assert after[f"{CONTROLLER}|{name}"] >= 1
        assert {key: count for key, count in after.items() if count > 1 and key not in left} == {}
        indexes = [index for index, _, _ in world.ledger.rows(0)]
        assert indexes == list(range(len(indexes))), "gapless"
        kinds = Counter(leaf["kind"] for leaf in world.entries())
        assert kinds["intent"] == len(intents)
        assert kinds["outcome"] >= sum(state == "committed" for state in intents.values())
        assert world.verify().ok
    finally:
        world.close()
    growth = [crowd.last_rss[pid] - rss for pid, rss in crowd.first_rss.items() if pid in crowd.last_rss]
    measured = {
        "calls": len(told),
        "entries": len(indexes),
        "kills": crowd.kills,
        "left_open": len(left),
        "rss_max_mib": round(max(crowd.last_rss.values(), default=0) / 2**20),
        "rss_growth_max_mib": round(max(growth, default=0) / 2**20),
        "wal_max_mib": round(crowd.wal / 2**20, 1),
    }
    sys.stderr.write(f"{json.dumps(measured)}\n")
    assert crowd.wal < WAL_MAX, measured
    assert all(rss < RSS_MAX for rss in crowd.last_rss.values()), measured
    assert all(more < RSS_GROWTH_MAX for more in growth), measured
    return measured


@pytest.mark.timeout(120)
def test_eight_writers_for_a_moment(tmp_path):
    measured = check(tmp_path, soak(tmp_path, 7))
    assert measured["kills"] >= 1
    assert measured["calls"] > WRITERS * 3


@pytest.mark.soak
@pytest.mark.timeout(SOAK_SECONDS + 1_200)
def test_eight_writers_for_long(tmp_path):
    measured = check(tmp_path, soak(tmp_path, SOAK_SECONDS))
    assert measured["kills"] >= SOAK_SECONDS / KILL_EVERY_SECONDS / 4
