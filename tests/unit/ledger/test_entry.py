"""Leaves: one canonical spelling, digests only, strict reading."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.ledger.entry import LEAF_BYTES_MAX, Entry, leaf_bytes, parse_leaf, record_entry, statement_entry
from bywire.model.errors import LedgerError
from bywire.model.statement import PLAN, Statement, subject
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex

DIGESTS = st.binary(max_size=4).map(sha256_hex)
RECORDS = st.builds(
    record_entry,
    kind=st.from_regex(r"\A[a-z][a-z0-9_.-]{0,63}\Z"),
    at_ms=st.integers(0, 2**53 - 1),
    about=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=256),
    record=st.binary(max_size=16),
    subjects=st.lists(DIGESTS, max_size=4),
)
LEAF = leaf_bytes(record_entry("intent", 5, "intent:1", b"record", [sha256_hex(b"b"), sha256_hex(b"a")]))


@given(RECORDS)
def test_a_leaf_is_canonical_json_and_reads_back(entry):
    leaf = leaf_bytes(entry)
    assert leaf == jcs.canonical(json.loads(leaf))
    assert parse_leaf(leaf) == entry


def test_a_statement_entry_holds_digests_of_the_exact_bytes():
    artifacts = [sha256_hex(b"2"), sha256_hex(b"1")]
    statement = Statement(subject=tuple(subject("a", d) for d in artifacts), predicateType=PLAN, predicate={})
    entry = statement_entry("plan", 5, "delivery:1", b"envelope", statement, sha256_hex(b"key"))
    assert entry.content == entry.statement == sha256_hex(b"envelope")
    assert entry.subjects == tuple(sorted(artifacts))
    assert parse_leaf(leaf_bytes(entry)) == entry


def altered(**fields):
    value = json.loads(LEAF)
    value.update(fields)
    return jcs.canonical({name: field for name, field in value.items() if field is not None})


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 40_000,
        LEAF + b" ",
        LEAF.replace(b",", b", ", 1),
        LEAF.replace(b'"v":1', b'"v":1,"v":1'),
        altered(unknown=1),
        altered(v=2),
        altered(v=1.5),
        altered(v=True),
        altered(at_ms=-1),
        altered(at_ms="5"),
        altered(at_ms=None),
        altered(kind=""),
        altered(kind="Intent"),
        altered(kind="intent\n"),
        altered(object=""),
        altered(object="a b"),
        altered(object="x" * 257),
        altered(record="0" * 63),
        altered(record="A" * 64),
        altered(record=None),
        altered(record=""),
        altered(signer="0" * 64),
        altered(statement="0" * 64),
        altered(record=None, statement="0" * 64),
        altered(subjects=None),
        altered(subjects=sorted([sha256_hex(b"b"), sha256_hex(b"a")], reverse=True)),
        altered(subjects=["0" * 64, "0" * 64]),
        altered(subjects=[f"{n:064x}" for n in range(257)]),
        altered(subjects=["content"]),
        b'{"a":"' + b"x" * LEAF_BYTES_MAX + b'"}',
    ],
)
def test_anything_else_is_refused(leaf):
    with pytest.raises(LedgerError) as error:
        parse_leaf(leaf)
    assert error.value.code == "entry_malformed"


def test_an_entry_that_no_reader_would_accept_is_not_encoded():
    for entry in (
        Entry(at_ms=1, kind="Bad Kind", object="o", record="0" * 64, subjects=(), v=1),
        Entry(at_ms=1, kind="k", object="o", subjects=(), v=1),
        Entry(at_ms=1, kind="k", object="o", record="secret text", subjects=(), v=1),
    ):
        with pytest.raises(LedgerError):
            leaf_bytes(entry)
