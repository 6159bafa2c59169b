"""Where each limit of the log lies, on both sides of it, and under which code what lies beyond is refused."""

import base64
import json

import msgspec
import pytest
from log_double import LOG, ORIGIN, STRANGER, TRUST, WITNESS, Tree, numbered

from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.ledger import checkpoint as notes
from bywire.ledger import entry, erasure, log, merkle, proof
from bywire.ledger.checkpoint import (
    ED25519,
    NoteSignature,
    cosign,
    cosignatures,
    key_hash,
    log_keys,
    parse_checkpoint,
    parse_signature_lines,
    render_note,
    sign_checkpoint,
)
from bywire.ledger.entry import Entry, leaf_bytes, parse_leaf, record_entry
from bywire.ledger.proof import ProofItem, build_proof, verify_proof
from bywire.ledger.retention import DataKey, Erasure, key_number, parse_erasure, retention_statement
from bywire.ledger.tlog_proof import _b64
from bywire.model.errors import EvidenceError, LedgerError
from bywire.model.principal import KeyRole
from bywire.model.statement import Statement, subject

DIGEST = "a" * 64
EMPTY = merkle.EMPTY_ROOT


def refused(code, call, *arguments, error=EvidenceError):
    with pytest.raises(error) as found:
        call(*arguments)
    assert found.value.code == code


# -- checkpoints


def test_the_keys_of_an_empty_log_are_those_of_its_first_entry():
    first = TrustedKey(
        key_id=LOG.key_id, role=KeyRole.LOG, principal="workload:log", public=LOG.public.raw_public.hex(), to_index=1
    )
    of = log_keys(TrustRoot(version=1, origin=ORIGIN, keys=(first,)))
    assert [len(of(size)) for size in (0, 1, 2)] == [1, 1, 0]


def signature_lines(total):
    """Lines of exactly `total` characters."""
    plain = f"— {ORIGIN} {base64.b64encode(b'1234' + b's' * 64).decode()}\n"
    # A signature in base64 grows by four characters, the key's name by one.
    grown, left = divmod(total - len(plain), 4)
    name = ORIGIN + "x" * left
    return f"— {name} {base64.b64encode(b'1234' + b's' * (64 + 3 * grown)).decode()}\n"


def test_a_note_may_be_as_large_as_is_said():
    text = signature_lines(notes.NOTE_BYTES_MAX)
    if len(text) < notes.NOTE_BYTES_MAX:  # padding of base64 decides the last characters
        text = text.replace("— ", "— " + "y" * (notes.NOTE_BYTES_MAX - len(text)), 1)
    assert len(text) == notes.NOTE_BYTES_MAX
    assert len(parse_signature_lines(text)) == 1
    refused("checkpoint_malformed", parse_signature_lines, text.replace("— ", "— z", 1))


def test_what_a_strangers_line_says_does_not_hide_the_logs():
    root = merkle.leaf_hash(b"x")
    signed = sign_checkpoint(ORIGIN, 1, root, LOG)
    known = parse_checkpoint(signed)
    # A line that carries the log's name and another key's id comes first.
    foreign = NoteSignature(ORIGIN, key_hash(ORIGIN, ED25519, STRANGER.public), STRANGER.sign(known.text))
    note = parse_checkpoint(render_note(known.text, [foreign, *known.signatures]))
    assert notes.log_signatures(note, ORIGIN, [LOG.public]) == known.signatures


def test_a_wrong_cosignature_of_a_known_witness_is_named():
    known = parse_checkpoint(sign_checkpoint(ORIGIN, 1, merkle.leaf_hash(b"x"), LOG))
    line = cosign(known, "w.example", WITNESS, 1_700_000_000)
    spoilt = NoteSignature(line.name, line.key_hash, line.signature[:-1] + bytes([line.signature[-1] ^ 1]))
    note = parse_checkpoint(render_note(known.text, [*known.signatures, spoilt]))
    refused("cosignature_invalid", cosignatures, note, {"w.example": WITNESS.public})


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb"])
def test_a_signature_line_names_one_key(name):
    refused("checkpoint_malformed", parse_signature_lines, f"— {name} {base64.b64encode(b'1234' + b's').decode()}\n")


@pytest.mark.parametrize(("size", "fits"), [(4, False), (5, True)])
def test_a_signature_is_more_than_a_key_id(size, fits):
    text = f"— n {base64.b64encode(b'x' * size).decode()}\n"
    if fits:
        assert len(parse_signature_lines(text)) == 1
    else:
        refused("checkpoint_malformed", parse_signature_lines, text)


@pytest.mark.parametrize("bad", ["\x00", "\x07", "\x1f", "\x0b", "\r"])
def test_a_checkpoint_has_no_control_characters(bad):
    note = sign_checkpoint(ORIGIN, 1, merkle.leaf_hash(b"x"), LOG)
    refused("checkpoint_malformed", parse_checkpoint, note.replace(ORIGIN, ORIGIN + bad))


