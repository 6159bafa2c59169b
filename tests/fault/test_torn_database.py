"""Flipped bits, torn, stale and missing pages in bywire.db and its write-ahead log: found, or without effect.

Every damaged copy is opened, verified against the checkpoint that was published outside it, and read whole. It may be
refused with a code, reported with a fault, or be exactly what it was; it may not say anything else.
"""

import random
import shutil
from collections import Counter

import msgspec
import pytest

from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.sqlite_writer import Writer
from bywire.ledger import log
from bywire.ledger.entry import leaf_bytes, record_entry
from bywire.ledger.verify import verify_all
from bywire.model.errors import BywireError
from bywire.seal.keys import SigningKey

ORIGIN = "log.example/torn"
KEY = SigningKey.from_seed(b"t" * 32)
ENTRIES = 300
PAGE = 4_096
FILES = ("bywire.db", "bywire.db-wal")
DAMAGES_EACH = 60


class Sample(msgspec.Struct):
    """A log at rest in `old`, its later state in `new`: there the last part lies in the write-ahead log alone."""

    old: dict[str, bytes]
    new: dict[str, bytes]
    keys: dict[str, bytes]
    note: str
    contents: list[tuple[int, bytes, bytes]]


def keys(size):
    return (KEY.public,)


def append(writer, first, last):
    def work(tx):
        for number in range(first, last):
            record = b'{"record":%d,"text":"%s"}' % (number, b"x" * (number % 700))
            tx.append(
                leaf_bytes(record_entry("decision", number * 86_400_000 // 200, f"record:{number}", record)), [record]
            )

    writer.run(work)
    return writer.run(lambda tx: log.publish(tx, ORIGIN, KEY))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("torn") / "bywire.db"
    with Writer(path) as writer:
        append(writer, 0, ENTRIES // 2)
    old = {"bywire.db": path.read_bytes(), "bywire.db-wal": b""}
    with Writer(path) as writer:
        note = append(writer, ENTRIES // 2, ENTRIES)
        new = {name: path.with_name(name).read_bytes() for name in FILES}
        data_keys = {place.name: place.read_bytes() for place in (path.parent / "blob-keys").iterdir()}
        reader = open_reader(path)
        contents = list(reader.rows(0))
        reader.close()
    assert len(new["bywire.db-wal"]) > 20 * PAGE
    return Sample(old=old, new=new, keys=data_keys, note=note, contents=contents)


@pytest.fixture
def place(tmp_path):
    """A directory that is emptied between two damages."""
    directory = tmp_path / "copy"

    def fill(sample, files, data_keys=None):
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "blob-keys").mkdir(parents=True)
        for name, data in files.items():
            (directory / name).write_bytes(data)
        for name, data in (data_keys or sample.keys).items():
            (directory / "blob-keys" / name).write_bytes(data)
        return directory / "bywire.db"

    return fill


def verdict(path, sample):
    """`same`, or the code or kind of what was found; an assertion error for a silent wrong answer."""
    try:
        reader = open_reader(path)
    except BywireError as error:
        return error.code
    try:
        with reader.snapshot():
            report = verify_all(reader, ORIGIN, keys, witness=[sample.note])
            if not report.ok:
                return report.fault.kind
            assert list(reader.rows(0)) == sample.contents
            assert report.size == ENTRIES
            assert log.root_at(reader, ENTRIES).hex() == report.root
            return "same"
    except BywireError as error:
        return error.code
    finally:
        reader.close()


def flip(data, at):
    damaged = bytearray(data)
    damaged[at // 8] ^= 1 << at % 8
    return bytes(damaged)


def damaged_whole(sample, place, how, seed):
    """Counts what was found over DAMAGES_EACH damages of each file, made by how(random, bytes, older bytes)."""
    drawn, found = random.Random(seed), Counter()
    for name in FILES:
        for _ in range(DAMAGES_EACH):
            files = {**sample.new, name: how(drawn, sample.new[name], sample.old[name])}
            found[verdict(place(sample, files), sample)] += 1
    return found


def test_the_undamaged_copy_is_what_it_was(sample, place):
    assert verdict(place(sample, sample.new), sample) == "same"


def test_a_flipped_bit_is_found_or_without_effect(sample, place):
    found = damaged_whole(sample, place, lambda drawn, data, _: flip(data, drawn.randrange(len(data) * 8)), 1)
    assert sum(found.values()) == 2 * DAMAGES_EACH
    assert found.total() - found["same"] > DAMAGES_EACH // 2, found


def test_each_byte_of_the_headers_may_be_flipped(sample, place):
    found = Counter()
    for name, header in (("bywire.db", 100), ("bywire.db-wal", 32)):
        for byte in range(header):
            files = {**sample.new, name: flip(sample.new[name], byte * 8 + byte % 8)}
            found[verdict(place(sample, files), sample)] += 1
    assert found.total() - found["same"] > 20, found


def test_a_truncated_file_is_found(sample, place):
    found = damaged_whole(sample, place, lambda drawn, data, _: data[: drawn.randrange(len(data))], 2)
    assert found["same"] < DAMAGES_EACH // 4, found


def torn(drawn, data, older):
    """The second half of a page is what it was before, or nothing: the write was cut."""
    at = drawn.randrange(len(data) // PAGE) * PAGE + PAGE // 2
    before = older[at : at + PAGE // 2].ljust(PAGE // 2, b"\0")
    return data[:at] + before + data[at + PAGE // 2 :]


def test_a_torn_page_is_found_or_without_effect(sample, place):
    assert damaged_whole(sample, place, torn, 3).total() == 2 * DAMAGES_EACH


def lost(drawn, data, older):
    """A page whose last write never arrived: it is whole, and old."""
    at = drawn.randrange(len(data) // PAGE) * PAGE
    before = older[at : at + PAGE] if at + PAGE <= len(older) else bytes(PAGE)
    return data[:at] + before + data[at + PAGE :]


def test_a_lost_write_is_found_or_without_effect(sample, place):
    assert damaged_whole(sample, place, lost, 4).total() == 2 * DAMAGES_EACH


def swapped(drawn, data, _):
    """Two pages in one another's place."""
    first, second = (drawn.randrange(len(data) // PAGE) * PAGE for _ in range(2))
    pages = bytearray(data)
    pages[first : first + PAGE], pages[second : second + PAGE] = (
        data[second : second + PAGE],
        data[first : first + PAGE],
    )
    return bytes(pages)


def test_swapped_pages_are_found_or_without_effect(sample, place):
    assert damaged_whole(sample, place, swapped, 5).total() == 2 * DAMAGES_EACH


def test_the_log_without_its_write_ahead_log_is_behind_its_checkpoint(sample, place):
    files = {"bywire.db": sample.new["bywire.db"]}
    assert verdict(place(sample, files), sample) == "entry_missing"
    assert verdict(place(sample, sample.old), sample) == "entry_missing"


def test_a_flipped_bit_in_a_data_key_is_found(sample, place):
    (name, key), *_ = sorted(sample.keys.items())
    for bit in range(0, len(key) * 8, 7):
        path = place(sample, sample.new, {**sample.keys, name: flip(key, bit)})
        assert verdict(path, sample) == "blob_missing"


def test_a_damaged_database_is_not_appended_to_unseen(sample, place):
    """What the start-up check lets pass, a later append and a full verification still agree about."""
    drawn = random.Random(6)
    for _ in range(20):
        name = drawn.choice(FILES)
        data = sample.new[name]
        path = place(sample, {**sample.new, name: flip(data, drawn.randrange(len(data) * 8))})
        try:
            with Writer(path) as writer:
                append(writer, ENTRIES, ENTRIES + 1)
                report = writer.run(lambda tx: verify_all(tx, ORIGIN, keys, witness=[sample.note]))
                whole = writer.run(lambda tx: list(tx.rows(0))[:ENTRIES])
        except BywireError:
            continue
        if report.ok:
            assert whole == sample.contents
