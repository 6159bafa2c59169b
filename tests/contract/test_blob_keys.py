"""Data keys as files: durable before use, bound to what they seal, gone when destroyed."""

import os
import subprocess
import sys

import pytest

from bywire.adapters.blob_keys import BlobKeys
from bywire.ledger.retention import DataKey
from bywire.model.errors import LedgerError

DAY = DataKey("decisions", 20_000)
DIGEST = bytes(range(32))


@pytest.fixture
def place(tmp_path):
    return tmp_path / "blob-keys"


def test_what_is_sealed_can_be_read_by_whoever_has_the_key(place):
    sealed = BlobKeys(place).seal(DAY.number, DIGEST, b"content")
    assert b"content" not in sealed
    assert len(sealed) == len(b"content") + 28
    assert BlobKeys(place).unseal(DIGEST, DAY.number, sealed) == b"content"
    assert sealed != BlobKeys(place).seal(DAY.number, DIGEST, b"content")
    assert (place.stat().st_mode & 0o777, [path.name for path in place.iterdir()]) == (0o700, [f"{DAY.name}.key"])
    assert (place / f"{DAY.name}.key").stat().st_mode & 0o777 == 0o600


def test_a_sealed_blob_stands_in_for_no_other(place):
    keys = BlobKeys(place)
    sealed = keys.seal(DAY.number, DIGEST, b"content")
    other = DataKey("decisions", 20_001)
    keys.seal(other.number, DIGEST, b"x")
    for digest, number, stored in (
        (bytes(32), DAY.number, sealed),
        (DIGEST, other.number, sealed),
        (DIGEST, DAY.number, sealed[:-1]),
        (DIGEST, DAY.number, sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:]),
        (DIGEST, DAY.number, b"short"),
        (DIGEST, 7, sealed),
        (DIGEST, -1, sealed),
        ("text", DAY.number, sealed),
    ):
        assert keys.unseal(digest, number, stored) in {stored, None} - {b"content"}
    assert keys.unseal(DIGEST, None, b"plain") == b"plain"
    assert keys.unseal(DIGEST, None, None) is None
    assert keys.unseal(DIGEST, DAY.number, b"") is None


def test_a_destroyed_key_is_gone_from_this_process_and_the_disk(place):
    keys = BlobKeys(place)
    sealed = keys.seal(DAY.number, DIGEST, b"content")
    path = place / f"{DAY.name}.key"
    os.link(path, place.parent / "another-name")
    held = path.read_bytes()
    assert keys.destroy([DAY, DataKey("evidence", 1)]) == 1
    assert keys.unseal(DIGEST, DAY.number, sealed) is None
    assert not path.exists()
    assert held[:32] not in (place.parent / "another-name").read_bytes()  # overwritten, not only unlinked
    assert keys.destroy([DAY]) == 0
    assert keys.existing() == ()


def test_a_damaged_key_is_noticed_before_anything_is_sealed_under_it(place):
    BlobKeys(place).seal(DAY.number, DIGEST, b"content")
    path = place / f"{DAY.name}.key"
    whole = path.read_bytes()
    for damaged in (bytes([whole[0] ^ 1]) + whole[1:], whole[:-1], whole + b"x", b""):
        path.write_bytes(damaged)
        with pytest.raises(LedgerError) as refused:
            BlobKeys(place).seal(DAY.number, DIGEST, b"more")
        assert refused.value.code == "blob_key_damaged"
        assert BlobKeys(place).unseal(DIGEST, DAY.number, b"\0" * 40) is None


def test_two_that_start_at_once_make_one_key(place):
    code = (
        "import sys; from pathlib import Path; from bywire.adapters.blob_keys import BlobKeys\n"
        "keys = BlobKeys(Path(sys.argv[1]))\n"
        "print(keys.seal(320001, bytes(32), sys.argv[2].encode()).hex())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(place), str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(3)
    ]
    sealed = [bytes.fromhex(child.communicate(timeout=60)[0]) for child in children]
    keys = BlobKeys(place)
    assert [keys.unseal(bytes(32), 320001, one) for one in sealed] == [b"0", b"1", b"2"]
    assert len(list(place.iterdir())) == 1


def test_what_is_no_key_is_not_listed(place):
    keys = BlobKeys(place)
    assert keys.existing() == ()
    keys.seal(0, DIGEST, b"kept")
    keys.seal(DAY.number, DIGEST, b"x")
    for name in ("README.key", ".decisions-2026-01-05.abc", "decisions-2026-01-05"):
        (place / name).write_bytes(b"")
    assert keys.existing() == (DataKey("keep", 0), DAY)
