"""Two processes at one database: one answer a person, one settlement a quorum, no use too many, no glass too many."""

import subprocess
import sys
from pathlib import Path

import pytest
from approval_world import GLASS, KEYS, NOW, packet, signed

from bywire.adapters.sqlite_approvals import SqliteApprovals
from bywire.adapters.sqlite_break_glass import SqliteBreakGlass
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Writer
from bywire.approvals.break_glass import sign_break_glass

RACER = Path(__file__).with_name("approval_racer.py")


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "bywire.db"
    Writer(place).close()
    return place


def race(path, what):
    """What each of two processes achieved, acting at once."""
    racers = [
        subprocess.Popen(
            [sys.executable, str(RACER), str(path), what, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        return [int(racer.communicate(timeout=30)[0]) for racer in racers]
    finally:
        for racer in racers:
            if racer.poll() is None:
                racer.kill()
            racer.communicate()


def with_store(path, work):
    with Writer(path) as writer:
        reader = Reader(path)
        try:
            return work(writer, reader)
        finally:
            reader.close()


def test_rule_19_one_person_in_two_processes_with_two_keys_is_one_verdict(path):
    with_store(path, lambda writer, reader: SqliteApprovals(writer, reader).pending(packet(quorum=2)))
    assert sorted(race(path, "answer")) == [0, 1]
    row = with_store(path, lambda writer, reader: SqliteApprovals(writer, reader).row("ap-0"))
    assert (row.verdict, len(row.envelopes), row.uses_left) == ("pending", 1, 0)


def test_a_quorum_that_two_complete_at_once_is_settled_once(path):
    def prepare(writer, reader):
        store = SqliteApprovals(writer, reader)
        store.pending(packet(quorum=2))
        store.settle(*signed(packet(quorum=2)), NOW)

    with_store(path, prepare)
    assert sorted(race(path, "complete")) == [0, 1]
    row = with_store(path, lambda writer, reader: SqliteApprovals(writer, reader).row("ap-0"))
    assert (row.verdict, len(row.envelopes), row.uses_left) == ("approved", 2, 1)


def test_the_uses_of_broken_glass_are_shared_by_all_processes(path):
    envelope, key_id = sign_break_glass(GLASS, KEYS["alice"]), KEYS["alice"].key_id
    with_store(path, lambda writer, reader: SqliteBreakGlass(writer, reader).open(GLASS, envelope, key_id, NOW))
    assert sum(race(path, "use")) == GLASS.uses
    row = with_store(path, lambda writer, reader: SqliteBreakGlass(writer, reader).row(GLASS.id))
    assert row.uses_left == 0


def test_one_person_breaks_one_glass_at_a_time(path):
    assert sorted(race(path, "open")) == [0, 1]
    rows = with_store(path, lambda writer, reader: SqliteBreakGlass(writer, reader).rows())
    assert len(rows) == 1
