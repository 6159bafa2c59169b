"""The offline proof: it convinces with the right trust root, and nothing about it can be changed."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.ledger import merkle
from bywire.ledger.checkpoint import sign_checkpoint
from bywire.ledger.entry import leaf_bytes, record_entry, statement_entry
from bywire.ledger.proof import ProofItem, build_proof, verify_proof
from bywire.ledger.witness_policy import n_of
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import APPROVAL, PLAN, PROVENANCE, Statement, subject
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey

ORIGIN = "log.example/workspace"
LOG, AGENT, PERSON, BUILDER, STRANGER = (SigningKey.from_seed(bytes([n]) * 32) for n in range(5))
PRINCIPALS = {
    KeyRole.LOG: ("workload:log", LOG),
    KeyRole.AGENT: ("agent:planner", AGENT),
    KeyRole.APPROVER: ("person:dana", PERSON),
    KeyRole.BUILDER: ("workload:builder", BUILDER),
}
RECORD = b'{"intent":"1"}'


def trusted(role, **limits):
    principal, key = PRINCIPALS[role]
    public = key.public.raw_public.hex()
    return TrustedKey(key_id=key.key_id, role=role, principal=principal, public=public, **limits)


TRUST = TrustRoot(version=1, origin=ORIGIN, keys=tuple(trusted(role) for role in PRINCIPALS))


def signed(predicate_type, key, *, signer=None, subjects=None):
    statement = Statement(
        subject=(subject("artifact", sha256_hex(b"artifact")),), predicateType=predicate_type, predicate={"n": 1}
    )
    envelope = sign_statement(statement, key)
    entry = statement_entry("step", 5, "delivery:1", envelope, statement, (signer or key).key_id)
    if subjects is not None:
        entry = msgspec.structs.replace(entry, subjects=subjects)
    return leaf_bytes(entry), envelope


def proof_of(*contents, log=LOG, origin=ORIGIN, only=None):
    leaves = [leaf for leaf, _ in contents]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]

    def hash_at(level, index):
        return merkle.perfect_root(b"".join(hashes[index << level : (index + 1) << level]))

    size = len(leaves)
    note = sign_checkpoint(origin, size, merkle.root_of(size, hash_at), log)
    items = [
        ProofItem(content=content, index=n, leaf=leaf, path=tuple(merkle.inclusion_path(n, size, hash_at)))
        for n, (leaf, content) in enumerate(contents)
        if only is None or n in only
    ]
    return build_proof(items, note)


CONTENTS = (
    (leaf_bytes(record_entry("intent", 5, "intent:1", RECORD)), RECORD),
    signed(PLAN, AGENT),
    signed(APPROVAL, PERSON),
    signed(PROVENANCE, BUILDER),
)
DOCUMENT = proof_of(*CONTENTS)
SMALL = proof_of(*CONTENTS, only=(1,))


def check(document, code, trust=TRUST, witnesses=None):
    report = verify_proof(document, trust, witnesses)
    assert (report.ok, report.code) == (code == "verified", code)
    return report


def test_a_stranger_with_the_trust_root_is_convinced():
    report = check(DOCUMENT, "verified")
    assert [(entry.index, entry.signer, entry.role) for entry in report.entries] == [
        (0, "", ""),
        (1, "agent:planner", "agent"),
        (2, "person:dana", "approver"),
        (3, "workload:builder", "builder"),
    ]
    assert (report.origin, report.size) == (ORIGIN, 4)
    assert report.entries[0].content == RECORD


def test_without_trust_it_says_integrity_only_and_is_not_ok():
    report = check(DOCUMENT, "signer_untrusted", trust=None)
    assert report.message == "integrity only, signer untrusted"
    assert all(entry.signer == "" for entry in report.entries)


def test_no_byte_can_be_changed_with_or_without_trust():
    """Exhaustive over a small document: each byte, each of three bit patterns."""
    for at in range(len(SMALL)):
        for mask in (0x01, 0x20, 0xFF):
            changed = bytearray(SMALL)
            changed[at] ^= mask
            assert not verify_proof(bytes(changed), TRUST).ok, at
            assert verify_proof(bytes(changed), None).code != "signer_untrusted", at


@settings(max_examples=150)
@given(st.integers(0, len(DOCUMENT) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_no_splice_survives(at, inserted, removed):
    changed = DOCUMENT[:at] + inserted + DOCUMENT[at + removed :]
    if changed != DOCUMENT:
        assert not verify_proof(changed, TRUST).ok


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_quietly(data):
    assert verify_proof(data, TRUST).code == "proof_malformed"


def altered(change):
    """A document changed by someone who can recompute the digest, but not sign."""
    value = msgspec.json.decode(DOCUMENT)
    change(value)
    value["digest"] = ""
    value["digest"] = sha256_hex(jcs.canonical(value))
    return jcs.canonical(value)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda v: v.update(extra=1), "proof_malformed"),
        (lambda v: v.update(format="bywire-proof/v2"), "proof_malformed"),
        (lambda v: v.pop("checkpoint"), "proof_malformed"),
        (lambda v: v.update(items=[]), "proof_malformed"),
        (lambda v: v["items"][0].update(extra=1), "proof_malformed"),
        (lambda v: v["items"].reverse(), "proof_malformed"),
        (lambda v: v["items"].append(v["items"][-1]), "proof_malformed"),
        (lambda v: v["items"][0].update(path=["QUFB"] * 64), "proof_malformed"),
        (lambda v: v["items"][3].update(index=4), "inclusion_invalid"),
        (lambda v: v["items"][0].update(index=-1), "inclusion_invalid"),
        (lambda v: v["items"][0]["path"].pop(), "inclusion_invalid"),
        (lambda v: v["items"][0].update(leaf=v["items"][1]["leaf"]), "inclusion_invalid"),
        (lambda v: v["items"][0].update(content="QUFB"), "content_changed"),
        (lambda v: v.update(checkpoint=v["checkpoint"].replace("\n4\n", "\n5\n")), "checkpoint_signature"),
        (lambda v: v.update(checkpoint="none"), "checkpoint_malformed"),
    ],
)
def test_a_recomputed_digest_does_not_help(change, code):
    check(altered(change), code)


def test_a_document_in_another_spelling_is_refused():
    check(DOCUMENT + b"\n", "proof_malformed")
    check(b" " + DOCUMENT, "proof_malformed")
    check(msgspec.json.format(DOCUMENT), "proof_malformed")
    check(b"[" * 100_000, "proof_malformed")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (signed(PLAN, STRANGER), "signature_invalid"),
        (signed(PLAN, AGENT, signer=BUILDER), "signer_mismatch"),
        (signed(PLAN, AGENT, subjects=(sha256_hex(b"other"),)), "subject_mismatch"),
        (signed(APPROVAL, AGENT), "signer_role"),
        (signed(PROVENANCE, AGENT), "signer_role"),
        (signed(PLAN, PERSON), "signer_role"),
    ],
)
def test_the_log_cannot_vouch_for_a_signer(content, code):
    check(proof_of(CONTENTS[0], content), code)


def test_keys_are_valid_by_log_index():
    for limits, code in (
        ({"to_index": 1}, "signature_invalid"),
        ({"from_index": 2}, "signature_invalid"),
        ({"from_index": 1, "to_index": 2}, "verified"),
    ):
        keys = [trusted(role, **(limits if role is KeyRole.AGENT else {})) for role in PRINCIPALS]
        check(DOCUMENT, code, TrustRoot(version=1, origin=ORIGIN, keys=tuple(keys)))


def test_another_log_is_not_this_log():
    check(proof_of(*CONTENTS, log=STRANGER), "checkpoint_unsigned")
    check(proof_of(*CONTENTS, origin="log.example/other"), "checkpoint_origin")


def test_a_witness_quorum_is_demanded_from_outside_the_file():
    policy = n_of({"witness.example": STRANGER.public}, 1)
    check(DOCUMENT, "witness_quorum", witnesses=policy)
    check(DOCUMENT, "verified", witnesses=n_of({}, 0))


def test_a_proof_that_would_not_verify_is_not_built():
    parsed = msgspec.json.decode(DOCUMENT)
    item = ProofItem(content=b"other", index=0, leaf=CONTENTS[0][0], path=())
    with pytest.raises(EvidenceError):
        build_proof([item], parsed["checkpoint"])
