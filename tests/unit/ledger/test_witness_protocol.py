"""What a witness cosigns and what it refuses, with the status that C2SP tlog-witness gives each refusal."""

import base64

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_double import LOG, ORIGIN, STRANGER, WITNESS, Tree, keys, numbered

from bywire.ledger.checkpoint import (
    NoteSignature,
    cosign,
    cosignatures,
    parse_checkpoint,
    render_note,
    sign_checkpoint,
    signature_line,
)
from bywire.ledger.merkle import EMPTY_ROOT
from bywire.ledger.witness import (
    REQUEST_BYTES_MAX,
    AddCheckpoint,
    Answer,
    Known,
    Refusal,
    authenticate,
    judge,
    parse_proof_lines,
    parse_request,
    proof_lines,
    read_answer,
    read_latest,
    render_request,
)
from bywire.model.errors import EvidenceError

LOGS = {ORIGIN: (LOG.public,)}
TREE = Tree(numbered(40))
OTHER = Tree(numbered(40, b"other"))
NAME = "witness.example/w1"


def offered(size, *, old=0, tree=TREE, proof=None):
    path = tree.consistency(old, size) if proof is None and 0 < old <= size else (proof or ())
    return AddCheckpoint(old_size=old, proof=tuple(path), note=tree.note(size))


def verdict(request, latest=None):
    """(status, code) of what the witness says; latest is the note it cosigned before."""
    read = parse_request(render_request(request))
    if isinstance(read, Refusal):
        return read.status, read.code
    known = authenticate(read, LOGS)
    if isinstance(known, Refusal):
        return known.status, known.code
    refusal = judge(read, known.checkpoint, parse_checkpoint(latest) if latest else None)
    return (refusal.status, refusal.code) if refusal else (200, "")


def head(size, tree=TREE):
    return tree.note(size)


@pytest.mark.parametrize(
    ("request_", "latest"),
    [
        (offered(7), None),
        (offered(0), None),
        (offered(0), head(0)),
        (offered(9), head(0)),
        (offered(9, old=7), head(7)),
        (offered(8, old=8), head(8)),
        (offered(40, old=1), head(1)),
    ],
)
def test_what_extends_the_last_one_is_cosigned(request_, latest):
    assert verdict(request_, latest) == (200, "")


EMPTY_FORGED = AddCheckpoint(old_size=0, proof=(), note=sign_checkpoint(ORIGIN, 0, b"r" * 32, LOG))
FORK = AddCheckpoint(old_size=9, proof=(), note=OTHER.note(9))


@pytest.mark.parametrize(
    ("request_", "latest", "status", "code"),
    [
        # an older size, as a log restored from a backup would ask
        (offered(7), head(9), 409, "old_size_differs"),
        (offered(7, old=5), head(9), 409, "old_size_differs"),
        (offered(5, old=9, proof=()), head(9), 400, "old_size_too_large"),
        # a size the witness never saw
        (offered(12, old=11), head(9), 409, "old_size_differs"),
        (offered(12, old=3), None, 409, "old_size_differs"),
        # a fork: at one size, and further on
        (FORK, head(9), 422, "consistency_invalid"),
        (offered(20, old=9, tree=OTHER), head(9), 422, "consistency_invalid"),
        # proofs that prove nothing
        (offered(12, old=9, proof=TREE.consistency(8, 12)), head(9), 422, "consistency_invalid"),
        (AddCheckpoint(9, (), TREE.note(12)), head(9), 422, "consistency_invalid"),
        (offered(9, old=9, proof=(b"h" * 32,)), head(9), 422, "consistency_invalid"),
        (offered(9, old=0, proof=(b"h" * 32,)), None, 422, "consistency_invalid"),
        (EMPTY_FORGED, None, 422, "consistency_invalid"),
        # who signed
        (AddCheckpoint(0, (), TREE.note(9, key=STRANGER)), None, 403, "checkpoint_unsigned"),
        (AddCheckpoint(0, (), TREE.note(9, origin="fork.example/log")), None, 404, "log_unknown"),
    ],
)
def test_what_does_not_is_refused(request_, latest, status, code):
    assert verdict(request_, latest) == (status, code)


