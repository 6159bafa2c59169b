"""Where each limit of what is published lies, and what verification says beyond it."""

import json

import pytest
from log_double import LOG, ORIGIN, STRANGER, TRUST, WITNESS, Tree, keys, numbered

from bywire.ledger import merkle, tiles, tiles_verify, verify, witness
from bywire.ledger.checkpoint import (
    COSIGNATURE,
    ED25519,
    NoteSignature,
    key_hash,
    parse_checkpoint,
    render_note,
    sign_checkpoint,
)
from bywire.ledger.entry import leaf_bytes, record_entry
from bywire.ledger.ports import StoredCheckpoint
from bywire.ledger.tiles import Resource, index_path, resources, write_log
from bywire.ledger.vkey import format_vkey, parse_vkey
from bywire.ledger.witness_policy import parse_witness_policy
from bywire.model.errors import EvidenceError, LedgerError

DIGEST = "a" * 64
EMPTY = merkle.EMPTY_ROOT


def refused(code, call, *arguments, error=EvidenceError):
    with pytest.raises(error) as found:
        call(*arguments)
    assert found.value.code == code


# -- tiles


@pytest.mark.parametrize(
    ("index", "path"),
    [(0, "000"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067"), (1_000_000, "x001/x000/000")],
)
def test_paths_are_those_of_the_specification(index, path):
    assert index_path(index) == path


def test_levels_end_with_the_tree():
    assert {one.level for one in resources(65_536)} == {-1, 0, 1, 2}
    assert list(resources(0)) == []


class Files:
    """A store of published files."""

    def __init__(self):
        self.files = {}
        self.puts = []

    def read(self, path, bytes_max):
        return self.files.get(path)

    def exists(self, path):
        return path in self.files

    def put(self, path, content):
        self.puts.append(path)
        self.files[path] = content

    def sync(self):
        """Nothing to do."""

    def replace_checkpoint(self, note):
        self.files["checkpoint"] = note.encode()

    def drop_partials(self, resource):
        """Nothing is kept in parts here."""

    def widths(self, resource):
        start = f"{resource.whole.path}.p/"
        return [int(path.removeprefix(start)) for path in self.files if path.startswith(start)]


def published(size, store=None, **sizes):
    tree = Tree(numbered(size), published=sizes.get("published", ()))
    store = store or Files()
    return store, tree, write_log(store, tree, tree.note(), keys)


def test_what_was_published_is_told_and_not_written_again():
    store, _, told = published(300)
    assert told.size == 300
    store.puts.clear()
    published(300, store)
    assert store.puts == []


def test_a_longer_log_is_never_hidden_by_a_shorter_one():
    store, _, _ = published(5)
    tree = Tree(numbered(4))
    refused("ledger_truncated", write_log, store, tree, tree.note(), keys, error=LedgerError)
    assert b"\n5\n" in store.files["checkpoint"]


def test_a_checkpoint_that_is_no_text_is_not_ours():
    store = Files()
    store.files["checkpoint"] = b"\xff\xfe"
    tree = Tree(numbered(2))
    refused("checkpoint_malformed", write_log, store, tree, tree.note(), keys)


def test_a_tile_that_is_short_is_not_published():
    tree = Tree(numbered(3))
    tree.tile = lambda level, index: b"x" * 64
    with pytest.raises(LedgerError, match="tile/"):
        tiles._content(tree, Resource(0, 0, 3))


def test_the_report_counts_every_file_once_and_names_the_last():
    store, _, _ = published(300)
    report = tiles_verify.verify_tiles(store, TRUST)
    assert (report.ok, report.files) == (True, len(store.files))
    assert report.path == ""


def test_older_parts_are_checked_and_blamed_by_their_own_path():
    store, _, _ = published(10)
    published(20, store)
    assert tiles_verify.verify_tiles(store, TRUST).ok
    store.files["tile/0/000.p/10"] = b"x" * 320
    report = tiles_verify.verify_tiles(store, TRUST)
    assert (report.ok, report.code, report.path) == (False, "tile_changed", "tile/0/000.p/10")


def test_the_same_part_is_not_its_own_older_part():
    store, _, _ = published(10)
    rebuilt = tiles_verify._Rebuilt(store)
    assert rebuilt.at == ""
    assert list(rebuilt._older(Resource(0, 0, 10))) == []
    assert rebuilt.files == 0


def test_after_an_older_part_the_file_at_hand_is_named_again():
    store, _, _ = published(10)
    published(20, store)
    rebuilt = tiles_verify._Rebuilt(store)
    rebuilt.at = "elsewhere"
    found = rebuilt._older(Resource(0, 0, 20))
    assert next(found).width == 10
    assert rebuilt.at == "tile/0/000.p/10"
    assert list(found) == []
    assert (rebuilt.at, rebuilt.files) == ("tile/0/000.p/20", 1)


def test_a_bundle_of_fewer_entries_is_malformed():
    store, _, _ = published(10)
    store.files["tile/entries/000.p/10"] = store.files["tile/entries/000.p/10"][: 9 * 10]
    assert tiles_verify.verify_tiles(store, TRUST).code == "bundle_malformed"


# -- verification of the whole log


def test_checkpoints_from_outside_come_before_those_stored_at_the_same_size():
    stored = [StoredCheckpoint(size=n, root=b"", note="in") for n in (2, 4)]
    outside = [StoredCheckpoint(size=n, root=b"", note="out") for n in (1, 2, 5)]
    merged = [(one.size, one.note) for one in verify._merged(iter(stored), outside)]
    assert merged == [(1, "out"), (2, "out"), (2, "in"), (4, "in"), (5, "out")]


def test_witness_notes_are_taken_in_the_order_of_their_sizes():
    tree = Tree(numbered(6))
    found = verify._external(ORIGIN, keys, [tree.note(5), tree.note(2), tree.note(3)])
    assert [one.size for one in found] == [2, 3, 5]


def rows_of(tree, blobs):
    tree.rows = lambda start: ((n, leaf, blobs[n]) for n, leaf in enumerate(tree.leaves) if n >= start)
    tree.retention_entries = list
    return tree


def recorded(count, **changes):
    blobs = [json.dumps({"n": n}).encode() for n in range(count)]
    leaves = [leaf_bytes(record_entry("record", n, f"record:{n}", blob)) for n, blob in enumerate(blobs)]
    for index, leaf in changes.get("leaves", {}).items():
        leaves[index] = leaf
    for index, blob in changes.get("blobs", {}).items():
        blobs[index] = blob
    return rows_of(Tree(leaves, published=changes.get("published", (count,))), blobs)


def test_a_witness_note_that_nobody_signed_is_a_fault_at_the_first_entry():
    tree = recorded(3)
    report = verify.verify_all(tree, ORIGIN, keys, witness=[tree.note(key=STRANGER)])
    assert (report.ok, report.root, report.fault.index, report.fault.kind) == (False, "", 0, "checkpoint_signature")


@pytest.mark.parametrize("blob", [b"{}", None])
def test_a_leaf_that_is_none_of_ours_is_named(blob):
    tree = recorded(3, leaves={1: b"{"}, blobs={1: blob})
    report = verify.verify_all(tree, ORIGIN, keys)
    assert (report.fault.index, report.fault.kind) == (1, "entry_malformed")
    # One that a lenient reader could take for an entry is told when its bytes are gone.
    tree = recorded(3, leaves={1: b'{"record":"' + b"a" * 64 + b'"}'}, blobs={1: None})
    assert verify.verify_all(tree, ORIGIN, keys).fault.kind == "entry_malformed"


def test_progress_is_told_now_and_then_and_at_the_end(monkeypatch):
    monkeypatch.setattr(verify, "_PROGRESS_ENTRIES", 256)
    told = []
    report = verify.verify_all(recorded(600), ORIGIN, keys, progress=lambda done, total: told.append((done, total)))
    assert report.ok
    assert told == [(256, 600), (512, 600), (600, 600)]


def test_a_wrong_root_names_the_entries_that_do_not_lead_to_it():
    tree = recorded(6, published=(2,))
    forged = StoredCheckpoint(size=5, root=b"f" * 32, note=sign_checkpoint(ORIGIN, 5, b"f" * 32, LOG))
    first = list(tree.checkpoints(0))
    tree.checkpoints = lambda start: (one for one in (*first, forged) if one.size >= start)
    fault = verify.verify_all(tree, ORIGIN, keys).fault
    assert (fault.index, fault.kind) == (2, "checkpoint_root")
    assert fault.detail == "entries 2 to 4 do not lead to the root signed at 5"


def test_checkpoints_inside_and_at_the_end_of_a_block_are_all_verified():
    for sizes in [(1,), (255, 256), (256, 512), (256, 300, 600), (100, 600)]:
        report = verify.verify_all(recorded(600, published=sizes), ORIGIN, keys)
        assert (report.ok, report.checkpoints) == (True, len(sizes))


def test_whether_tree_or_entry_was_changed_is_asked_of_the_checkpoint_just_after_it():
    # The last entry that a checkpoint covers: the one after it is not covered.
    tree = recorded(4, published=(3,))
    whole = tree.tile(0, 0)
    for index, kind in ((2, "tree_changed"), (3, "entry_changed")):
        spoilt = whole[: index * 32] + b"x" * 32 + whole[(index + 1) * 32 :]
        changed = recorded(4, published=(3,))
        proofs = Tree(changed.leaves)
        changed.tile = lambda level, at, spoilt=spoilt: spoilt
        assert verify.verify_all(changed, ORIGIN, keys).fault.kind in {kind, "entry_changed"}
        assert proofs.root() == tree.root()


# -- witnesses


def test_a_log_is_named_by_the_hash_of_its_origin():
    assert witness.origin_hash("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


@pytest.mark.parametrize("body", [b"\xff\n\n", b"new 1\n\n", b"old 0\n!\n\n"])
def test_a_malformed_request_has_its_code(body):
    found = witness.parse_request(body)
    assert (found.status, found.code) == (400, "request_malformed")


def test_a_malformed_note_or_proof_is_a_malformed_request():
    note = Tree(numbered(1)).note()
    for body in (f"old 0\n{'A' * 7}\n\n{note}", "old 0\n\nno note"):
        assert witness.parse_request(body.encode()).code == "request_malformed"


def test_refusals_of_a_witness_have_their_codes():
    known = parse_checkpoint(Tree(numbered(1)).note())
    conflict = witness.read_answer(witness.Answer(409, b"7\n"), known, "w", WITNESS.public)
    assert (conflict.status, conflict.code, conflict.size) == (409, "old_size_differs", 7)
    down = witness.read_answer(witness.Answer(503, b""), known, "w", WITNESS.public)
    assert (down.status, down.code) == (503, "witness_refused")


def test_a_wrong_cosignature_counts_as_none():
    tree = Tree(numbered(1))
    known = parse_checkpoint(tree.note())
    line = NoteSignature("w.example", key_hash("w.example", COSIGNATURE, WITNESS.public), b"\0" * 7 + b"\1" + b"s" * 64)
    note = render_note(known.text, [*known.signatures, line])
    found, cosigned = witness.read_latest(note, ORIGIN, keys, "w.example", WITNESS.public)
    assert (found.size, cosigned) == (1, False)


# -- keys and policies of witnesses


def test_a_malformed_vkey_has_its_code():
    refused("vkey_invalid", parse_vkey, "nonsense", ED25519)


def test_a_policy_may_be_as_large_as_is_said():
    start = b"quorum none\n# "
    whole = start + b"x" * (65_536 - len(start))
    assert parse_witness_policy(whole) is not None
    with pytest.raises(EvidenceError):
        parse_witness_policy(whole + b"x")


def test_a_policy_says_which_of_its_keys_is_listed_twice():
    for word, name, key, kind in (("log", "", LOG, ED25519), ("witness", "w{n} ", WITNESS, COSIGNATURE)):
        lines = [f"{word} {name.format(n=n)}{format_vkey(f'name{n}', key.public, kind)}" for n in (1, 2)]
        with pytest.raises(EvidenceError, match=f"that {word}'s key is listed twice"):
            parse_witness_policy("\n".join([*lines, "quorum none\n"]).encode())
