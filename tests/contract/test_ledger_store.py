"""The log's rules on every store: the in-memory double and SQLite. Faults are put in behind the log's back."""

import msgspec
import pytest
from ledger_memory import MemoryLedger

from bywire.adapters.sqlite_database import open_database
from bywire.adapters.sqlite_writer import Transaction
from bywire.ledger import log, merkle
from bywire.ledger.checkpoint import sign_checkpoint
from bywire.ledger.entry import Entry, leaf_bytes, record_entry, statement_entry
from bywire.ledger.erasure import erasures
from bywire.ledger.ports import StoredCheckpoint
from bywire.ledger.retention import DAY_MS, Erasure, retention_statement
from bywire.ledger.verify import check_tail, verify_all
from bywire.model.errors import LedgerError
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey

ORIGIN = "log.example/workspace"
KEY = SigningKey.from_seed(b"l" * 32)
STRANGER = SigningKey.from_seed(b"s" * 32)


def keys(size):
    return (KEY.public,)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryLedger()
        return
    connection = open_database(tmp_path / "bywire.db")
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("BEGIN IMMEDIATE")
    yield Transaction(connection)
    connection.close()


def record(number):
    return b'{"n":%d}' % number


def leaf_of(number):
    return leaf_bytes(record_entry("record", number, f"record:{number}", record(number)))


def fill(store, count, *, batch=37):
    first = store.entry_count()
    for number in range(first, first + count):
        assert store.append(leaf_of(number), [record(number)]) == number
        if number % batch == 0:
            log.integrate(store)
    log.integrate(store)


def code_of(call, *arguments):
    with pytest.raises(LedgerError) as error:
        call(*arguments)
    return error.value.code


def tamper(store, what, **where):
    """Change rows as someone with the database file would."""
    if isinstance(store, MemoryLedger):
        _tamper_memory(store, what, **where)
        return
    sql = {
        "entry": "UPDATE entries SET leaf = :leaf WHERE idx = :index",
        "hash": "UPDATE entries SET hash = :hash WHERE idx = :index",
        "drop": "DELETE FROM entries WHERE idx = :index",
        "blob": "UPDATE blobs SET bytes = :content WHERE digest = :digest",
        "drop_blob": "DELETE FROM blobs WHERE digest = :digest",
        "tile": "UPDATE tiles SET hashes = :hashes WHERE level = :level AND idx = :index",
        "drop_tile": "DELETE FROM tiles WHERE level = :level AND idx = :index",
        "note": "UPDATE checkpoints SET note = :note, root = :root WHERE size = :size",
        "drop_notes": "DELETE FROM checkpoints",
        "frontier": "UPDATE meta SET value = :frontier WHERE key = 'frontier'",
    }[what]
    values = {name: bytes.fromhex(value) if name == "digest" else value for name, value in where.items()}
    store.execute(sql, values)


def _tamper_memory(store, what, **where):
    match what:
        case "entry":
            store.entries[where["index"]] = (where["leaf"], *store.entries[where["index"]][1:])
        case "hash":
            row = store.entries[where["index"]]
            store.entries[where["index"]] = (row[0], where["hash"], row[2])
        case "drop":
            del store.entries[where["index"]]
        case "blob":
            store.contents[where["digest"]] = where["content"]
        case "drop_blob":
            del store.contents[where["digest"]]
        case "tile":
            store.tiles[where["level"], where["index"]] = where["hashes"]
        case "drop_tile":
            del store.tiles[where["level"], where["index"]]
        case "note":
            store.notes[where["size"]] = StoredCheckpoint(**where)
        case "drop_notes":
            store.notes.clear()
        case "frontier":
            store.meta["frontier"] = where["frontier"]


def forged(number):
    """Another entry over the same bytes."""
    return leaf_bytes(record_entry("record", number, "record:forged", record(number)))