def test_a_conflict_names_the_size_that_was_cosigned():
    refusal = judge(offered(12), parse_checkpoint(head(12)), parse_checkpoint(head(9)))
    assert (refusal.status, refusal.size) == (409, 9)


def test_a_known_key_with_a_wrong_signature_is_forbidden():
    note = TREE.note(9).replace("\n9\n", "\n10\n")
    assert verdict(AddCheckpoint(0, (), note)) == (403, "checkpoint_signature")


def test_signatures_of_unknown_keys_are_not_kept():
    checkpoint = parse_checkpoint(TREE.note(9))
    stray = NoteSignature("stranger.example", b"abcd", b"s" * 64)
    note = render_note(checkpoint.text, [*checkpoint.signatures, stray])
    known = authenticate(AddCheckpoint(0, (), note), LOGS)
    assert isinstance(known, Known)
    assert known.log_lines == checkpoint.signatures


GOOD = render_request(offered(9, old=7))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        GOOD[:-1],
        GOOD.replace(b"old 7", b"old 07"),
        GOOD.replace(b"old 7", b"old -7"),
        GOOD.replace(b"old 7", b"old  7"),
        GOOD.replace(b"old 7", b"Old 7"),
        GOOD.replace(b"old 7", b"old 9223372036854775808"),
        GOOD.replace(b"old 7\n", b""),
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"=\n", b"\n", 1),
        GOOD.replace(b"old 7\n", b"old 7\nAAAA\n"),
        GOOD.replace(b"old 7\n", b"old 7\n" + proof_lines([b"h" * 32] * 64).encode()),
        GOOD.replace(b"old 7\n", b"old 7\n\n"),
        b"\xff" + GOOD,
        GOOD + b"x" * REQUEST_BYTES_MAX,
    ],
)
def test_a_malformed_request_is_refused(body):
    read = parse_request(body)
    assert isinstance(read, Refusal)
    assert read.status == 400


def test_limits_are_where_they_are_said_to_be():
    note = TREE.note(9)
    for count, good in ((63, True), (64, False)):
        body = render_request(AddCheckpoint(7, (b"h" * 32,) * count, note))
        assert isinstance(parse_request(body), AddCheckpoint) is good
    for size, code in ((REQUEST_BYTES_MAX, "request_malformed"), (REQUEST_BYTES_MAX + 1, "request_too_large")):
        assert parse_request(b"x" * size).code == code
    assert REQUEST_BYTES_MAX == 262_144 + 4_096
    largest = parse_request(GOOD.replace(b"old 7", b"old 9223372036854775807"))
    assert largest.old_size == 2**63 - 1
    assert judge(largest, parse_checkpoint(note), None).code == "old_size_too_large"
    assert judge(largest, parse_checkpoint(note), None).size == 0


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_without_an_error(noise):
    assert isinstance(parse_request(noise), Refusal)
    assert isinstance(parse_request(noise + GOOD), Refusal) or noise == b""


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.data())
def test_a_witness_only_ever_moves_forward_on_one_tree(sizes, data):
    latest = None
    for size in sizes:
        tree = data.draw(st.sampled_from([TREE, OTHER]))
        old = parse_checkpoint(latest).size if latest else 0
        request = offered(size, old=old, tree=tree) if old <= size else offered(size, tree=tree)
        if verdict(request, latest)[0] == 200:
            before, after = (parse_checkpoint(latest) if latest else None), parse_checkpoint(request.note)
            assert before is None or before.size <= after.size
            assert before is None or (before.root == TREE.root(before.size)) == (tree is TREE)
            latest = request.note


CHECKPOINT = parse_checkpoint(TREE.note(9))
LINE = cosign(CHECKPOINT, NAME, WITNESS, 1_790_000_000)


