"""Retention by key destruction: what is old goes, what is needed stays, erased is told from lost (RULES 26)."""

import contextlib
import os
import sqlite3
from datetime import UTC, datetime

import pytest
from scene import Scene, refused

from bywire.adapters.blob_keys import BlobKeys
from bywire.adapters.sqlite_ledger import open_reader
from bywire.ledger.entry import leaf_bytes, parse_leaf, record_entry
from bywire.ledger.retention import DAY_MS, DataKey
from bywire.wiring import retaining


def today():
    """The day it is when it is asked: tests may be collected on another one than they run on."""
    return int(datetime.now(tz=UTC).timestamp()) // 86_400


OLD, BEFORE = today() - 40, datetime.fromtimestamp((today() - 10) * 86_400, tz=UTC).date().isoformat()
PERSONAL = "alice.smith@example.test wrote this"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("retention") / "scene").prepared()


@pytest.fixture
def scene(made, tmp_path):
    return made.clone(tmp_path / "scene")


def append(opened, kind, day, text, about="dl-1", beside=()):
    record = f'{{"says":"{text}"}}'.encode()
    leaf = leaf_bytes(record_entry(kind, day * DAY_MS + 5, about, record))
    return opened.writer.run(lambda tx: tx.append(leaf, [record, *beside]))


@contextlib.contextmanager
def opened(scene):
    workspace = scene.workspace()
    try:
        yield workspace
    finally:
        workspace.close()


def erase(scene, *more, before=BEFORE):
    asked = ("--before", before, "--as", "oncall", "--reason", "policy: 30 days", "--yes", "--json")
    return scene.bywire("retention", "apply", *asked, *more)


def content(scene, index):
    reader = open_reader(scene.operator / "bywire.db")
    try:
        return reader.blob(parse_leaf(reader.leaf(index)).content)
    finally:
        reader.close()


def verify(scene):
    return scene.bywire("audit", "verify", "--json")


