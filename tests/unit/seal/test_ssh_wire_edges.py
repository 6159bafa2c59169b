"""SSH data at its limits, and keys that are spelt in more than one way."""

import base64

import pytest

from bywire.model.errors import EvidenceError
from bywire.seal.keys import SigningKey, VerifyKey, verify_key
from bywire.seal.ssh_wire import ED25519, SK_ED25519, parse_public_blob, parse_public_line, string, take_string

PUBLIC = SigningKey.from_seed(b"1" * 32).public.raw_public
BLOB = string(ED25519) + string(PUBLIC)


def code_of(parse, document):
    with pytest.raises(EvidenceError) as caught:
        parse(document)
    return caught.value.code


def test_a_field_may_hold_sixteen_kibibytes_and_not_one_byte_more():
    assert take_string(string(b"x" * 16_384) + b"rest") == (b"x" * 16_384, b"rest")
    assert code_of(take_string, string(b"x" * 16_385)) == "ssh_malformed"


@pytest.mark.parametrize("cut", range(4 + len(ED25519)))
def test_a_field_that_is_cut_short_is_no_field(cut):
    assert code_of(take_string, string(ED25519)[:cut]) == "ssh_malformed"


def test_a_key_that_was_read_cannot_be_changed():
    key = parse_public_blob(BLOB)
    with pytest.raises(AttributeError):
        key.public = "00"


def test_a_line_has_one_spelling_of_its_key():
    whole = base64.b64encode(BLOB).decode()
    assert parse_public_line(f"ssh-ed25519 {whole}").public == PUBLIC.hex()
    padded = base64.b64encode(string(SK_ED25519) + string(PUBLIC) + string(b"x")).decode()
    assert padded.endswith("=")
    assert parse_public_line(f"{SK_ED25519.decode()} {padded}").application == "x"
    assert code_of(parse_public_line, f"{SK_ED25519.decode()} {padded}QUJD") == "ssh_malformed"


def test_a_key_without_an_application_is_a_plain_one():
    assert type(verify_key(PUBLIC.hex())) is VerifyKey
    assert verify_key(PUBLIC.hex()).key_id == SigningKey.from_seed(b"1" * 32).key_id
