"""Backup, restore and fork drills: whole copies, no way back behind what was published, nothing used twice."""

import contextlib
import json
import shutil
import sqlite3
import tarfile

import pytest
from scene import Scene, refused

from bywire.adapters.operator_dir import OperatorDirectory
from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.workspace_presence import Presence
from bywire.identity.trust import parse_trust_root
from bywire.ledger.checkpoint import parse_checkpoint
from bywire.ledger.entry import leaf_bytes, parse_leaf, record_entry
from bywire.seal.dsse import unverified_statement
from bywire.wiring import restoring
from bywire.wiring.restored_trust import forked_trust

FORK = ("--fork", "--reason", "the disk died", "--as", "oncall")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("backup") / "scene").prepared()
    with opened(scene) as workspace:
        append(workspace, 5)
    return scene


@pytest.fixture
def scene(made, tmp_path):
    return made.clone(tmp_path / "scene")


@contextlib.contextmanager
def opened(scene):
    workspace = scene.workspace()
    try:
        yield workspace
    finally:
        workspace.close()


def append(workspace, count, kind="decision"):
    def entry(number):
        record = json.dumps({"n": number, "at": workspace.clock.now_ms()}).encode()
        return leaf_bytes(record_entry(kind, workspace.clock.now_ms(), "dl-1", record)), [record]

    entries = [entry(number) for number in range(count)]
    return workspace.writer.run(lambda tx: [tx.append(*one) for one in entries])


def backup(scene, name="backup", *more):
    place = scene.root / name
    done = scene.bywire("backup", str(place), "--json", *more)
    assert done.code == 0, done
    return place


def restore(scene, place, *more):
    return scene.bywire("restore", str(place), "--json", *more)


def rows(scene, sql):
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
        return connection.execute(sql).fetchall()


def size(scene):
    return rows(scene, "SELECT count(*) FROM entries")[0][0]


def lose(scene):
    """The disk that held the database died; the rest was kept."""
    for path in scene.operator.glob("bywire.db*"):
        path.unlink()


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_lost_database_comes_back(scene, name):
    place = backup(scene, name)
    held = size(scene)
    lose(scene)
    done = restore(scene, place)
    assert done.code == 0, done
    assert (done.json["size"], done.json["forked"], done.json["missing"]) == (held, False, 0)
    assert scene.bywire("audit", "verify").code == 0
    assert size(scene) == held + 1
    reader = open_reader(scene.operator / "bywire.db")
    assert parse_leaf(reader.leaf(held)).kind == "restore"
    reader.close()


def test_the_backup_is_whole_and_has_no_private_keys(scene):
    place = backup(scene)
    names = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert {"manifest.dsse.json", "bywire.db", "operator.yaml", "trust.json", "checkpoint.note"} <= names
    assert "policy/manifest.json" in names
    assert not [name for name in names if name.startswith("keys/")]
    assert {path.stat().st_mode & 0o077 for path in place.rglob("*")} == {0}
    with_keys = backup(scene, "secret", "--with-keys")
    assert list(with_keys.glob("keys/*.pem"))


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(scene):
    place = backup(scene)
    before = (place / "manifest.dsse.json").read_bytes()
    refused(scene.bywire("backup", str(place), "--json"), "backup_exists")
    refused(scene.bywire("backup", str(scene.root / "no" / "where"), "--json"), "backup_place")
    assert (place / "manifest.dsse.json").read_bytes() == before
    assert not [path for path in scene.root.iterdir() if path.name.startswith(".backup")]


def test_a_backup_is_taken_while_others_write(scene):
    with opened(scene) as workspace:
        append(workspace, 3)
        place = backup(scene)
        append(workspace, 3)
    trust = scene.operator / "trust.json"
    lose(scene)
    assert restore(scene, place, "--trust", str(trust)).json["error"]["code"] == "restore_behind_witness"


