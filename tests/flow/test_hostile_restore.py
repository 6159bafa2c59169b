"""Attacks on a restore: old trust roots, a backup that changes under the reader, cuts in the middle, strange files."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from scene import Scene, refused

from bywire.adapters import backup_files
from bywire.adapters.clock import HighWaterClock
from bywire.identity.trust import parse_trust_root
from bywire.ledger.entry import leaf_bytes, record_entry
from bywire.model.errors import LedgerError
from bywire.model.principal import KeyRole
from bywire.wiring import restoring
from bywire.wiring.key_changes import replace_key, revoke_key
from bywire.wiring.workspace import LOG_PRINCIPAL

PLANNER = "agent:planner"
FORK = ("--fork", "--reason", "the disk died", "--as", "oncall")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("hostile") / "scene").prepared()
    with opened(scene) as workspace:
        append(workspace, 3)
    place = scene.root / "backup"
    assert scene.bywire("backup", str(place)).code == 0
    shutil.copy(scene.operator / "trust.json", scene.root / "old.json")
    return scene


@pytest.fixture
def scene(made, tmp_path):
    return made.clone(tmp_path / "scene")


@contextlib.contextmanager
def opened(scene, *, publishing=True):
    workspace = scene.workspace()
    try:
        yield workspace
    finally:
        workspace._checked = publishing
        workspace.close()


def append(workspace, count):
    def work(tx):
        for number in range(count):
            record = b'{"n":%d}' % number
            tx.append(leaf_bytes(record_entry("decision", workspace.clock.now_ms(), "dl-1", record)), [record])

    workspace.writer.run(work)


def restore(scene, *more):
    return scene.bywire("restore", str(scene.root / "backup"), "--json", *more)


def old(scene):
    return ("--trust", str(scene.root / "old.json"))


def query(database, sql, *values):
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(sql, values).fetchall()


def rows(scene, sql):
    return query(scene.operator / "bywire.db", sql)


def trusted(place):
    return parse_trust_root(place.read_bytes())


def key_of(scene, principal=PLANNER):
    (key,) = [key for key in trusted(scene.root / "old.json").keys if key.principal == principal]
    return key.key_id


def end_of(scene, key_id):
    return trusted(scene.operator / "trust.json").entry(key_id).to_index


def die(*_, **__):
    raise KeyboardInterrupt


# Keys that ended


def held_size(scene):
    return query(scene.root / "backup" / "bywire.db", "SELECT count(*) FROM entries")[0][0]


def test_rule_24_an_old_trust_root_does_not_bring_a_revoked_key_back(scene):
    assert scene.bywire("agents", "revoke", "planner", "--reason", "leaked").code == 0
    done = restore(scene, *old(scene), *FORK)
    assert done.code == 0, done
    key = key_of(scene)
    assert end_of(scene, key) == held_size(scene)
    assert (key, held_size(scene)) in rows(scene, "SELECT key_id, to_index FROM retired_keys")
    with opened(scene) as workspace:
        assert workspace.trust.principal(PLANNER) is None


def test_rule_24_a_key_that_was_stolen_before_the_backup_stays_ended_there(scene):
    with opened(scene) as workspace:
        revoke_key(workspace, PLANNER, "leaked", since_index=1)
    assert restore(scene, *old(scene), *FORK).code == 0
    assert end_of(scene, key_of(scene)) == 1


def test_rule_24_a_key_that_only_the_lost_database_knows_to_have_ended_stays_ended(scene):
    with opened(scene, publishing=False) as workspace:
        workspace.steps = type("Steps", (), {"reached": die})()  # it dies before trust.json follows
        with pytest.raises(KeyboardInterrupt):
            revoke_key(workspace, PLANNER, "leaked")
    assert end_of(scene, key_of(scene)) is None
    done = restore(scene, *FORK)
    assert done.code == 0, done
    assert end_of(scene, key_of(scene)) == held_size(scene)


def test_rule_24_a_fork_is_not_signed_with_a_log_key_that_ended(scene):
    with opened(scene) as workspace:
        replace_key(workspace, KeyRole.LOG, LOG_PRINCIPAL)
    before = rows(scene, "SELECT idx, hash FROM entries")
    refused(restore(scene, *old(scene), *FORK), "log_key_untrusted")
    assert rows(scene, "SELECT idx, hash FROM entries") == before
    assert restore(scene, *FORK).code == 0
    assert scene.bywire("audit", "verify").code == 0


def test_rule_24_a_trust_root_that_is_put_back_forgets_no_key_that_the_database_ended(scene):
    assert scene.bywire("agents", "revoke", "planner", "--reason", "leaked").code == 0
    (scene.operator / "trust.json").unlink()
    shutil.rmtree(scene.root / "backup")
    shutil.copy(scene.root / "old.json", scene.operator / "trust.json")
    assert scene.bywire("backup", str(scene.root / "backup")).code == 0
    (scene.operator / "trust.json").unlink()
    assert restore(scene, *old(scene)).code == 0
    assert end_of(scene, key_of(scene)) is not None


# A backup that somebody changes while it is read

PLANTED = (
    "INSERT INTO approvals (id, action_digest, plan_digest, packet, verdict, uses_left, requested_ms, expires_ms)"
    " VALUES ('ap-planted', '', '', x'', 'approved', 99, 0, 99999999999999)"
)


def plant(place):
    query(place / "bywire.db", PLANTED)
    with (place / "operator.yaml").open("a") as file:
        file.write("# planted\n")


def lose_configuration(scene):
    (scene.operator / "operator.yaml").unlink()


def test_rule_03_a_backup_that_changes_after_it_was_checked_is_not_what_is_restored(scene, monkeypatch):
    looked, wanted = restoring._gap, (scene.root / "backup" / "operator.yaml").read_bytes()

    def change_then_look(*given):
        plant(scene.root / "backup")
        return looked(*given)

    monkeypatch.setattr(restoring, "_gap", change_then_look)
    lose_configuration(scene)
    done = restore(scene)
    assert done.code == 0, done
    assert rows(scene, "SELECT id FROM approvals") == []
    assert (scene.operator / "operator.yaml").read_bytes() == wanted


def by_link(place):
    (place / "bywire.db").rename(place / "away")
    (place / "bywire.db").symlink_to(place / "away")


def by_pipe(place):
    (place / "bywire.db").unlink()
    os.mkfifo(place / "bywire.db")


def by_growth(place):
    os.truncate(place / "operator.yaml", 1 << 40)


@pytest.mark.parametrize("change", [plant, by_link, by_pipe, by_growth])
def test_rule_03_a_backup_that_changes_before_it_is_copied_is_refused(scene, monkeypatch, change):
    copied = backup_files.copy_in

    def change_then_copy(*given, **more):
        if not list((scene.root / "backup").glob("changed")):
            (scene.root / "backup" / "changed").touch()
            change(scene.root / "backup")
        return copied(*given, **more)

    monkeypatch.setattr(backup_files, "copy_in", change_then_copy)
    lose_configuration(scene)
    before = rows(scene, "SELECT idx, hash FROM entries")
    refused(restore(scene), "backup_damaged")
    assert rows(scene, "SELECT idx, hash FROM entries") == before
    assert not (scene.operator / "operator.yaml").exists()
    assert not (scene.operator / restoring.STAGING).exists()


def test_rule_03_a_write_ahead_log_beside_a_backup_is_not_read(scene):
    place = scene.root / "backup"
    with contextlib.closing(sqlite3.connect(place / "bywire.db", isolation_level=None)) as connection:
        kept = (place / "bywire.db").read_bytes()
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(PLANTED)
        left = (place / "bywire.db-wal").read_bytes()
    (place / "bywire.db").write_bytes(kept)
    (place / "bywire.db-wal").write_bytes(left)
    done = restore(scene)
    assert done.code == 0, done
    assert rows(scene, "SELECT id FROM approvals") == []


# Cut short in the middle


def leave_unpublished(scene):
    """Two entries in the write-ahead log only, of a process that died; returns how many the log has with them."""
    aside = scene.root / "left"
    aside.mkdir()
    assert rows(scene, "SELECT count(*) FROM entries") == [(held_size(scene),)]  # all of it is in the database now
    with opened(scene, publishing=False) as workspace:
        append(workspace, 2)
        for name in ("bywire.db", "bywire.db-wal"):
            shutil.copy(scene.operator / name, aside / name)
    for path in scene.operator.glob("bywire.db*"):
        if path.name in {"bywire.db", "bywire.db-wal", "bywire.db-shm"}:
            path.unlink()
    for path in aside.iterdir():
        shutil.copy(path, scene.operator / path.name)
    return held_size(scene) + 2


def cut_at_the_last_step(monkeypatch):
    moved = Path.replace

    def move(self, target):
        return die() if self.name == "bywire.db" else moved(self, target)

    monkeypatch.setattr(Path, "replace", move)


def test_rule_24_a_restore_that_is_cut_short_forgets_no_entry_that_was_never_published(scene):
    count = leave_unpublished(scene)
    with pytest.MonkeyPatch.context() as patched:
        cut_at_the_last_step(patched)
        assert restore(scene, *FORK).code == 130
    refused(restore(scene), "restore_behind_witness")
    assert rows(scene, "SELECT count(*) FROM entries") == [(count,)]
    assert restore(scene, *FORK).json["missing"] == 2


def test_rule_24_what_a_damaged_log_said_is_not_taken_to_be_nothing(scene, monkeypatch):
    leave_unpublished(scene)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(restoring, "tail_of", lambda *_: None)  # it cannot be read
        cut_at_the_last_step(patched)
        assert restore(scene).code == 130
    done = restore(scene)
    assert done.code == 0, done
    assert done.json["stopped"]


def lose(scene):
    for name in ("bywire.db", "bywire.db-wal", "bywire.db-shm"):
        (scene.operator / name).unlink(missing_ok=True)


def test_rule_24_an_empty_database_that_a_command_made_meanwhile_proves_nothing(scene):
    lose(scene)
    refused(scene.bywire("status", "--json"), "ledger_truncated")
    assert rows(scene, "SELECT count(*) FROM entries") == [(0,)]
    kept = shutil.copy(scene.operator / "checkpoint.note", scene.root / "kept.note")
    (scene.operator / "checkpoint.note").unlink()
    refused(restore(scene), "restore_unwitnessed")
    done = restore(scene, "--checkpoint", str(kept))
    assert done.code == 0, done
    assert done.json["stopped"]


# Names and files


def test_rule_24_no_two_forks_have_one_name_whatever_the_clock_says(scene, monkeypatch):
    with opened(scene) as workspace:
        append(workspace, 1)
    twin = scene.clone(scene.root.parent / "twin")
    monkeypatch.setattr(HighWaterClock, "now_ms", lambda _: 1_800_000_000_000)
    origins = {restore(one, *FORK).json["origin"] for one in (scene, twin)}
    assert len(origins) == 2


@pytest.mark.parametrize(
    ("option", "content", "code"),
    [
        ("--trust", b"\xff\xfe\x00" * 9, "trust_invalid"),
        ("--trust", b" " * 1_048_577, "trust_invalid"),
        ("--checkpoint", b"\xff\xfe\x00" * 9, "checkpoint_malformed"),
        ("--checkpoint", b"a" * 262_145, "checkpoint_malformed"),
    ],
    ids=["trust-bytes", "trust-long", "checkpoint-bytes", "checkpoint-long"],
)
def test_rule_03_a_file_that_is_no_text_or_has_no_end_is_refused(scene, option, content, code):
    place = scene.root / "given"
    place.write_bytes(content)
    refused(restore(scene, option, str(place)), code)


@pytest.mark.parametrize("option", ["--trust", "--checkpoint"])
def test_rule_03_what_has_no_end_is_not_read(scene, option):
    refused(restore(scene, option, "/dev/zero"), "file_unreadable")


def test_rule_24_a_checkpoint_here_that_is_no_text_is_refused(scene):
    (scene.operator / "checkpoint.note").write_bytes(b"\xff\xfe")
    refused(restore(scene), "checkpoint_malformed")


def test_a_backup_that_lists_a_name_outside_is_not_copied(tmp_path):
    listed = {"../x": backup_files.StoredFile(bytes=0, sha256="")}
    with pytest.raises(LedgerError) as caught:
        backup_files.take_files(tmp_path, listed, tmp_path / "in")
    assert caught.value.code == "backup_damaged"
    assert not (tmp_path / "in").exists()
