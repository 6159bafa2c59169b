"""What others rely on: names, limits and shapes of the log's formats. A change here is a change of format."""

import inspect

import msgspec
import pytest

from bywire.ledger import (
    checkpoint,
    entry,
    log,
    ports,
    proof,
    retention,
    tiles,
    tiles_verify,
    tlog_proof,
    verify,
    vkey,
    witness,
    witness_policy,
)
from bywire.ledger.entry import Entry
from bywire.ledger.proof import ProofItem, ProofReport
from bywire.ledger.retention import DECISIONS, EVIDENCE, KEEP, Erasure, class_of
from bywire.ledger.tiles_verify import TilesReport
from bywire.ledger.tlog_proof import TlogProof
from bywire.ledger.verify import LogReport
from bywire.ledger.witness_policy import POLICY_BYTES_MAX

DIGEST = "a" * 64
MODULES = (
    checkpoint, entry, ports, proof, retention, tiles, tiles_verify, tlog_proof, verify, vkey, witness, witness_policy,
)  # fmt: skip
# What is read field by field in a loop over a million entries, and never handed on.
MUTABLE = {"_Content"}


def structs():
    for module in MODULES:
        for name, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, msgspec.Struct) and found.__module__ == module.__name__ and name not in MUTABLE:
                yield pytest.param(found, id=f"{module.__name__.rpartition('.')[2]}.{name}")


@pytest.mark.parametrize("struct", tuple(structs()))
def test_what_was_verified_cannot_be_changed_afterwards(struct):
    assert struct.__struct_config__.frozen


@pytest.mark.parametrize("struct", [Entry, ProofItem, proof._Document, Erasure])
def test_a_field_that_nobody_knows_refuses_what_is_believed(struct):
    assert struct.__struct_config__.forbid_unknown_fields


def test_an_erasure_is_written_with_names():
    with pytest.raises(TypeError):
        Erasure(1, "2026-01-01", "person:a", (), 1, (), (), "")


def test_limits_of_the_formats():
    assert checkpoint.NOTE_BYTES_MAX == 262_144
    assert entry.LEAF_BYTES_MAX == 65_535
    assert entry.PARSED_MAX == 4_096
    assert entry._TIME_MS_MAX == 9_007_199_254_740_991
    assert log.BLOB_BYTES_MAX == 67_108_864
    assert proof.PROOF_BYTES_MAX == 67_108_864
    assert proof.ITEMS_MAX == 8_192
    assert proof.PATH_MAX == 63
    assert tiles.BUNDLE_BYTES_MAX == 256 * 65_537
    assert POLICY_BYTES_MAX == 65_536
    assert verify._PROGRESS_ENTRIES == 16_384


def test_names_of_the_formats():
    assert proof.FORMAT == "bywire-proof/v1"
    assert tlog_proof.HEADER == "c2sp.org/tlog-proof@v1"
    assert (KEEP, DECISIONS, EVIDENCE) == ("keep", "decisions", "evidence")
    assert retention.DAY_MS == 24 * 60 * 60 * 1000
    assert tiles.ENTRIES == -1


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        *((kind, DECISIONS) for kind in ("approval", "approval-request", "decision", "intent", "outcome", "reads")),
        *((kind, EVIDENCE) for kind in ("change-set", "evaluation", "plan", "provenance", "recourse", "sbom")),
        *((kind, EVIDENCE) for kind in ("test-report", "verdict")),
        *((kind, KEEP) for kind in ("retention", "policy-bundle", "vsa", "break-glass", "anything-new")),
    ],
)
def test_how_long_a_kind_is_kept(kind, kept):
    of = Entry(at_ms=0, kind=kind, object="delivery:1", record=DIGEST, subjects=(), v=1)
    assert class_of(of) == kept


def test_assets_are_kept_whatever_they_are():
    assert class_of(Entry(at_ms=0, kind="sbom", object="assets", record=DIGEST, subjects=(), v=1)) == KEEP


@pytest.mark.parametrize("field", ["record", "signer", "statement"])
def test_what_an_entry_has_none_of_is_left_out(field):
    plain = {"at_ms": 0, "kind": "k", "object": "o", "subjects": [], "v": 1}
    assert getattr(msgspec.convert(plain, Entry), field) == ""
    for value in ("", "XX"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**plain, field: value}, Entry)


def test_a_report_that_says_nothing_names_nothing():
    empty = ProofReport(ok=False, code="c", message="m")
    assert (empty.origin, empty.size, empty.witnesses, empty.entries) == ("", 0, (), ())
    bare = TilesReport(ok=False, code="c", message="m")
    assert (bare.path, bare.origin, bare.size, bare.root, bare.files, bare.witnesses) == ("", "", 0, "", 0, ())
    found = LogReport(ok=False, size=1, root="", checkpoints=0, fault=None)
    assert (found.erased, found.erased_under) == (0, ())
    assert TlogProof(index=0, path=(), checkpoint="").extra == b""
    assert (verify._Content().statement, verify._Content().record) == ("", "")


def test_a_refusal_without_a_size_has_none():
    assert witness.Refusal(400, "c", "m").size == 0
