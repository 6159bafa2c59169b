"""Checkpoints: what is signed, who is believed, and what is refused."""

import base64
from hashlib import sha256

import pytest

from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.ledger.checkpoint import cosign as make_cosignature
from bywire.ledger.checkpoint import (
    cosignatures,
    log_keys,
    parse_checkpoint,
    parse_signature_lines,
    render_note,
    sign_checkpoint,
    verify_checkpoint,
)
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.seal.keys import SigningKey

ORIGIN = "log.example/workspace"
ROOT = sha256(b"root").digest()
LOG = SigningKey.from_seed(b"l" * 32)
OTHER = SigningKey.from_seed(b"o" * 32)
WITNESS = SigningKey.from_seed(b"w" * 32)
NOTE = sign_checkpoint(ORIGIN, 7, ROOT, LOG)


def keys(*trusted):
    return lambda size: tuple(key.public for key in trusted)


def refused(code, note, *trusted, origin=ORIGIN):
    with pytest.raises(EvidenceError) as error:
        verify_checkpoint(note, origin, keys(*trusted))
    assert error.value.code == code
    assert error.value.next_step


def signature_line(name, kind, key, signature):
    key_hash = sha256(name.encode() + b"\n" + kind + key.public.raw_public).digest()[:4]
    return f"\N{EM DASH} {name} {base64.b64encode(key_hash + signature).decode()}\n"


def cosign(note, name, key, seconds):
    text = parse_checkpoint(note).text
    signature = key.sign(b"cosignature/v1\ntime %d\n" % seconds + text)
    return note + signature_line(name, b"\x04", key, seconds.to_bytes(8, "big") + signature)


def cosigned_by(checkpoint, witnesses):
    return set(cosignatures(checkpoint, witnesses))


def test_a_checkpoint_says_origin_size_and_root():
    checkpoint = verify_checkpoint(NOTE, ORIGIN, keys(LOG))
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, 7, ROOT)
    assert NOTE.startswith(f"{ORIGIN}\n7\n{base64.b64encode(ROOT).decode()}\n\n\N{EM DASH} {ORIGIN} ")


def test_only_the_callers_keys_are_believed():
    refused("checkpoint_unsigned", NOTE, OTHER)
    refused("checkpoint_unsigned", NOTE)
    refused("checkpoint_origin", NOTE, LOG, origin="log.example/other")


def test_signatures_of_unknown_keys_are_ignored():
    note = NOTE + signature_line("stranger.example", b"\x01", OTHER, b"s" * 64)
    assert verify_checkpoint(note, ORIGIN, keys(LOG)).size == 7


def test_a_wrong_signature_of_a_known_key_refuses_the_note_even_beside_a_right_one():
    refused("checkpoint_signature", NOTE + signature_line(ORIGIN, b"\x01", OTHER, b"s" * 64), LOG, OTHER)


def test_a_signature_does_not_move_to_another_text():
    refused("checkpoint_signature", NOTE.replace("\n7\n", "\n8\n"), LOG)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        NOTE.rstrip("\n"),
        NOTE + "\n",
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n7\n", "\n07\n"),
        NOTE.replace("\n7\n", "\n-7\n"),
        NOTE.replace("\n7\n", "\n+7\n"),
        NOTE.replace("\n7\n", "\n\u0667\n"),
        NOTE.replace("\n7\n", "\n9223372036854775808\n"),
        NOTE.replace("\n7\n", "\n\n"),
        NOTE.replace(f"{ORIGIN}\n7", "\n7"),
        NOTE.replace("\N{EM DASH}", "-"),
        NOTE.replace("\N{EM DASH} ", "\N{EM DASH}  "),
        NOTE.replace(f"\N{EM DASH} {ORIGIN}", "\N{EM DASH} with+plus"),
        NOTE.replace("7\n", "7\r\n"),
        NOTE.replace("=\n", "\n", 1),
        NOTE + "\N{EM DASH} short AAAA\n",
        NOTE + "not a signature\n",
        NOTE + "\N{EM DASH} name !!!!\n",
        NOTE + signature_line("x", b"\x01", OTHER, b"s") * 64,
        NOTE.replace(base64.b64encode(ROOT).decode(), base64.b64encode(ROOT[:31]).decode()),
        "x" * 300_000,
        "\ud800" + NOTE,
    ],
)
def test_malformed_notes_are_refused(note):
    refused("checkpoint_malformed", note, LOG)


def test_a_second_spelling_of_the_same_base64_is_refused():
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body, padding = NOTE.rstrip("\n=")[:-1], "=\n"
    last = NOTE.rstrip("\n=")[-1]
    assert f"{body}{last}{padding}" == NOTE
    refused("checkpoint_malformed", f"{body}{alphabet[alphabet.index(last) | 1]}{padding}", LOG)


