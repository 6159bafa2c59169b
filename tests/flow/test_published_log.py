"""The log as a directory: whole files, one publisher, no second bytes, and a killed publisher that does no harm."""

import os
import threading

import pytest
from log_double import TRUST, Tree, keys, numbered

from bywire.adapters.durable_file import SCRATCH, read_regular, write_whole
from bywire.adapters.tile_files import TileFiles
from bywire.ledger.tiles import ENTRIES, Resource, write_log
from bywire.ledger.tiles_verify import verify_tiles
from bywire.model.errors import BywireError, ConflictError, LedgerError

LEAVES = numbered(600)


def tree(size, published=()):
    return Tree(LEAVES[:size], published)


def publish(place, size, published=()):
    store = TileFiles(place)
    with store.publishing():
        return write_log(store, tree(size, published), tree(size).note(), keys)


def verified(place):
    report = verify_tiles(TileFiles(place), TRUST)
    assert report.ok, report
    return report.size


@pytest.fixture
def place(tmp_path):
    return tmp_path / "www" / "log"


def test_a_directory_grows_and_verifies_at_every_size(place):
    sizes = [0, 1, 7, 255, 256, 257, 512, 600]
    for at, size in enumerate(sizes):
        publish(place, size, sizes[:at])
        assert verified(place) == size
    assert not list(place.rglob("*.p/7"))
    assert (place / "tile/0/001").stat().st_size == 8_192
    assert (place / "tile/0/002.p/88").stat().st_size == 88 * 32


def test_whole_tiles_are_not_written_again(place):
    publish(place, 300)
    before = (place / "tile/0/000").stat()
    publish(place, 600, [300])
    after = (place / "tile/0/000").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_files_are_public_and_nothing_is_left_behind(place):
    publish(place, 300)
    files = [path for path in place.rglob("*") if path.is_file() and path.name != ".publishing.lock"]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o644"}
    assert not [path for path in files if path.name.startswith(SCRATCH)]


def test_a_file_with_other_bytes_is_refused_and_kept(place):
    publish(place, 20)
    other = place / "tile/0/000.p/30"
    other.write_bytes(b"\x00" * 960)
    with pytest.raises(LedgerError) as refused:
        publish(place, 30, [20])
    assert refused.value.code == "tile_conflict"
    assert refused.value.next_step
    assert other.read_bytes() == b"\x00" * 960
    assert verified(place) == 20


@pytest.mark.parametrize("victim", ["link", "directory", "pipe"])
def test_what_is_no_regular_file_is_refused(place, victim):
    publish(place, 20)
    path = place / "tile/0/000.p/30"
    if victim == "link":
        path.symlink_to("/etc/hostname")
    elif victim == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(BywireError) as refused:
        publish(place, 30, [20])
    assert refused.value.code == "tiles_unavailable"
    assert verified(place) == 20


@pytest.mark.parametrize("step", range(1, 40))
def test_a_full_disk_at_any_write_leaves_a_directory_that_verifies(place, monkeypatch, step):
    publish(place, 250)
    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == step:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    try:
        publish(place, 520, [250])
        failed = False
    except BywireError as error:
        assert error.code == "disk_full"
        failed = True
    monkeypatch.undo()
    assert failed == (step <= len(calls))
    assert verified(place) in {250, 520}
    publish(place, 520, [250])
    assert verified(place) == 520
    assert not list(place.rglob(f"{SCRATCH}*"))


def test_what_a_killed_publisher_left_half_written_is_swept(place):
    publish(place, 20)
    leftover = place / "tile/0" / f"{SCRATCH}0123"
    leftover.write_bytes(b"half")
    publish(place, 21, [20])
    assert not leftover.exists()


def test_one_publisher_at_a_time(place):
    with TileFiles(place).publishing(), pytest.raises(ConflictError) as refused:
        publish(place, 3)
    assert refused.value.code == "publishing_busy"
    publish(place, 3)


def test_a_reader_beside_a_publisher_always_sees_a_log_that_verifies(place):
    publish(place, 1)
    stop = threading.Event()
    seen = []

    def read():
        while not stop.is_set():
            seen.append(verify_tiles(TileFiles(place), TRUST))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for size in range(2, 600, 47):
            publish(place, size)
    finally:
        stop.set()
        reader.join(20)
    # A partial file may go while a reader holds an older checkpoint; the specification has it read the full one.
    assert seen
    assert all(report.ok for report in seen), [report for report in seen if not report.ok]


def test_widths_are_those_of_the_specification_only(place):
    publish(place, 7)
    for name in ("0", "007", "256", "x", ".hidden"):
        (place / "tile/0/000.p" / name).write_bytes(b"x")
    assert TileFiles(place).widths(Resource(0, 0)) == [7]
    assert TileFiles(place).widths(Resource(ENTRIES, 9)) == []
    assert verified(place) == 7


def test_reading_is_bounded(tmp_path):
    write_whole(tmp_path / "file", b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    assert read_regular(tmp_path / "none", 5) is None
    with pytest.raises(OSError, match="larger"):
        read_regular(tmp_path / "file", 4)