# -- entries


def test_a_leaf_may_be_as_long_as_is_said():
    def leaf(count, about):
        digests = tuple(sorted(f"{n:064x}" for n in range(count)))
        return msgspec.json.encode(Entry(at_ms=0, kind="k", object=about, record=DIGEST, subjects=digests, v=1))

    # 256 subjects stay below the bound: only a leaf that no entry makes can reach it.
    assert len(leaf(256, "o" * 256)) < entry.LEAF_BYTES_MAX
    padded = b" " * entry.LEAF_BYTES_MAX
    with pytest.raises(LedgerError, match=r"malformed: (JSON|Input)"):
        parse_leaf(padded)
    with pytest.raises(LedgerError, match="larger than 65535 bytes"):
        parse_leaf(padded + b" ")


def test_the_last_millisecond_that_json_can_say():
    last = 2**53 - 1
    assert parse_leaf(leaf_bytes(record_entry("k", last, "o", b"r"))).at_ms == last
    refused("entry_malformed", lambda: leaf_bytes(record_entry("k", last + 1, "o", b"r")), error=LedgerError)


# -- erasures


def test_only_the_person_who_is_named_erases():
    alice = TrustedKey(
        key_id=WITNESS.key_id,
        role=KeyRole.APPROVER,
        principal="person:alice",
        public=WITNESS.public.raw_public.hex(),
        owner="",
    )
    of = erasure.eraser_keys(TrustRoot(version=1, origin=ORIGIN, keys=(*TRUST.keys, alice)))
    assert [key.key_id for key in of("person:alice", 0)] == [WITNESS.key_id]
    assert list(of("person:bob", 0)) == []


def erased(**changes):
    whole = {
        "at_ms": 1, "before": "2026-01-02", "by": "person:alice", "classes": ("decisions", "evidence"), "end": 1,
        "kept": (), "keys": (), "reason": "r",
    }  # fmt: skip
    return Erasure(**{**whole, **changes})


def test_every_erasable_class_may_be_erased_and_no_other():
    statement = retention_statement(ORIGIN, EMPTY, erased())
    assert parse_erasure(statement).classes == ("decisions", "evidence")
    refused("statement_malformed", parse_erasure, retention_statement(ORIGIN, EMPTY, erased(classes=("keep",))))


@pytest.mark.parametrize("predicate", [{}, {**msgspec.to_builtins(erased()), "before": "yesterday"}])
def test_a_malformed_erasure_has_its_code(predicate):
    statement = Statement(
        subject=(subject(ORIGIN, EMPTY.hex()),),
        predicateType=retention_statement(ORIGIN, EMPTY, erased()).predicateType,
        predicate=predicate,
    )
    refused("statement_malformed", parse_erasure, statement)


def test_data_keys_end_with_the_calendar():
    last = (2_932_896) * 16  # 9999-12-31
    assert DataKey.of_number(last + 1).name == "decisions-9999-12-31"
    for number in (3, 16, 16 + 3, last + 16 + 1, -1):
        with pytest.raises(ValueError, match="no data key"):
            DataKey.of_number(number)
    assert DataKey.of_name("keep").day == 0
    of = Entry(at_ms=2_932_896 * 86_400_000, kind="decision", object="o", record=DIGEST, subjects=(), v=1)
    assert DataKey.of_number(key_number(of)).day == 2_932_896


# -- the log and its proofs


def test_a_blob_may_be_as_large_as_is_said(monkeypatch):
    monkeypatch.setattr(log, "BLOB_BYTES_MAX", 8)

    class Stored(Exception):
        pass

    class Ledger:
        def put_blob(self, *_):
            raise Stored

        def __getattr__(self, name):
            raise Stored

    leaf = leaf_bytes(record_entry("k", 0, "o", b"12345678"))
    with pytest.raises(Stored):
        log.append(Ledger(), leaf, [b"12345678"])
    refused("blob_too_large", log.append, Ledger(), leaf, [b"123456789"], error=LedgerError)


def test_a_gap_in_the_entries_is_not_integrated():
    class Ledger:
        def frontier(self):
            return b""

        def entry_count(self):
            return 3

        def leaf_hashes(self, start):
            return iter([(0, b"h" * 32), (2, b"h" * 32)])

        def tile(self, level, index):
            return b""

    refused("ledger_invalid", log.integrate, Ledger(), error=LedgerError)


def test_a_log_that_lost_entries_or_tree_is_shorter():
    tree = Tree(numbered(5))
    tree.entry_count = lambda: 4
    with pytest.raises(LedgerError, match="has 4 entries, but a checkpoint of 5") as found:
        log.refuse_contradiction(tree, 5, tree.root())
    assert found.value.code == "ledger_truncated"