def test_the_answer_is_believed_for_this_checkpoint_and_this_key_only():
    body = signature_line(LINE).encode()
    assert read_answer(Answer(200, body), CHECKPOINT, NAME, WITNESS.public) == LINE
    for checkpoint, name, key in (
        (parse_checkpoint(TREE.note(10)), NAME, WITNESS.public),
        (CHECKPOINT, "other.example", WITNESS.public),
        (CHECKPOINT, NAME, STRANGER.public),
    ):
        with pytest.raises(EvidenceError) as refused:
            read_answer(Answer(200, body), checkpoint, name, key)
        assert refused.value.code == "witness_answer"


@pytest.mark.parametrize("body", [b"", b"ok\n", b"\xff\n", signature_line(LINE).encode()[:-1]])
def test_an_answer_that_is_no_cosignature_is_refused(body):
    with pytest.raises(EvidenceError):
        read_answer(Answer(200, body), CHECKPOINT, NAME, WITNESS.public)


@pytest.mark.parametrize("stamp", [0, 2**63])
def test_a_cosignature_without_a_time_is_refused(stamp):
    message = b"cosignature/v1\ntime %d\n%s" % (stamp, CHECKPOINT.text)
    line = msgspec.structs.replace(LINE, signature=stamp.to_bytes(8, "big") + WITNESS.sign(message))
    with pytest.raises(EvidenceError) as refused:
        read_answer(Answer(200, signature_line(line).encode()), CHECKPOINT, NAME, WITNESS.public)
    assert refused.value.code == "witness_answer"
    with pytest.raises(ValueError):
        cosign(CHECKPOINT, NAME, WITNESS, stamp)


@pytest.mark.parametrize(("body", "size"), [(b"12\n", 12), (b"0\n", 0), (b"9223372036854775807\n", 2**63 - 1)])
def test_a_conflict_is_read_with_its_size(body, size):
    refusal = read_answer(Answer(409, body), CHECKPOINT, NAME, WITNESS.public)
    assert (refusal.status, refusal.size) == (409, size)


@pytest.mark.parametrize("body", [b"", b"12", b"-1\n", b"012\n", b"9223372036854775808\n"])
def test_a_conflict_without_a_size_is_refused(body):
    with pytest.raises(EvidenceError):
        read_answer(Answer(409, body), CHECKPOINT, NAME, WITNESS.public)


@pytest.mark.parametrize("status", [301, 400, 403, 404, 422, 500])
def test_any_other_status_is_a_refusal(status):
    assert read_answer(Answer(status, signature_line(LINE).encode()), CHECKPOINT, NAME, WITNESS.public).status == status


def test_what_a_witness_knows_needs_the_logs_signature():
    cosigned = render_note(CHECKPOINT.text, [*CHECKPOINT.signatures, LINE])
    assert read_latest(cosigned, ORIGIN, keys, NAME, WITNESS.public)[1]
    assert not read_latest(cosigned, ORIGIN, keys, NAME, STRANGER.public)[1]
    assert not read_latest(TREE.note(9), ORIGIN, keys, NAME, WITNESS.public)[1]
    with pytest.raises(EvidenceError):
        read_latest(render_note(CHECKPOINT.text, [LINE]), ORIGIN, keys, NAME, WITNESS.public)


def test_a_cosignature_is_timed_and_named():
    found = cosignatures(parse_checkpoint(render_note(CHECKPOINT.text, [LINE])), {NAME: WITNESS.public})
    assert found[NAME].at_seconds == 1_790_000_000


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_proof_lines_give_back_the_proof(proof):
    assert parse_proof_lines(proof_lines(proof).splitlines()) == tuple(proof)


@pytest.mark.parametrize("line", ["", "AAAA", base64.b64encode(b"h" * 33).decode(), "!" * 44])
def test_a_proof_line_that_is_no_hash_is_refused(line):
    with pytest.raises(EvidenceError) as refused:
        parse_proof_lines([line])
    assert refused.value.code == "consistency_invalid"


def test_the_empty_tree_has_one_root():
    assert TREE.root(0) == EMPTY_ROOT
