"""From schema version N-1 to N: nothing is lost, a backup comes first, and a crash leaves one version or the other."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import version_one
import version_three
import version_two

from bywire.adapters.sqlite_approvals import SqliteApprovals
from bywire.adapters.sqlite_database import connect, open_database, schema_version
from bywire.adapters.sqlite_envelope_state import SqliteMachines, SqliteState
from bywire.adapters.sqlite_journal import SqliteJournal
from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_schema import MIGRATIONS
from bywire.adapters.sqlite_writer import Writer
from bywire.ledger import log
from bywire.ledger.entry import leaf_bytes, record_entry
from bywire.ledger.verify import check_tail, verify_all
from bywire.seal import jcs
from bywire.seal.keys import SigningKey

ORIGIN = "log.example/old"
KEY = SigningKey.from_seed(b"o" * 32)
VERSION = len(MIGRATIONS)


def keys(size):
    return (KEY.public,)


BUILDERS = {1: version_one, 2: version_two, 3: version_three}


@pytest.fixture(scope="module", params=BUILDERS)
def version(request):
    return request.param


@pytest.fixture(scope="module")
def old(version, tmp_path_factory):
    path = tmp_path_factory.mktemp("old") / "bywire.db"
    BUILDERS[version].build(path, ORIGIN, KEY)
    return path


@pytest.fixture
def path(old, tmp_path):
    return Path(shutil.copy(old, tmp_path / "bywire.db"))


def rows(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_there_is_a_builder_of_every_version_before_this_one(path, version):
    assert set(BUILDERS) == set(range(1, VERSION)), "a new version needs a builder of the one before it"
    with closing(sqlite3.connect(path)) as connection:
        assert schema_version(connection) == version


def test_a_backup_of_the_old_version_comes_first(path, version):
    before = rows(path, "SELECT count(*) FROM entries")
    open_database(path).close()
    backup = path.with_name(f"bywire.db.backup-v{version}")
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as copy:
        assert schema_version(copy) == version
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert rows(backup, "SELECT count(*) FROM entries") == before
    assert rows(path, "SELECT value FROM meta WHERE key = 'schema_version'") == [(VERSION,)]


def test_the_log_goes_on_where_it_was(path):
    with Writer(path) as writer:
        assert writer.run(lambda tx: check_tail(tx, ORIGIN, keys)) == version_one.ENTRIES
        leaf = leaf_bytes(record_entry("decision", version_one.NOW_MS, "dl-new", b"new"))
        assert writer.run(lambda tx: tx.append(leaf, [b"new"])) == version_one.ENTRIES
        writer.run(lambda tx: log.publish(tx, ORIGIN, KEY))
    reader = open_reader(path)
    report = verify_all(reader, ORIGIN, keys)
    assert (report.ok, report.size, report.checkpoints) == (True, version_one.ENTRIES + 1, 2)
    # What was plain stays plain and readable; what is new is sealed.
    assert [blob for _, _, blob in reader.rows(version_one.ENTRIES - 1)] == [b'{"n": 299}', b"new"]
    reader.close()
    assert rows(path, "SELECT count(*) FROM blobs WHERE key IS NULL") == [(version_one.ENTRIES,)]


def test_everything_beside_the_log_is_still_there(path, version):
    with Writer(path) as writer:
        reader = Reader(path)
        state, approvals = SqliteState(writer, reader), SqliteApprovals(writer, reader)
        (pending,) = approvals.rows()
        assert (pending.packet.id, pending.verdict, pending.envelopes) == (version_one.PACKET["id"], "pending", ())
        assert pending.packet.digest == jcs.digest(version_one.PACKET)  # what was signed then still verifies
        assert state.active_bundle() == version_one.BUNDLE
        assert [stop["target"] for stop in state.stops()] == ["other"]
        assert state.current_epoch() == 5
        stored = SqliteMachines(writer, reader).load("dl-old")
        assert stored is not None
        assert (stored.version, json.loads(stored.state)["goal"]) == (4, "a goal of version 1")
        journal = SqliteJournal(writer, reader, KEY, 6, lambda: version_one.NOW_MS)
        permits, calls = (["old:permit"], ["old:call"]) if version == 3 else ([], [])
        assert {row.key for row in journal.open_intents()} == {"old:open", *permits, *calls}
        assert {row.key for row in journal.recoverable_intents()} == {"old:open", *calls}
        done = journal.find("old:done")
        assert done is not None
        assert done.outcome is not None
        assert done.outcome.result == {"ok": True}
        reader.close()
    assert rows(path, "SELECT scope, hour, used FROM usage") == [
        ("principal:agent:release-controller", version_one.HOUR, 7)
    ]
    assert rows(path, "SELECT id, integrity FROM sessions ORDER BY id") == [
        ("s-clean", "trusted"),
        ("s-tainted", "tainted"),
    ]


def test_a_migrated_database_has_the_tables_of_a_new_one(path, tmp_path):
    new = tmp_path / "new" / "bywire.db"
    open_database(new).close()
    open_database(path).close()
    columns = (
        'SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_master m'
        " JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1, 2"
    )
    assert rows(path, columns) == rows(new, columns)
    assert rows(path, "SELECT name FROM sqlite_master ORDER BY name") == rows(
        new, "SELECT name FROM sqlite_master ORDER BY name"
    )


# Forks once for each statement of the migration, and dies at it.
KILLED = """
import os, signal, sys
from pathlib import Path
from bywire.adapters import sqlite_database
plain = sqlite_database.connect
template, place = Path(sys.argv[1]), Path(sys.argv[2])
reached, step = True, 0
while reached:
    step += 1
    copy = place / str(step) / "bywire.db"
    copy.parent.mkdir()
    copy.write_bytes(template.read_bytes())
    child = os.fork()
    if child == 0:
        seen = 0
        def count(statement):
            global seen
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
        def traced(*arguments, **options):
            connection = plain(*arguments, **options)
            connection.set_trace_callback(count)
            return connection
        sqlite_database.connect = traced
        sqlite_database.open_database(copy).close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    reached = os.WIFSIGNALED(status)
print(step)
"""


def test_a_crash_at_any_statement_leaves_one_version_whole(old, version, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(old), str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    steps = int(done.stdout)
    assert steps > sum(map(len, MIGRATIONS[version:]))
    versions = []
    for step in range(1, steps + 1):
        path = tmp_path / str(step) / "bywire.db"
        with closing(connect(path, read_only=True)) as connection:
            versions.append(schema_version(connection))
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            known = {1: {"budgets"}, 2: {"usage"}, 3: {"usage", "costs", "api_keys", "exchanged"}}
            known[4] = known[3] | {"decided", "recent"}
            assert set().union(*known.values()) & tables == known[versions[-1]], step
        with closing(open_database(path)) as connection:
            assert schema_version(connection) == VERSION
            assert connection.execute("SELECT used FROM usage").fetchall() == [(7,)]
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert versions == sorted(versions)
    assert set(versions) == {version, VERSION}
    reader = open_reader(tmp_path / str(steps // 2) / "bywire.db")
    assert verify_all(reader, ORIGIN, keys).size == version_one.ENTRIES
    reader.close()