def change(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace_by_link(path):
    moved = path.with_name(f"{path.name}.moved")
    path.rename(moved)
    path.symlink_to(moved)


@pytest.mark.parametrize("damage", [change, lambda path: path.unlink(), replace_by_link])
def test_a_damaged_backup_is_refused_and_touches_nothing(scene, damage, tmp_path):
    place = backup(scene)
    held = (scene.operator / "bywire.db").read_bytes()
    (key,) = [path.name for path in (place / "blob-keys").iterdir()]
    for name in ("bywire.db", f"blob-keys/{key}", "operator.yaml", "manifest.dsse.json"):
        copy = shutil.copytree(place, tmp_path / name.replace("/", "-"))
        damage(copy / name)
        done = restore(scene, copy)
        assert done.code == 2, name
        assert done.json["error"]["code"] in {"backup_damaged", "backup_untrusted"}, name
    assert (scene.operator / "bywire.db").read_bytes() == held


@pytest.mark.parametrize("member", ["../outside", "/outside", "keys/../../outside"])
def test_a_tar_that_reaches_outside_is_refused(scene, member, tmp_path):
    place = tmp_path / "evil.tar"
    with tarfile.open(place, "w") as archive:
        info = tarfile.TarInfo(member)
        archive.addfile(info)
    refused(restore(scene, place), "backup_damaged")
    assert not (scene.operator / "outside").exists()
    assert not (scene.operator.parent / "outside").exists()


def test_rule_24_a_backup_behind_what_was_published_is_refused(scene):
    place = backup(scene)
    with opened(scene) as workspace:
        append(workspace, 4, "outcome")
    error = refused(restore(scene, place), "restore_behind_witness")
    assert "outcome 4" in error["message"]
    assert "--fork" in error["next_step"]
    lose(scene)  # what is lost can no longer be told apart, but the checkpoint outside says how much
    error = refused(restore(scene, place), "restore_behind_witness")
    assert "checkpoint.note" in error["message"]
    assert "4" in error["message"]


def test_entries_that_were_never_published_count_too(scene):
    place = backup(scene)
    with opened(scene) as workspace:
        append(workspace, 2)
        workspace._checked = False  # it dies before it publishes
    assert parse_checkpoint((scene.operator / "checkpoint.note").read_text()).size < size(scene)
    refused(restore(scene, place), "restore_behind_witness")


def test_without_any_word_from_outside_a_restore_is_refused(scene):
    place = backup(scene)
    kept = shutil.copy(scene.operator / "checkpoint.note", scene.root / "kept.note")
    lose(scene)
    (scene.operator / "checkpoint.note").unlink()
    refused(restore(scene, place), "restore_unwitnessed")
    assert restore(scene, place, "--checkpoint", str(kept)).code == 0


def test_a_backup_of_another_history_is_refused(scene):
    twin = scene.clone(scene.root.parent / "twin")
    with opened(twin) as workspace:
        append(workspace, 3)
    with opened(scene) as workspace:
        append(workspace, 6)
    theirs = backup(twin)
    refused(restore(scene, theirs), "restore_other_history")
    with opened(twin) as workspace:
        append(workspace, 9)
    lose(scene)  # then the checkpoint outside tells
    longer = backup(twin, "longer")
    error = refused(restore(scene, longer), "restore_other_history")
    assert "checkpoint.note" in error["message"]


def test_a_backup_is_not_trusted_for_its_own_trust_root(scene):
    stranger = Scene(scene.root.parent / "stranger").prepared()
    place = backup(stranger, "theirs", "--with-keys")
    refused(restore(scene, place), "backup_untrusted")
    refused(scene.bywire("restore", str(place), "--json", operator=scene.root / "new"), "trust_missing")


def test_on_another_host_the_operator_brings_trust_and_checkpoint(scene):
    place = backup(scene, "full", "--with-keys")
    trust, note = scene.operator / "trust.json", scene.operator / "checkpoint.note"
    new = scene.root / "elsewhere"
    done = scene.bywire("restore", str(place), "--json", "--trust", str(trust), "--checkpoint", str(note), operator=new)
    assert done.code == 0, done
    assert done.json["stopped"]
    assert "operator.yaml" in done.json["added"]
    assert scene.bywire("audit", "verify", operator=new).code == 0


def test_a_restore_refuses_while_somebody_works(scene):
    place = backup(scene)
    with opened(scene):
        refused(restore(scene, place), "workspace_busy")
    with Presence(scene.operator, alone=True):
        refused(scene.bywire("status", "--json"), "workspace_busy")
    assert restore(scene, place).code == 0


def forked(scene, lost=4):
    place = backup(scene)
    held = size(scene)
    with opened(scene) as workspace:
        append(workspace, lost)
    done = restore(scene, place, *FORK)
    assert done.code == 0, done
    return done.json, held


def test_rule_24_a_fork_is_another_log_that_says_where_it_comes_from(scene):
    old = parse_trust_root((scene.operator / "trust.json").read_bytes())
    note = (scene.operator / "checkpoint.note").read_text()
    done, held = forked(scene)
    trust = parse_trust_root((scene.operator / "trust.json").read_bytes())
    assert trust.origin == done["origin"] != old.origin
    assert parse_checkpoint((scene.operator / "checkpoint.note").read_text()).origin == trust.origin
    reader = open_reader(scene.operator / "bywire.db")
    entry = parse_leaf(reader.leaf(held))
    said = unverified_statement(reader.blob(entry.content)).predicate
    reader.close()
    assert (entry.kind, said["origin"], said["size"], said["by"]) == ("fork", old.origin, held, "person:oncall")
    assert said["missing"] >= 4
    assert said["reason"] == "the disk died"
    assert scene.bywire("audit", "verify").code == 0
    aside = scene.operator / done["aside"]
    assert parse_trust_root((aside / "trust.json").read_bytes()) == old
    assert {"bywire.db", "checkpoint.note", "blob-keys"} <= {path.name for path in aside.iterdir()}
    assert parse_checkpoint(note).origin == old.origin
    # The old log is whole beside it, and nobody can mistake one for the other.
    reader = open_reader(aside / "bywire.db")
    assert reader.entry_count() == held + done["missing"]
    reader.close()


def test_after_a_fork_everything_is_stopped_until_targets_were_compared(scene):
    done, _ = forked(scene)
    assert done["stopped"]
    (stop,) = rows(scene, "SELECT scope, person FROM stops WHERE lifted_ms IS NULL")
    assert stop == ("all", "person:oncall")
    refused(scene.bywire("resume", "--json"), "reconcile_first")
    assert scene.bywire("reconcile", "--json").code == 0
    assert scene.bywire("resume", "--json").code == 0


def test_nothing_that_was_permitted_before_fits_after_a_fork(scene):
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db", isolation_level=None)) as connection:
        for name, verdict, uses in (("ap-used", "approved", 1), ("ap-waits", "pending", 0)):
            connection.execute(
                "INSERT INTO approvals (id, action_digest, plan_digest, packet, verdict, uses_left, requested_ms,"
                " expires_ms) VALUES (?, '', '', x'', ?, ?, 0, 99999999999999)",
                (name, verdict, uses),
            )
        connection.execute("INSERT INTO leases VALUES ('writer', 7) ON CONFLICT (name) DO UPDATE SET epoch = 7")
        connection.execute("INSERT INTO retired_keys VALUES ('k', 99999, 'lost', 0)")
    with opened(scene) as workspace:
        workspace.token("agent:planner", "run-1")
    done, held = forked(scene)
    assert rows(scene, "SELECT to_index FROM retired_keys") == [(held,)]
    assert done["approvals"] == 2
    assert done["sessions"] >= 1
    assert rows(scene, "SELECT count(*) FROM sessions WHERE revoked = 0") == [(0,)]
    assert rows(scene, "SELECT revoked FROM approvals WHERE id = 'ap-used'") == [(1,)]
    assert rows(scene, "SELECT verdict, expires_ms < 99999999999999 FROM approvals WHERE id = 'ap-waits'") == [
        ("pending", 1)
    ]
    assert rows(scene, "SELECT epoch > 1000000 FROM leases WHERE name = 'writer'") == [(1,)]


def test_a_fork_that_is_not_needed_or_not_answered_for_is_refused(scene):
    place = backup(scene)
    refused(restore(scene, place, *FORK), "fork_unneeded")
    with opened(scene) as workspace:
        append(workspace, 1)
    refused(restore(scene, place, "--fork", "--reason", "r", "--as", "stranger"), "not_a_person")
    refused(restore(scene, place, "--fork"), "usage")


def test_a_backup_from_before_a_fork_is_of_another_log(scene):
    early = backup(scene, "early")
    forked(scene)
    refused(restore(scene, early), "backup_origin")


def test_a_fork_can_be_forked_again(scene):
    first, _ = forked(scene)
    scene.bywire("reconcile")
    place = backup(scene, "second")
    with opened(scene) as workspace:
        append(workspace, 2)
    done = restore(scene, place, *FORK)
    assert done.code == 0, done
    assert done.json["origin"] != first["origin"]
    assert done.json["origin"].count(".fork-") == 1
    assert scene.bywire("audit", "verify").code == 0


def test_a_key_that_was_retired_in_the_lost_part_stays_retired(scene):
    trust = parse_trust_root((scene.operator / "trust.json").read_bytes())
    key, *others = trust.keys
    retired = trust.retired({key.key_id: 150})
    now = forked_trust(retired, 120, 1, "0a1b2c3d")
    assert now.entry(key.key_id).to_index == 120
    assert not now.entry(key.key_id).valid_at(121)
    assert all(now.entry(other.key_id).valid_at(121) for other in others)


def test_damaged_and_restored_without_loss_needs_no_stop(scene):
    place = backup(scene)
    done = restore(scene, place).json
    assert (done["stopped"], done["missing"], done["approvals"]) == (False, 0, 0)
    assert scene.bywire("resume", "--json").code == 0
    # A database that cannot be read proves nothing.
    (scene.operator / "bywire.db").write_bytes(b"not a database" * 1000)
    place = scene.root / "backup"
    done = restore(scene, place)
    assert done.json["error"]["code"] == "restore_behind_witness"


def test_a_damaged_database_is_replaced_and_kept(scene):
    place = backup(scene)
    damaged = b"not a database" * 1000
    (scene.operator / "bywire.db").write_bytes(damaged)
    (scene.operator / "bywire.db-wal").write_bytes(b"an old log that must not be replayed")
    done = restore(scene, place)
    assert done.code == 0, done
    assert done.json["stopped"]
    aside = scene.operator / done.json["aside"]
    assert (aside / "bywire.db").read_bytes() == damaged
    assert (aside / "bywire.db-wal").exists()
    assert scene.bywire("audit", "verify").code == 0


def die(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["set_aside", "put_in_place"])
def test_a_restore_that_is_cut_short_is_done_by_running_it_again(scene, monkeypatch, where):
    place = backup(scene)
    held = rows(scene, "SELECT idx, hash FROM entries")
    with monkeypatch.context() as patched:
        patched.setattr(restoring, where, die)
        assert restore(scene, place).code == 130
    assert rows(scene, "SELECT idx, hash FROM entries") == held
    assert restore(scene, place).code == 0
    assert scene.bywire("audit", "verify").code == 0
    assert not (scene.operator / restoring.STAGING).exists()


def test_a_fork_that_is_cut_short_refuses_to_work_until_it_is_done(scene, monkeypatch):
    place = backup(scene)
    with opened(scene) as workspace:
        append(workspace, 2)
    with monkeypatch.context() as patched:
        patched.setattr(OperatorDirectory, "write", die)  # the database is in place, the new trust root is not
        assert restore(scene, place, *FORK).code == 130
    assert scene.bywire("status", "--json").json["error"]["code"] in {"checkpoint_origin", "ledger_truncated"}
    assert restore(scene, place, *FORK).code == 0
    assert scene.bywire("audit", "verify").code == 0
