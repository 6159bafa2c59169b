"""Opening the database: private, current, backed up before it is migrated, and clear about what is wrong."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from bywire.adapters.sqlite_database import connect, open_database, schema_version
from bywire.adapters.sqlite_schema import MIGRATIONS
from bywire.model.errors import LedgerError

NEXT = (*MIGRATIONS, ("CREATE TABLE later (a INTEGER)", "INSERT INTO later VALUES (7)"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "operator" / "bywire.db"


def code_of(call, *arguments):
    with pytest.raises(LedgerError) as error:
        call(*arguments)
    assert error.value.next_step
    return error.value.code


def test_a_new_database_is_private_and_durable(path):
    with closing(open_database(path)) as connection:
        settings = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "trusted_schema")
        ]
        assert settings == ["wal", 2, 1, 0, 0]
        connection.execute("INSERT INTO meta VALUES ('probe', 1)")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_exposed_file_is_made_private_again(path):
    open_database(path).close()
    path.chmod(0o644)
    open_database(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_opening_again_changes_nothing(path):
    open_database(path).close()
    with closing(open_database(path)) as connection:
        assert schema_version(connection) == len(MIGRATIONS)
    assert not list(path.parent.glob("*.backup-*"))


def test_many_at_once_open_a_new_database(path):
    with ThreadPoolExecutor(6) as pool:
        for connection in pool.map(lambda _: open_database(path), range(12)):
            assert schema_version(connection) == len(MIGRATIONS)
            connection.close()


def test_a_migration_is_preceded_by_a_private_backup(path):
    with closing(open_database(path)) as connection:
        connection.execute("INSERT INTO meta VALUES ('probe', 'before')")
    with closing(open_database(path, NEXT)) as connection:
        assert schema_version(connection) == len(NEXT)
        assert connection.execute("SELECT a FROM later").fetchone() == (7,)
    backup = path.with_name(f"bywire.db.backup-v{len(MIGRATIONS)}")
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(connect(backup, read_only=True)) as copy:
        assert schema_version(copy) == len(MIGRATIONS)
        assert copy.execute("SELECT value FROM meta WHERE key = 'probe'").fetchone() == ("before",)
    assert code_of(open_database, path) == "schema_newer"


def test_a_migration_that_fails_leaves_the_old_version(path):
    open_database(path).close()
    broken = (*MIGRATIONS, ("CREATE TABLE later (a INTEGER)", "this is not SQL"))
    assert code_of(open_database, path, broken) == "database_failed"
    with closing(open_database(path)) as connection:
        assert schema_version(connection) == len(MIGRATIONS)
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'later'").fetchone()


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be read as one" * 40, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database_is_refused_and_kept(path, content):
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    assert code_of(open_database, path) == "database_corrupt"
    assert path.read_bytes() == content


def test_a_damaged_database_is_refused(path):
    with closing(open_database(path)) as connection:
        connection.execute("INSERT INTO blobs (digest, bytes) VALUES (zeroblob(32), zeroblob(100000))")
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(data)
    assert code_of(open_database, path) == "database_corrupt"


def test_a_missing_directory_or_a_link_is_refused(tmp_path):
    assert code_of(connect, tmp_path / "nowhere" / "bywire.db") == "database_unavailable"
    target = tmp_path / "elsewhere"
    target.write_bytes(b"")
    (tmp_path / "bywire.db").symlink_to(target)
    assert code_of(open_database, tmp_path / "bywire.db") == "database_unavailable"
    (tmp_path / "file").write_text("")
    assert code_of(open_database, tmp_path / "file" / "bywire.db") == "database_unavailable"


def test_a_reader_cannot_write(path):
    open_database(path).close()
    with closing(connect(path, read_only=True)) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM meta")
