"""The verifier's rule about witnesses: what it says, who counts, and every way of writing it wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_double import LOG, ORIGIN, STRANGER, Tree, numbered

from bywire.ledger.checkpoint import COSIGNATURE, ED25519, cosign, parse_checkpoint, render_note
from bywire.ledger.vkey import format_vkey, parse_vkey
from bywire.ledger.witness_policy import n_of, parse_witness_policy, require_witnesses
from bywire.model.errors import EvidenceError
from bywire.seal.keys import SigningKey

WITNESSES = {f"w{n}.example": SigningKey.from_seed(bytes([n]) * 32) for n in range(5)}
V = {name: format_vkey(name, key.public, COSIGNATURE) for name, key in WITNESSES.items()}
LOG_VKEY = format_vkey(ORIGIN, LOG.public, ED25519)
TWO_LEVELS = f"""# two organisations
log {LOG_VKEY} https://log.example/
witness A1 {V["w0.example"]}
witness A2\t{V["w1.example"]}   https://w1.example/
  witness A3 {V["w2.example"]}
group A 2 A1 A2 A3

witness B1 {V["w3.example"]}
witness B2 {V["w4.example"]}
group B any B1 B2
group both all A B
quorum both
"""
NOTE = parse_checkpoint(Tree(numbered(9)).note())


def cosigned(*numbers):
    lines = [cosign(NOTE, f"w{n}.example", WITNESSES[f"w{n}.example"], 1) for n in numbers]
    return parse_checkpoint(render_note(NOTE.text, [*NOTE.signatures, *lines]))


def enough(policy, *numbers):
    try:
        found = require_witnesses(cosigned(*numbers), policy)
    except EvidenceError as error:
        assert error.code == "witness_quorum"
        return False
    assert set(found) == {f"w{n}.example" for n in numbers}
    return True


@pytest.mark.parametrize(
    ("numbers", "good"),
    [((), 0), ((0, 1), 0), ((3,), 0), ((0, 3), 0), ((0, 1, 3), 1), ((0, 2, 4), 1), ((0, 1, 2, 3, 4), 1), ((3, 4), 0)],
)
def test_groups_of_groups(numbers, good):
    assert enough(parse_witness_policy(TWO_LEVELS.encode()), *numbers) is bool(good)


@given(st.sets(st.integers(0, 4)), st.integers(0, 5))
def test_n_of_m_counts(numbers, quorum):
    policy = n_of({name: key.public for name, key in WITNESSES.items()}, quorum)
    assert enough(policy, *sorted(numbers)) == (len(numbers) >= quorum)


def test_the_smallest_policies():
    assert enough(parse_witness_policy(b"quorum none\n"))
    single = parse_witness_policy(f"witness X {V['w0.example']}\nquorum X".encode())
    assert enough(single, 0)
    assert not enough(single)


def test_a_policy_that_lists_logs_accepts_no_other():
    other = format_vkey(ORIGIN, STRANGER.public, ED25519)
    renamed = format_vkey("another.example/log", LOG.public, ED25519)
    for vkey, good in ((LOG_VKEY, True), (other, False), (renamed, False)):
        policy = parse_witness_policy(f"log {vkey}\nquorum none\n".encode())
        if good:
            assert require_witnesses(NOTE, policy) == ()
            continue
        with pytest.raises(EvidenceError) as refused:
            require_witnesses(NOTE, policy)
        assert refused.value.code == "checkpoint_origin"


def test_a_false_cosignature_of_a_known_witness_refuses_everything():
    line = cosign(parse_checkpoint(Tree(numbered(8)).note()), "w0.example", WITNESSES["w0.example"], 1)
    forged = parse_checkpoint(render_note(NOTE.text, [*NOTE.signatures, line]))
    with pytest.raises(EvidenceError) as refused:
        require_witnesses(forged, parse_witness_policy(f"witness X {V['w0.example']}\nquorum none".encode()))
    assert refused.value.code == "cosignature_invalid"


X = f"witness X {V['w0.example']}\n"
Y = f"witness Y {V['w1.example']}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        X,
        "quorum X\n",
        f"quorum X\n{X}",
        f"{X}quorum X\nquorum X\n",
        f"{X}{X}quorum X\n",
        f"{X}witness Z {V['w0.example']}\nquorum X\n",
        f"witness none {V['w0.example']}\nquorum none\n",
        f"log {LOG_VKEY}\nlog {LOG_VKEY}\nquorum none\n",
        f"{X}group G 0 X\nquorum G\n",
        f"{X}group G 2 X\nquorum G\n",
        f"{X}group G 01 X\nquorum G\n",
        f"{X}group G some X\nquorum G\n",
        f"{X}group G any\nquorum G\n",
        f"{X}group G any Y\n{Y}quorum G\n",
        f"{X}group G any G\nquorum G\n",
        f"{X}group G any none\nquorum G\n",
        f"{X}{Y}group G any X X\nquorum G\n",
        f"{X}{Y}group G any X\ngroup H all X Y\nquorum H\n",
        f"{X}group X any X\nquorum X\n",
        f"{X}quorum X extra\n",
        f"{X}quorum\n",
        "weather nice\nquorum none\n",
        "quorum none\r\n",
        "quorum none\x00\n",
        "quorum\u00a0none\n",
        "\n" * 2_000 + "quorum none\n",
        "#" * 70_000 + "\nquorum none\n",
    ],
)
def test_what_is_written_wrong_is_refused(text):
    with pytest.raises(EvidenceError) as refused:
        parse_witness_policy(text.encode())
    assert refused.value.code == "witness_policy_invalid"
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quorum none\nnoise\n", "cannot be read, line 2: "),
        ("noise\n", "cannot be read, line 1: "),
        ("\x00", "cannot be read: it is too large"),
        ("\n" * 1_024 + "quorum none", "cannot be read: it has more than 1024 lines"),
    ],
)
def test_a_refusal_names_the_line_when_there_is_one(text, said):
    with pytest.raises(EvidenceError, match=said):
        parse_witness_policy(text.encode())


def test_1024_lines_are_read():
    assert enough(parse_witness_policy(b"\n" * 1_023 + b"quorum none"))


def test_bytes_that_are_not_utf8_are_refused():
    with pytest.raises(EvidenceError, match="cannot be read: it is not UTF-8"):
        parse_witness_policy(b"# \xff\nquorum none\n")


GOOD = V["w0.example"]
NAME, ID, MATERIAL = GOOD.split("+", 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        NAME,
        f"other.example+{ID}+{MATERIAL}",
        f"{NAME}+00000000+{MATERIAL}",
        f"{NAME}+{ID.upper()}x+{MATERIAL}",
        f"{NAME}+{ID}+{MATERIAL[:-4]}",
        f"{NAME}+{ID}+{MATERIAL}\n",
        f" {GOOD}",
        f"{'n' * 600}+{ID}+{MATERIAL}",
        LOG_VKEY,
    ],
)
def test_a_verifier_key_that_does_not_fit_itself_is_refused(text):
    with pytest.raises(EvidenceError):
        parse_vkey(text, COSIGNATURE)


def test_a_logs_key_is_not_a_witnesss():
    for text, kind, whose in ((LOG_VKEY, COSIGNATURE, "a witness"), (GOOD, ED25519, "a log")):
        with pytest.raises(EvidenceError, match=f"not the Ed25519 key of {whose}"):
            parse_vkey(text, kind)


@given(st.from_regex(r"\A[a-z][a-z0-9./-]{0,40}\Z"), st.binary(min_size=32, max_size=32))
def test_a_verifier_key_is_read_back(name, seed):
    key = SigningKey.from_seed(seed).public
    for kind in (ED25519, COSIGNATURE):
        named = parse_vkey(format_vkey(name, key, kind), kind)
        assert (named.name, named.key.key_id) == (name, key.key_id)
