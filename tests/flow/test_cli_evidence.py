"""Evidence that was touched: in the database, in its checkpoints, in an exported file, or in the trust root."""

import contextlib
import json
import shutil
import sqlite3

import pytest
from scene import Scene, approving, refused


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A log of a dozen entries with several checkpoints; cloned for each test."""
    scene = Scene(tmp_path_factory.mktemp("waiting") / "scene").prepared()
    try:
        assert approving(scene.deliver("g"))
        assert scene.bywire("stop", "--reason", "drill").code == 0
        assert scene.bywire("resume").code == 0
    finally:
        scene.close()
    return scene


@pytest.fixture(scope="module")
def exported(waiting, tmp_path_factory):
    """(exported file, trust root) of the delivery."""
    place = tmp_path_factory.mktemp("exported") / "proof.json"
    ran = waiting.bywire("audit", "export", "-o", str(place), "--json")
    assert ran.code == 0, ran
    return place, waiting.operator / "trust.json"


@pytest.fixture
def scene(waiting, tmp_path):
    scene = waiting.clone(tmp_path / "scene")
    yield scene
    scene.close()


def changes(*statements):
    def change(scene):
        with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
            connection.execute("PRAGMA foreign_keys=OFF")
            for statement in statements:
                assert connection.execute(statement).rowcount != 0, statement
            connection.commit()

    return change


BLOB_OF_3 = "(SELECT blob FROM entries WHERE idx = 3)"
LARGEST = "(SELECT max(size) FROM checkpoints)"


@pytest.mark.parametrize(
    ("change", "kind", "index"),
    [
        (changes(f"UPDATE blobs SET bytes = CAST(bytes || x'20' AS BLOB) WHERE id = {BLOB_OF_3}"), "blob_changed", 3),
        (changes(f"UPDATE blobs SET bytes = x'7b7d' WHERE id = {BLOB_OF_3}"), "blob_changed", 3),
        (changes(f"DELETE FROM blobs WHERE id = {BLOB_OF_3}"), "blob_missing", 3),
        (changes("UPDATE entries SET leaf = CAST(replace(leaf, 'provenance', 'sbom') AS BLOB) WHERE idx = 5"), None, 5),
        (changes("UPDATE entries SET blob = (SELECT blob FROM entries WHERE idx = 2) WHERE idx = 4"), None, 4),
        (changes("DELETE FROM entries WHERE idx = 4"), "entry_missing", 4),
        (changes("DELETE FROM entries WHERE idx = (SELECT max(idx) FROM entries)"), "entry_missing", None),
        (
            changes(
                "UPDATE entries SET idx = 1000 WHERE idx = 4",
                "UPDATE entries SET idx = 4 WHERE idx = 5",
                "UPDATE entries SET idx = 5 WHERE idx = 1000",
            ),
            "checkpoint_root",
            None,
        ),
        (changes("UPDATE entries SET hash = zeroblob(32) WHERE idx = 6"), "tree_changed", 6),
        (
            changes(f"UPDATE checkpoints SET note = (SELECT note FROM checkpoints LIMIT 1) WHERE size = {LARGEST}"),
            "checkpoint_signature",
            None,
        ),
        (
            changes(f"UPDATE checkpoints SET note = replace(note, 'bywire', 'buywire') WHERE size = {LARGEST}"),
            None,
            None,
        ),
    ],
)
def test_a_change_of_the_log_is_found_and_named(scene, change, kind, index):
    change(scene)
    ran = scene.bywire("audit", "verify", "--json")
    assert (ran.code, ran.json["ok"], ran.err) == (1, False, "")
    fault = ran.json["fault"]
    assert kind in {None, fault["kind"]}
    assert index in {None, fault["index"]}
    said = scene.bywire("audit", "verify")
    assert said.code == 1
    assert f"broken  entry #{fault['index']}" in said.out
    assert "next  " in said.out


def test_a_log_restored_from_an_old_backup_is_refused(scene):
    backup = scene.root / "backup"
    backup.mkdir()
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(scene.operator / "bywire.db", backup)
    assert scene.bywire("stop", "--reason", "later").code == 0
    for place in scene.operator.glob("bywire.db*"):
        if place.suffix != ".reserve":
            place.unlink()
    shutil.copy(backup / "bywire.db", scene.operator)
    for command in (("status",), ("deliver", "--goal", "g"), ("resume",)):
        refused(scene.bywire(*command, "--json"), "ledger_truncated")
    ran = scene.bywire("audit", "verify", "--json")
    assert (ran.code, ran.json["fault"]["kind"]) == (1, "entry_missing")


@pytest.mark.parametrize("note", ["", "nonsense\n", "bywire.dev/log/0\n5\nAAAA\n\n"])
def test_a_witness_note_that_says_nothing_is_refused(scene, note):
    (scene.operator / "checkpoint.note").write_text(note)
    ran = scene.bywire("status", "--json")
    assert ran.code == 2
    assert ran.json["error"]["next_step"]
    assert scene.bywire("audit", "verify").code == 1


def test_a_verdict_of_the_gate_that_nobody_signed_starts_nothing(scene):
    assert scene.approve(pending(scene)).code == 0
    delivery = scene.bywire("status", "--json").json["deliveries"][0]["id"]
    opened = scene.workspace()
    try:
        row = next(row for row in opened.deliveries.statements(delivery) if row.kind == "vsa")
        envelope = json.loads(opened.deliveries.envelope(row.digest))
    finally:
        opened.close()
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
        forged = json.dumps(envelope).encode()
        connection.execute("UPDATE blobs SET bytes = ? WHERE digest = ?", (forged, bytes.fromhex(row.digest)))
        connection.commit()
    ran = scene.deliver("g")
    assert (ran.code, ran.json["phase"]) == (1, "denied")
    print(ran.json["reasons"])
    assert not (scene.operator / "target" / "target.json").exists()
    assert scene.bywire("audit", "verify", "--json").json["fault"]["index"] == row.entry


def pending(scene):
    return next(row["id"] for row in scene.bywire("approvals", "list", "--json").json if row["state"] == "pending")


class TestAnExportedFile:
    @pytest.fixture
    def stranger(self, tmp_path):
        """A directory without repository or workspace, where only the file and the trust root are."""
        return tmp_path

    def verify(self, waiting, stranger, file, *trust):
        return waiting.bywire("audit", "verify", str(file), *trust, repo=stranger, operator=stranger / "none")

    def test_is_believed_with_the_trust_root(self, waiting, stranger, exported):
        file, trust = exported
        ran = self.verify(waiting, stranger, file, "--trust", str(trust))
        assert ran.code == 0, ran
        assert "verified" in ran.out

    def test_is_not_believed_on_its_own(self, waiting, stranger, exported):
        ran = self.verify(waiting, stranger, exported[0])
        assert ran.code == 1
        assert "integrity only, signer untrusted" in ran.out
        assert "--trust" in ran.out

    def test_is_not_believed_with_the_trust_root_of_another(self, waiting, stranger, exported, tmp_path):
        other = Scene(tmp_path / "other").prepared()
        ran = self.verify(waiting, stranger, exported[0], "--trust", str(other.operator / "trust.json"))
        assert ran.code == 1
        assert "refused" in ran.out

    def test_shows_one_flipped_byte_anywhere(self, waiting, stranger, exported):
        file, trust = exported
        good = file.read_bytes()
        place = stranger / "flipped.json"
        for position in (*range(0, len(good), max(1, len(good) // 60)), len(good) - 1):
            place.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            ran = self.verify(waiting, stranger, place, "--trust", str(trust), "--json")
            assert ran.code in {1, 2}, position
            assert "error" in ran.json or ran.json["ok"] is False

    @pytest.mark.parametrize("data", [b"", b"{}", b"null", b"[1, 2", b"\xff\xfe\x00", b"[" * 100_000, b'{"a": 1e999}'])
    def test_that_is_none_is_refused(self, waiting, stranger, exported, data):
        place = stranger / "proof.json"
        place.write_bytes(data)
        ran = self.verify(waiting, stranger, place, "--trust", str(exported[1]), "--json")
        assert ran.code in {1, 2}, ran
        assert "error" in ran.json or ran.json["ok"] is False

    @pytest.mark.parametrize(
        "data", [b"", b"{}", b"null", b"[" * 100_000, b'{"version": 1, "origin": "x", "keys": []}']
    )
    def test_needs_a_readable_trust_root(self, waiting, stranger, exported, data):
        place = stranger / "trust.json"
        place.write_bytes(data)
        ran = self.verify(waiting, stranger, exported[0], "--trust", str(place), "--json")
        refused(ran, "trust_invalid")

    def test_that_does_not_exist(self, waiting, stranger):
        refused(self.verify(waiting, stranger, stranger / "none.json", "--json"), "usage")

    def test_is_not_written_where_it_cannot_be(self, scene):
        ran = scene.bywire("audit", "export", "-o", str(scene.root / "no" / "such" / "place"), "--json")
        refused(ran, "io_failed")