def everywhere(scene, text):
    """Names of files below the operator directory that hold the text."""
    return [path.name for path in scene.operator.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_rule_26_old_content_goes_and_the_log_stays_valid(scene):
    with opened(scene) as workspace:
        old = append(workspace, "decision", OLD, PERSONAL, beside=[b"a file beside it"])
        evidence = append(workspace, "plan", OLD, "an old plan")
        kept = append(workspace, "policy-bundle", OLD, "kept for ever")
        new = append(workspace, "decision", today(), "of today")
        note = workspace.publish()
    assert PERSONAL.encode() in content(scene, old)
    done = erase(scene)
    assert done.code == 0, done
    assert (done.json["entries"], done.json["kept"], done.json["keys"]) == (2, 0, 2)
    assert [content(scene, index) is None for index in (old, evidence, kept, new)] == [True, True, False, False]
    report = verify(scene)
    assert report.code == 0
    assert (report.json["erased"], report.json["erased_under"]) == (2, [done.json["entry"]])
    said = scene.bywire("audit", "verify").out
    assert f"2 erased under retention statement #{done.json['entry']}" in said
    with opened(scene) as workspace:
        assert workspace.witness_notes()[0] != note  # a later checkpoint, over the same leaves


def test_nothing_of_it_is_left_in_any_file(scene):
    with opened(scene) as workspace:
        append(workspace, "decision", OLD, PERSONAL)
    assert everywhere(scene, PERSONAL) == []  # sealed from the start
    names = {path.name for path in (scene.operator / "blob-keys").iterdir()}
    assert f"{DataKey('decisions', OLD).name}.key" in names
    assert {path.stat().st_mode & 0o777 for path in (scene.operator / "blob-keys").iterdir()} == {0o600}
    erase(scene)
    names = {path.name for path in (scene.operator / "blob-keys").iterdir()}
    assert f"{DataKey('decisions', OLD).name}.key" not in names


def test_only_the_named_class_goes(scene):
    with opened(scene) as workspace:
        decision, plan = append(workspace, "decision", OLD, "a"), append(workspace, "plan", OLD, "b")
    assert erase(scene, "--class", "evidence").json["entries"] == 1
    assert [content(scene, index) is None for index in (decision, plan)] == [False, True]
    assert erase(scene).json["entries"] == 1
    assert verify(scene).json["erased"] == 2


def test_a_blob_that_is_gone_without_a_statement_is_a_fault(scene):
    with opened(scene) as workspace:
        lost = append(workspace, "decision", OLD, "lost")
    BlobKeys.beside(scene.operator / "bywire.db").destroy([DataKey("decisions", OLD)])
    report = verify(scene)
    assert (report.code, report.json["fault"]["index"], report.json["fault"]["kind"]) == (1, lost, "blob_missing")
    # Opening it is refused too: the entry lies after what was verified before.
    assert scene.bywire("status", "--json").json["error"]["code"] == "ledger_invalid"


def test_a_statement_covers_neither_younger_entries_nor_another_class(scene):
    with opened(scene) as workspace:
        append(workspace, "decision", OLD, "old")
        append(workspace, "decision", today() - 3, "young")
        append(workspace, "plan", OLD, "plan")
    assert erase(scene, "--class", "decisions").code == 0
    for key in (DataKey("decisions", today() - 3), DataKey("evidence", OLD)):
        backup = (scene.operator / "blob-keys" / f"{key.name}.key").read_bytes()
        BlobKeys.beside(scene.operator / "bywire.db").destroy([key])
        assert verify(scene).json["fault"]["kind"] == "blob_missing"
        (scene.operator / "blob-keys" / f"{key.name}.key").write_bytes(backup)
    assert verify(scene).code == 0


def test_a_statement_signed_by_another_key_accounts_for_nothing(scene):
    with opened(scene) as workspace:
        append(workspace, "decision", OLD, "old")
        keys = workspace.log_key
        retaining.apply_retention(workspace, BEFORE, (), "oncall", "forged", lambda _: keys)
        # The log's own key is not a person's.
        assert retaining.known_erasures(workspace) == ()
    assert verify(scene).json["fault"]["kind"] == "blob_missing"


def test_what_open_work_needs_is_kept_and_goes_when_it_is_done(scene, monkeypatch):
    with opened(scene) as workspace:
        needed = append(workspace, "plan", OLD, "needed", about="dl-open", beside=[b"a patch"])
        other = append(workspace, "plan", OLD, "not needed", about="dl-done")
        workspace.writer.run(
            lambda tx: tx.execute("INSERT INTO delivery_statements VALUES ('dl-open', ?, 'plan', '', 0)", (needed,))
        )

    class Open:
        id, phase = "dl-open", "planning"

    monkeypatch.setattr(retaining, "deliveries", lambda workspace: [Open])
    done = erase(scene)
    assert (done.json["entries"], done.json["kept"], done.json["others"]) == (1, 1, 0)
    assert [content(scene, index) is None for index in (needed, other)] == [False, True]
    # What was kept may not vanish under cover of that statement.
    assert verify(scene).code == 0
    BlobKeys.beside(scene.operator / "bywire.db").destroy([DataKey("evidence", today())])
    assert verify(scene).json["fault"]["index"] == needed


def test_a_crash_between_the_statement_and_the_keys_is_finished_by_the_next_run(scene, monkeypatch):
    with opened(scene) as workspace:
        old = append(workspace, "decision", OLD, "old")
    with monkeypatch.context() as patched:
        patched.setattr(BlobKeys, "destroy", lambda self, keys: 0)
        assert erase(scene).code == 0
    assert content(scene, old) is None  # the row is empty already
    assert verify(scene).code == 0
    assert erase(scene).code == 0
    assert not (scene.operator / "blob-keys" / f"{DataKey('decisions', OLD).name}.key").exists()


def test_old_plain_rows_are_erased_too(scene):
    with opened(scene) as workspace:
        old = append(workspace, "decision", OLD, PERSONAL, beside=[b"old file " + PERSONAL.encode()])
        young = append(workspace, "decision", today(), "young")
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db", isolation_level=None)) as connection:
        connection.create_function("unsealed", 3, BlobKeys.beside(scene.operator / "bywire.db").unseal)
        connection.execute("UPDATE blobs SET bytes = unsealed(digest, key, bytes), key = NULL")
    assert everywhere(scene, PERSONAL)
    assert verify(scene).code == 0
    done = erase(scene)
    assert (done.json["entries"], done.json["others"]) == (1, 1)
    assert everywhere(scene, PERSONAL) == []
    assert [content(scene, index) is None for index in (old, young)] == [True, False]
    assert verify(scene).code == 0


def test_the_same_bytes_may_come_back(scene):
    with opened(scene) as workspace:
        old = append(workspace, "decision", OLD, "same")
    erase(scene)
    with opened(scene) as workspace:
        new = append(workspace, "decision", today(), "same")
    assert content(scene, new) == content(scene, old) == b'{"says":"same"}'
    assert verify(scene).json["erased"] == 0


def test_bytes_shared_with_a_younger_entry_stay(scene):
    with opened(scene) as workspace:
        append(workspace, "decision", OLD, "same")
        young = append(workspace, "decision", today() - 2, "same")
    assert erase(scene).json["kept"] == 1
    assert content(scene, young) == b'{"says":"same"}'
    assert verify(scene).code == 0


def test_refusals(scene):
    this_day = datetime.fromtimestamp(today() * 86_400, tz=UTC).date().isoformat()
    refused(erase(scene, before=this_day), "retention_date")
    refused(erase(scene, before="long ago"), "retention_date")
    nobody = ("--before", BEFORE, "--as", "stranger", "--reason", "r", "--yes", "--json")
    refused(scene.bywire("retention", "apply", *nobody), "not_a_person")
    assert scene.bywire("retention", "show", "--json").json["erased"] == []


def test_what_there_is_can_be_seen(scene):
    with opened(scene) as workspace:
        append(workspace, "decision", OLD, "old")
    erase(scene)
    out = scene.bywire("retention", "show").out
    assert "policy: 30 days" in out
    assert "never erased" in out
    assert os.fspath(scene.operator) not in out