def rewrite(store, index):
    """A thorough forger: entry, every tile and the frontier agree with one another."""
    tamper(store, "entry", index=index, leaf=forged(index))
    tamper(store, "hash", index=index, hash=merkle.leaf_hash(forged(index)))
    hashes = [hashed for _, hashed in store.leaf_hashes(0)]
    frontier = merkle.Frontier()
    tiles = {}

    def keep(level, at, value):
        if level % 8 == 0:
            tiles[level // 8, at // 256] = tiles.get((level // 8, at // 256), b"") + value

    for value in hashes:
        frontier.append(value, emit=keep)
    for (level, at), value in tiles.items():
        # The unfinished tile of level 0 has no row: it is the hashes beside the entries.
        tamper(store, "tile", level=level, index=at, hashes=value)
    tamper(store, "frontier", frontier=frontier.encode())


def test_indexes_are_gapless_and_the_root_is_that_of_the_leaves(store):
    fill(store, 600)
    assert store.entry_count() == 600
    hashes = [merkle.leaf_hash(leaf_of(number)) for number in range(600)]
    for size in (0, 1, 255, 256, 257, 512, 599, 600):
        frontier = merkle.Frontier()
        for value in hashes[:size]:
            frontier.append(value)
        assert log.root_at(store, size) == frontier.root()


def test_integration_does_not_depend_on_how_entries_were_batched(store):
    fill(store, 300, batch=1)
    other = MemoryLedger()
    fill(other, 300, batch=1_000)
    assert store.frontier() == other.frontier()
    assert [store.tile(0, 0), store.tile(0, 1), store.tile(1, 0)] == [
        other.tile(*at) for at in ((0, 0), (0, 1), (1, 0))
    ]


def test_proofs_verify_at_every_size(store):
    fill(store, 530)
    for index, size in ((0, 1), (0, 530), (255, 256), (256, 257), (511, 530), (529, 530), (100, 300)):
        path = log.inclusion_proof(store, index, size)
        merkle.verify_inclusion(index, size, merkle.leaf_hash(leaf_of(index)), path, log.root_at(store, size))
    for size1, size2 in ((1, 530), (256, 512), (257, 530), (530, 530)):
        path = log.consistency_proof(store, size1, size2)
        merkle.verify_consistency(size1, size2, log.root_at(store, size1), log.root_at(store, size2), path)
    assert code_of(log.inclusion_proof, store, 0, 531) == "ledger_invalid"
    assert code_of(log.consistency_proof, store, 1, 531) == "ledger_invalid"


def test_an_entry_without_its_bytes_is_refused(store):
    assert code_of(store.append, leaf_of(0), [b"other"]) == "blob_missing"
    assert code_of(store.append, b"{}", [b"other"]) == "entry_malformed"
    assert store.entry_count() == 0
    store.put_blob(record(0))
    assert store.append(leaf_of(0)) == 0
    assert store.blob(sha256_hex(record(0))) == record(0)


def retire(store, key_id, to_index):
    if isinstance(store, MemoryLedger):
        store.retired[key_id] = to_index
    else:
        store.execute("INSERT INTO retired_keys VALUES (?, ?, 'lost', 0)", (key_id, to_index))


def test_what_a_retired_key_signed_is_appended_by_nobody(store):
    envelope = b"an envelope"
    leaf = leaf_bytes(
        Entry(at_ms=1, kind="plan", object="dl-1", signer="a" * 64, statement=sha256_hex(envelope), subjects=(), v=1)
    )
    assert store.append(leaf, [envelope]) == 0
    retire(store, "b" * 64, 0)
    assert store.append(leaf, [envelope]) == 1
    retire(store, "a" * 64, 3)
    assert store.append(leaf, [envelope]) == 2
    assert code_of(store.append, leaf, [envelope]) == "key_retired"
    assert store.entry_count() == 3


def erasure(by, **changed):
    said = {
        "at_ms": 9 * DAY_MS,
        "before": "1970-01-06",
        "by": by,
        "classes": ("decisions",),
        "end": 3,
        "kept": (),
        "keys": (),
        "reason": "policy",
    }
    return Erasure(**{**said, **changed})


def erased_log(store, stated, signer=KEY, days=(1, 2, 7)):
    """Three decisions of three days, a retention statement, and the content of the first gone."""
    contents = [b'{"day":%d}' % day for day in days]
    for day, content in zip(days, contents, strict=True):
        store.append(leaf_bytes(record_entry("decision", day * DAY_MS, "dl-1", content)), [content])
    root = log.integrate(store).root()
    statement = retention_statement(ORIGIN, root, stated)
    envelope = sign_statement(statement, signer)
    entry = statement_entry("retention", stated.at_ms, "workspace", envelope, statement, signer.key_id)
    store.append(leaf_bytes(entry), [envelope])
    log.publish(store, ORIGIN, KEY)
    lose(store, contents[0])
    return contents


def lose(store, content):
    if isinstance(store, MemoryLedger):
        store.contents[sha256_hex(content)] = None
    else:
        store.execute("UPDATE blobs SET bytes = zeroblob(0) WHERE digest = ?", (bytes.fromhex(sha256_hex(content)),))


def erasers(person, index):
    return (KEY.public,) if person == "person:oncall" else ()


def test_erased_under_a_statement_is_told_from_lost(store):
    contents = erased_log(store, erasure("person:oncall"))
    assert fault_of(store) == (0, "blob_missing")  # nobody's statements are believed unless the caller says whose
    report = verify_all(store, ORIGIN, keys, erasers=erasers)
    assert (report.ok, report.erased, report.erased_under) == (True, 1, (3,))
    assert check_tail(store, ORIGIN, keys, erasers=erasers) == 4
    lose(store, contents[2])  # younger than the statement says
    assert fault_of(store, erasers=erasers) == (2, "blob_missing")


@pytest.mark.parametrize(
    "stated",
    [
        erasure("person:other"),
        erasure("person:oncall", classes=("evidence",)),
        erasure("person:oncall", before="1970-01-02"),
        erasure("person:oncall", kept=(0,)),
        erasure("person:oncall", end=0),
        erasure("person:oncall", end=4),
    ],
)
def test_a_statement_that_does_not_cover_an_entry_excuses_nothing(store, stated):
    erased_log(store, stated)
    assert fault_of(store, erasers=erasers) == (0, "blob_missing")


def test_a_statement_that_another_key_signed_excuses_nothing(store):
    erased_log(store, erasure("person:oncall"), signer=STRANGER)
    assert fault_of(store, erasers=erasers) == (0, "blob_missing")


def test_a_statement_that_is_not_in_the_tree_excuses_nothing(store):
    erased_log(store, erasure("person:oncall"))
    tamper(store, "entry", index=3, leaf=forged(3))
    assert fault_of(store, erasers=erasers)[0] == 0


def stated(kind="retention"):
    statement = retention_statement(ORIGIN, bytes(32), erasure("person:oncall"))
    envelope = sign_statement(statement, KEY)
    return leaf_bytes(statement_entry(kind, 9, "workspace", envelope, statement, KEY.key_id)), envelope


def test_a_true_statement_at_a_place_where_it_was_not_appended_is_not_believed(store):
    fill(store, 4)
    leaf, envelope = stated()
    store.put_blob(envelope)
    tamper(store, "entry", index=3, leaf=leaf)
    store.note_retention(3)
    assert list(erasures(store, erasers)) == []


def test_a_true_statement_of_another_kind_of_entry_is_not_believed(store):
    fill(store, 3)
    for kind in ("note", "retention"):
        leaf, envelope = stated(kind)
        store.append(leaf, [envelope])
    log.integrate(store)
    store.note_retention(3)
    assert [index for index, _ in erasures(store, erasers)] == [4]


def test_one_size_has_one_checkpoint(store):
    fill(store, 10)
    note = log.publish(store, ORIGIN, KEY)
    assert log.publish(store, ORIGIN, KEY) == note
    fill(store, 1)
    assert log.publish(store, ORIGIN, KEY) != note
    assert [checkpoint.size for checkpoint in store.checkpoints(0)] == [10, 11]
    assert [checkpoint.size for checkpoint in store.checkpoints(11)] == [11]


def test_a_log_that_contradicts_its_checkpoint_is_not_signed_again(store):
    fill(store, 300)
    log.publish(store, ORIGIN, KEY)
    rewrite(store, 5)
    assert code_of(log.publish, store, ORIGIN, KEY) == "ledger_forked"


def published(store, *sizes):
    for size in sizes:
        fill(store, size - store.entry_count())
        log.publish(store, ORIGIN, KEY)


def test_a_sound_log_verifies_with_progress(store):
    published(store, 100, 256, 300, 700)
    fill(store, 20)
    seen = []
    report = verify_all(store, ORIGIN, keys, progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert (report.size, report.checkpoints) == (720, 4)
    assert report.root == log.root_at(store, 720).hex()
    assert seen[-1] == (720, 720)


def test_an_empty_log_verifies(store):
    assert verify_all(store, ORIGIN, keys).ok
    assert check_tail(store, ORIGIN, keys) == 0
    log.publish(store, ORIGIN, KEY)
    assert verify_all(store, ORIGIN, keys).checkpoints == 1


def fault_of(store, **options):
    report = verify_all(store, ORIGIN, keys, **options)
    assert not report.ok
    return report.fault.index, report.fault.kind


@pytest.mark.parametrize("index", [0, 5, 255, 256, 299, 610, 619])
def test_the_first_bad_entry_is_named(store, index):
    published(store, 300, 600)
    fill(store, 20)
    tamper(store, "entry", index=index, leaf=forged(index))
    assert fault_of(store) == (index, "entry_changed")


@pytest.mark.parametrize("index", [0, 256, 300, 619])
def test_a_missing_entry_is_named(store, index):
    published(store, 300, 600)
    fill(store, 20)
    tamper(store, "drop", index=index)
    assert fault_of(store) == (index, "entry_missing")


@pytest.mark.parametrize("index", [0, 299, 300])
def test_changed_and_missing_bytes_are_named(store, index):
    published(store, 300)
    fill(store, 20)
    digest = sha256_hex(record(index))
    tamper(store, "blob", digest=digest, content=b"other")
    assert fault_of(store) == (index, "blob_changed")
    tamper(store, "drop_blob", digest=digest)
    assert fault_of(store) == (index, "blob_missing")


def test_of_two_faults_the_first_is_named(store):
    published(store, 600)
    tamper(store, "blob", digest=sha256_hex(record(20)), content=b"other")
    tamper(store, "entry", index=21, leaf=leaf_of(999))
    tamper(store, "drop", index=22)
    assert fault_of(store) == (20, "blob_changed")
    tamper(store, "blob", digest=sha256_hex(record(20)), content=record(20))
    assert fault_of(store) == (21, "entry_changed")
    tamper(store, "entry", index=21, leaf=leaf_of(21))
    assert fault_of(store) == (22, "entry_missing")


def test_a_changed_tree_is_told_from_a_changed_entry(store):
    published(store, 600)
    hashes = bytearray(store.tile(0, 1))
    hashes[32 * 4] ^= 1
    tamper(store, "tile", level=0, index=1, hashes=bytes(hashes))
    assert fault_of(store) == (260, "tree_changed")


def test_a_changed_hash_beside_an_entry_is_told_from_a_changed_entry(store):
    published(store, 600)
    tamper(store, "hash", index=590, hash=bytes(32))
    assert fault_of(store) == (590, "tree_changed")


def test_a_changed_upper_tile_is_found(store):
    published(store, 600)
    hashes = bytearray(store.tile(1, 0))
    hashes[32] ^= 1
    tamper(store, "tile", level=1, index=0, hashes=bytes(hashes))
    assert fault_of(store) == (256, "tree_changed")


def test_a_thorough_rewrite_is_caught_by_the_checkpoint_after_it(store):
    published(store, 300, 600)
    rewrite(store, 400)
    assert fault_of(store) == (300, "checkpoint_root")
    assert code_of(check_tail, store, ORIGIN, keys) == "ledger_forked"


def test_checkpoints_of_strangers_are_named(store):
    published(store, 300, 600)
    forged = sign_checkpoint(ORIGIN, 600, log.root_at(store, 600), STRANGER)
    tamper(store, "note", size=600, root=log.root_at(store, 600), note=forged)
    assert fault_of(store) == (300, "checkpoint_signature")


def test_a_checkpoint_row_that_differs_from_its_note_is_named(store):
    published(store, 300, 600)
    note = store.last_checkpoint().note
    tamper(store, "note", size=300, root=log.root_at(store, 300), note=note)
    assert fault_of(store) == (0, "checkpoint_signature")


def cut(store, size):
    """Roll the log back to `size` entries, tree and all, as a restored backup would be."""
    frontier = merkle.Frontier.of(size, log.TileHashes(store).hash_at)
    for index in range(size // 256, store.entry_count() // 256):
        tamper(store, "drop_tile", level=0, index=index)
    for index in range(size, store.entry_count()):
        tamper(store, "drop", index=index)
    tamper(store, "frontier", frontier=frontier.encode())


def test_a_log_shorter_than_its_checkpoint_refuses_to_start(store):
    published(store, 300)
    cut(store, 299)
    assert code_of(check_tail, store, ORIGIN, keys) == "ledger_truncated"
    assert code_of(log.publish, store, ORIGIN, KEY) == "ledger_truncated"
    assert fault_of(store) == (299, "entry_missing")


def test_a_rolled_back_log_is_caught_by_a_witness(store):
    published(store, 100, 300)
    witness = [store.last_checkpoint().note]
    assert check_tail(store, ORIGIN, keys, witness) == 300
    assert verify_all(store, ORIGIN, keys, witness=witness).ok
    cut(store, 100)
    tamper(store, "drop_notes")
    assert verify_all(store, ORIGIN, keys).ok
    assert code_of(check_tail, store, ORIGIN, keys, witness) == "ledger_truncated"
    assert fault_of(store, witness=witness) == (100, "entry_missing")
    fill(store, 50)
    for number in range(150, 310):
        store.append(leaf_bytes(record_entry("other", number, "other:1", record(number))), [record(number)])
    log.publish(store, ORIGIN, KEY)
    assert code_of(check_tail, store, ORIGIN, keys, witness) == "ledger_forked"
    assert fault_of(store, witness=witness) == (0, "checkpoint_root")


def test_the_start_up_check_verifies_the_tail_and_moves_its_marker(store):
    published(store, 100, 300)
    fill(store, 20)
    assert store.verified_size() == 0
    assert check_tail(store, ORIGIN, keys) == 320
    assert store.verified_size() == 300
    tamper(store, "entry", index=310, leaf=leaf_of(999))
    assert code_of(check_tail, store, ORIGIN, keys) == "ledger_invalid"


def test_the_start_up_check_reads_only_what_came_after_the_marker(store):
    published(store, 300)
    assert check_tail(store, ORIGIN, keys) == 300
    tamper(store, "blob", digest=sha256_hex(record(5)), content=b"other")
    assert check_tail(store, ORIGIN, keys) == 300
    assert fault_of(store) == (5, "blob_changed")


def test_a_damaged_frontier_is_a_fault_and_not_a_crash(store):
    published(store, 300)
    tamper(store, "frontier", frontier=b"nonsense")
    assert fault_of(store) == (0, "tree_changed")
    assert code_of(check_tail, store, ORIGIN, keys) == "ledger_invalid"


def test_a_frontier_of_other_entries_is_a_fault(store):
    published(store, 300)
    frontier = bytearray(store.frontier())
    frontier[-1] ^= 1
    tamper(store, "frontier", frontier=bytes(frontier))
    assert fault_of(store) == (300, "tree_changed")


def test_an_entry_that_was_never_integrated_is_named(store):
    published(store, 300)
    store.append(leaf_of(300), [record(300)])
    assert fault_of(store) == (300, "entry_extra")
    assert code_of(check_tail, store, ORIGIN, keys) == "ledger_invalid"


def test_reports_are_plain_values(store):
    published(store, 10)
    report = verify_all(store, ORIGIN, keys)
    assert msgspec.to_builtins(report)["checkpoints"] == 1