def test_proofs_are_asked_for_sizes_that_exist():
    tree = Tree(numbered(3))
    for size in (-1, 4):
        refused("ledger_invalid", log.consistency_proof, tree, 1, size, error=LedgerError)
    assert log._known(tree, 0) == 0


def test_a_tile_that_lacks_hashes_proves_nothing():
    tree = Tree(numbered(3))
    tree.tile = lambda level, index: b"x" * 31
    refused("ledger_invalid", log.inclusion_proof, tree, 0, 3, error=LedgerError)


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (1, 1), (2, 1), (0, 0)])
def test_an_index_lies_in_its_tree(index, size):
    with pytest.raises(EvidenceError, match="wrong sizes"):
        merkle.verify_inclusion(index, size, b"h" * 32, [], b"h" * 32)


def test_trees_of_the_largest_size_are_spoken_of():
    with pytest.raises(EvidenceError, match="wrong length"):
        merkle.verify_inclusion(0, merkle.SIZE_MAX, b"h" * 32, [], b"h" * 32)
    merkle.verify_consistency(merkle.SIZE_MAX, merkle.SIZE_MAX, b"h" * 32, b"h" * 32, [])
    with pytest.raises(EvidenceError, match="wrong sizes"):
        merkle.verify_inclusion(0, merkle.SIZE_MAX + 1, b"h" * 32, [], b"h" * 32)
    count = merkle.SIZE_MAX.bit_count()
    assert merkle.Frontier(merkle.SIZE_MAX, [b"h" * 32] * count).size == merkle.SIZE_MAX


def test_every_hash_of_a_proof_is_a_hash():
    with pytest.raises(EvidenceError, match="wrong sizes"):
        merkle.verify_inclusion(0, 2, b"h" * 32, [b"h" * 31], b"h" * 32)
    with pytest.raises(EvidenceError, match="wrong sizes"):
        merkle.verify_consistency(1, 2, b"h" * 32, b"h" * 32, [b"h" * 31])


def test_a_proof_that_goes_on_past_the_root_has_the_wrong_length():
    tree = Tree(numbered(4))
    path = tree.consistency(2, 4)
    with pytest.raises(EvidenceError, match="wrong length"):
        merkle.verify_consistency(2, 4, tree.root(2), tree.root(4), [*path, b"h" * 32])
    with pytest.raises(EvidenceError, match="wrong length"):
        merkle.verify_inclusion(0, 4, tree.hashes[0], [*tree.inclusion(0), b"h" * 32], tree.root())


def test_subtrees_are_as_large_as_their_place_allows():
    for start in range(1, 40):
        for end in range(start + 1, 41):
            parts = list(merkle._perfect(start, end))
            covered = [n for level, index in parts for n in range(index << level, (index + 1) << level)]
            assert covered == list(range(start, end))
            assert len(parts) == len({level for level, _ in parts}) or max(level for level, _ in parts) < 6


# -- proof documents


def document(count=2):
    bodies = [json.dumps({"n": n}).encode() for n in range(count)]
    leaves = [leaf_bytes(record_entry("record", n, f"record:{n}", body)) for n, body in enumerate(bodies)]
    tree = Tree(leaves)
    items = [
        ProofItem(content=body, index=n, leaf=leaves[n], path=tuple(tree.inclusion(n))) for n, body in enumerate(bodies)
    ]
    return build_proof(items, tree.note())


@pytest.mark.parametrize(("limit", "least", "code"), [("PROOF_BYTES_MAX", 0, "proof_too_large")])
def test_a_proof_may_be_as_large_as_is_said(monkeypatch, limit, least, code):
    whole = document()
    monkeypatch.setattr(proof, limit, len(whole) - least)
    assert verify_proof(whole, TRUST).ok
    monkeypatch.setattr(proof, limit, len(whole) - least - 1)
    assert verify_proof(whole, TRUST).code == code


def test_a_proof_holds_as_many_entries_and_hashes_as_is_said(monkeypatch):
    whole = document(4)
    monkeypatch.setattr(proof, "ITEMS_MAX", 4)
    monkeypatch.setattr(proof, "PATH_MAX", 2)
    assert verify_proof(whole, TRUST).ok
    monkeypatch.setattr(proof, "PATH_MAX", 1)
    assert verify_proof(whole, TRUST).code == "proof_malformed"
    monkeypatch.setattr(proof, "PATH_MAX", 2)
    monkeypatch.setattr(proof, "ITEMS_MAX", 3)
    assert verify_proof(whole, TRUST).code == "proof_malformed"


def test_a_record_has_no_signer_with_and_without_trust():
    for trust in (TRUST, None):
        for found in verify_proof(document(), trust).entries:
            assert (found.predicate_type, found.signer, found.role) == ("", "", "")


@pytest.mark.parametrize("text", ["", "AA=", "AB==", "A A=", "*"])
def test_text_that_is_not_the_base64_of_something_is_refused(text):
    refused("tlog_proof_malformed", _b64, text)
