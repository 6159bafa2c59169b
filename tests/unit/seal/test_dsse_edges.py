"""Envelopes at their limits, and signatures in company."""

import base64
import json

import msgspec
import pytest

from bywire.model.errors import EvidenceError
from bywire.model.statement import PAYLOAD_TYPE, Statement, predicate_type, subject
from bywire.seal import dsse
from bywire.seal.digest import sha256_hex
from bywire.seal.keys import SigningKey

KEY = SigningKey.from_seed(b"1" * 32)
SAID = Statement(
    subject=(subject("thing", sha256_hex(b"thing")),), predicateType=predicate_type("plan"), predicate={"weight": 5}
)
ENVELOPE = dsse.sign_statement(SAID, KEY)
EIGHT_MIB = 8_388_608


def code_of(envelope):
    with pytest.raises(EvidenceError) as caught:
        dsse.verify_statement(envelope, (KEY.public,))
    return caught.value.code


def test_eight_mebibytes_are_read_and_not_one_byte_more():
    padded = ENVELOPE + b" " * (EIGHT_MIB - len(ENVELOPE))
    assert dsse.verify_statement(padded, (KEY.public,)).statement == SAID
    assert code_of(padded + b" ") == "envelope_too_large"


def test_a_signature_of_the_wrong_length_does_not_hide_the_one_after_it():
    good = json.loads(ENVELOPE)["signatures"][0]
    short = {"keyid": "", "sig": base64.b64encode(b"short").decode()}
    both = json.dumps({**json.loads(ENVELOPE), "signatures": [short, good]}).encode()
    assert dsse.verify_statement(both, (KEY.public,)).key_id == KEY.key_id
    assert code_of(json.dumps({**json.loads(ENVELOPE), "signatures": [short]}).encode()) == "signature_invalid"


def test_what_was_verified_cannot_be_changed_afterwards():
    verified = dsse.verify_statement(ENVELOPE, (KEY.public,))
    with pytest.raises(AttributeError):
        verified.key_id = "other"
    parsed = dsse._parse_envelope(ENVELOPE)
    for part, name in ((parsed, "payload"), (parsed.signatures[0], "sig")):
        with pytest.raises(AttributeError):
            setattr(part, name, "other")


def test_a_signature_without_a_key_id_has_an_empty_one():
    signature = {"sig": json.loads(ENVELOPE)["signatures"][0]["sig"]}
    envelope = json.dumps({**json.loads(ENVELOPE), "signatures": [signature]}).encode()
    assert dsse._parse_envelope(envelope).signatures[0].keyid == ""
    assert dsse.verify_statement(envelope, (KEY.public,)).statement == SAID


def test_the_envelope_names_our_payload_type():
    assert msgspec.json.decode(ENVELOPE)["payloadType"] == PAYLOAD_TYPE == "application/vnd.in-toto+json"
