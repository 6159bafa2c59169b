"""A C2SP tlog-proof convinces whoever has the trust root, says what it does not cover, and cannot be changed."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_double import LOG, ORIGIN, STRANGER, TRUST, WITNESS, Tree

from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.ledger.checkpoint import cosign, parse_checkpoint, render_note, sign_checkpoint
from bywire.ledger.entry import leaf_bytes, record_entry, statement_entry
from bywire.ledger.tlog_proof import TEXT_CHARS_MAX, TlogProof, parse_tlog_proof, render_tlog_proof, verify_tlog_proof
from bywire.ledger.witness_policy import n_of
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import PLAN, Statement, subject
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement

RECORD = b'{"intent":"1"}'
STATEMENT = Statement(subject=(subject("artifact", sha256_hex(b"artifact")),), predicateType=PLAN, predicate={"n": 1})
ENVELOPE = sign_statement(STATEMENT, STRANGER)
LEAVES = [
    *(leaf_bytes(record_entry("intent", n, f"intent:{n}", RECORD)) for n in range(6)),
    leaf_bytes(statement_entry("step", 5, "delivery:1", ENVELOPE, STATEMENT, STRANGER.key_id)),
]
TREE = Tree(LEAVES)
NAME = "witness.example"


def proof(index, note=None):
    path = TREE.inclusion(index)
    return TlogProof(index=index, path=path, checkpoint=note or TREE.note(), extra=LEAVES[index])


TEXT = render_tlog_proof(proof(3))


def check(text, code, *, trust=TRUST, policy=None, content=None):
    report = verify_tlog_proof(text, trust, policy, content)
    assert (report.ok, report.code) == (code == "verified", code), report
    return report


@pytest.mark.parametrize("index", range(len(LEAVES)))
def test_every_entry_of_a_log_is_proved(index):
    report = check(render_tlog_proof(proof(index)), "verified")
    assert (report.origin, report.size, report.entries[0].index) == (ORIGIN, 7, index)
    assert "was not given and not checked" in report.message


def test_the_bytes_an_entry_stands_for_are_checked_when_given():
    report = check(TEXT, "verified", content=RECORD)
    assert "not checked" not in report.message
    assert check(TEXT, "verified").entries[0].content == b""
    untrusted = check(TEXT, "signer_untrusted", trust=None, content=RECORD)
    assert untrusted.entries[0].content == RECORD
    assert report.entries[0].content == RECORD
    check(TEXT, "content_changed", content=RECORD + b" ")


def test_a_statement_is_believed_from_a_trusted_signer_only():
    check(render_tlog_proof(proof(6)), "signature_invalid", content=ENVELOPE)
    public = STRANGER.public.raw_public.hex()
    agent = TrustedKey(key_id=STRANGER.key_id, role=KeyRole.AGENT, principal="agent:planner", public=public)
    trust = TrustRoot(version=1, origin=ORIGIN, keys=(*TRUST.keys, agent))
    assert check(render_tlog_proof(proof(6)), "verified", trust=trust, content=ENVELOPE).entries[0].signer == (
        "agent:planner"
    )


def test_without_a_trust_root_it_is_integrity_only():
    assert check(TEXT, "signer_untrusted", trust=None).message == "integrity only, signer untrusted"


def test_witnesses_of_the_callers_policy_must_have_cosigned():
    policy = n_of({NAME: WITNESS.public}, 1)
    check(TEXT, "witness_quorum", policy=policy)
    checkpoint = parse_checkpoint(TREE.note())
    note = render_note(checkpoint.text, [*checkpoint.signatures, cosign(checkpoint, NAME, WITNESS, 7)])
    assert check(render_tlog_proof(proof(3, note)), "verified", policy=policy).witnesses == (NAME,)


def test_another_index_leaf_path_or_log_is_refused():
    good = proof(3)
    for change, code in (
        ({"index": 2}, "inclusion_invalid"),
        ({"index": 7}, "inclusion_invalid"),
        ({"extra": LEAVES[2]}, "inclusion_invalid"),
        ({"extra": b""}, "entry_malformed"),
        ({"extra": b"{}"}, "entry_malformed"),
        ({"path": good.path[::-1]}, "inclusion_invalid"),
        ({"path": good.path[1:]}, "inclusion_invalid"),
        ({"path": (*good.path, b"h" * 32)}, "inclusion_invalid"),
        ({"checkpoint": TREE.note(6)}, "inclusion_invalid"),
        ({"checkpoint": TREE.note(key=STRANGER)}, "checkpoint_unsigned"),
        ({"checkpoint": TREE.note(origin="other.example")}, "checkpoint_origin"),
        ({"checkpoint": sign_checkpoint(ORIGIN, 7, b"r" * 32, LOG)}, "inclusion_invalid"),
    ):
        check(render_tlog_proof(msgspec.structs.replace(good, **change)), code)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("index 3", "index 03"),
        TEXT.replace("index 3", "index -3"),
        TEXT.replace("index 3", "index 99999999999999999999"),
        TEXT.replace("index 3\n", ""),
        TEXT.replace("extra ", "extra  "),
        TEXT.replace("index 3\n", "index 3\nindex 3\n"),
        TEXT.replace("index 3\n", "index 3\nAAAA\n"),
        TEXT.replace("index 3\n", "index 3\n" + "A" * 43 + "=\n" * 1 + ("A" * 43 + "=\n") * 63),
        TEXT.replace("\n\n", "\n", 1),
        "\n" + TEXT,
        TEXT + "x" * 600_000,
    ],
)
def test_a_malformed_proof_is_refused(text):
    assert not verify_tlog_proof(text, TRUST).ok
    with pytest.raises(EvidenceError) as refused:
        proof_ = parse_tlog_proof(text)
        parse_checkpoint(proof_.checkpoint)
    assert refused.value.code in {"tlog_proof_malformed", "checkpoint_malformed"}


def test_limits_are_where_they_are_said_to_be():
    assert TEXT_CHARS_MAX == 262_144 + 2 * 65_535 + 8_192
    for size, good in ((TEXT_CHARS_MAX, True), (TEXT_CHARS_MAX + 1, False)):
        text = TEXT + "x" * (size - len(TEXT))
        try:
            assert parse_tlog_proof(text).index == 3
        except EvidenceError as error:
            assert (error.code, good) == ("tlog_proof_malformed", False)
        else:
            assert good
    for count, good in ((63, True), (64, False)):
        text = TEXT.replace("index 3\n", "index 3\n" + ("A" * 43 + "=\n") * (count - len(proof(3).path)))
        try:
            assert len(parse_tlog_proof(text).path) == count
        except EvidenceError:
            assert not good
        else:
            assert good
    with pytest.raises(EvidenceError):
        parse_tlog_proof(TEXT.partition("\n\n")[0])


@settings(max_examples=300)
@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_one_changed_character_never_proves_something_else(at, character):
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    report = verify_tlog_proof(changed, TRUST)
    assert report.ok == (changed == TEXT)


@settings(max_examples=100)
@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary(max_size=99))
def test_the_text_gives_back_the_proof(index, path, extra):
    written = TlogProof(index=index, path=tuple(path), checkpoint=TREE.note(), extra=extra)
    assert parse_tlog_proof(render_tlog_proof(written)) == written