def test_extension_lines_are_signed_and_must_not_be_empty():
    text = f"{ORIGIN}\n7\n{base64.b64encode(ROOT).decode()}\nextension\n"
    note = text + "\n" + signature_line(ORIGIN, b"\x01", LOG, LOG.sign(text.encode()))
    assert verify_checkpoint(note, ORIGIN, keys(LOG)).size == 7
    refused("checkpoint_signature", note.replace("extension", "other"), LOG)


def test_an_origin_that_cannot_name_a_key_is_not_signed():
    for origin in ("", "two words", "plus+sign", "line\nbreak"):
        with pytest.raises(EvidenceError):
            sign_checkpoint(origin, 1, ROOT, LOG)


def test_log_keys_are_valid_by_log_index():
    trusted = [
        TrustedKey(
            key_id=key.key_id,
            role=KeyRole.LOG,
            principal="workload:log",
            public=key.public.raw_public.hex(),
            from_index=first,
            to_index=last,
        )
        for key, first, last in ((LOG, 0, 7), (OTHER, 7, None))
    ]
    trust = TrustRoot(version=1, origin=ORIGIN, keys=tuple(trusted))
    assert verify_checkpoint(NOTE, ORIGIN, log_keys(trust)).size == 7
    for size, key in ((8, LOG), (7, OTHER), (0, OTHER)):
        with pytest.raises(EvidenceError) as error:
            verify_checkpoint(sign_checkpoint(ORIGIN, size, ROOT, key), ORIGIN, log_keys(trust))
        assert error.value.code == "checkpoint_unsigned"


def test_witnesses_are_counted_by_the_callers_keys():
    witnesses = {"witness.example": WITNESS.public}
    note = cosign(NOTE, "witness.example", WITNESS, 1_790_000_000)
    assert verify_checkpoint(note, ORIGIN, keys(LOG)).size == 7
    assert cosigned_by(parse_checkpoint(note), witnesses) == {"witness.example"}
    assert cosigned_by(parse_checkpoint(NOTE), witnesses) == set()
    stranger = cosign(NOTE, "witness.example", OTHER, 1_790_000_000)
    assert cosigned_by(parse_checkpoint(stranger), witnesses) == set()


def test_a_cosignature_of_another_text_refuses_the_checkpoint():
    line = cosign(sign_checkpoint(ORIGIN, 8, ROOT, LOG), "witness.example", WITNESS, 1).splitlines()[-1]
    with pytest.raises(EvidenceError) as error:
        cosigned_by(parse_checkpoint(f"{NOTE}{line}\n"), {"witness.example": WITNESS.public})
    assert error.value.code == "cosignature_invalid"


def test_sizes_and_roots_that_no_tree_has_are_not_signed():
    for size, root in ((-1, ROOT), (2**63, ROOT), (1, ROOT[:31]), (1, ROOT + b"x")):
        with pytest.raises(ValueError, match="a size and a 32-byte root"):
            sign_checkpoint(ORIGIN, size, root, LOG)
    for size in (0, 2**63 - 1):
        assert parse_checkpoint(sign_checkpoint(ORIGIN, size, ROOT, LOG)).size == size


def test_a_cosignature_has_a_time_after_1970():
    checkpoint = parse_checkpoint(NOTE)
    for seconds in (0, -1, 2**63):
        with pytest.raises(ValueError, match="time"):
            make_cosignature(checkpoint, "witness.example", WITNESS, seconds)
    for seconds in (1, 2**63 - 1):
        line = make_cosignature(checkpoint, "witness.example", WITNESS, seconds)
        signed = parse_checkpoint(render_note(checkpoint.text, [line]))
        assert cosignatures(signed, {"witness.example": WITNESS.public})["witness.example"].at_seconds == seconds


def test_limits_are_where_they_are_said_to_be():
    line = signature_line("x", b"\x01", OTHER, b"s")
    assert len(parse_checkpoint(NOTE + line * 63).signatures) == 64
    refused("checkpoint_malformed", NOTE + line * 64, LOG)
    room = 262_144 - len(NOTE) - len(signature_line("", b"\x01", OTHER, b"s"))
    for spare, good in ((0, True), (1, False)):
        note = NOTE + signature_line("n" * (room + spare), b"\x01", OTHER, b"s")
        assert len(note) == 262_144 + spare
        if good:
            assert len(parse_checkpoint(note).signatures) == 2
        else:
            refused("checkpoint_malformed", note, LOG)
    assert len(parse_signature_lines(line * 64)) == 64
    for text in ("", line[:-1], line * 65, signature_line("n" * 262_144, b"\x01", OTHER, b"s")):
        with pytest.raises(EvidenceError):
            parse_signature_lines(text)


def test_a_note_without_an_empty_line_or_with_two_lines_is_refused():
    refused("checkpoint_malformed", f"{ORIGIN}\n\n{signature_line('x', b'', OTHER, b's')}", LOG)
    refused("checkpoint_malformed", f"{ORIGIN}\n7\n\n{signature_line('x', b'', OTHER, b's')}", LOG)
    refused("checkpoint_malformed", signature_line("x", b"", OTHER, b"s"), LOG)
