"""Envelopes: what was signed is what is read, by a key that the caller chose, in one spelling only."""

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.model.errors import EvidenceError
from bywire.model.statement import PAYLOAD_TYPE, Statement, predicate_type, subject
from bywire.seal import dsse, jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement, unverified_statement, verify_statement
from bywire.seal.keys import SigningKey

KEY = SigningKey.from_seed(b"1" * 32)
OTHER = SigningKey.from_seed(b"2" * 32)
STRANGER = SigningKey.from_seed(b"3" * 32)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


def statement(predicate=None):
    return Statement(
        subject=(subject("thing", sha256_hex(b"thing")),),
        predicateType=predicate_type("plan"),
        predicate=predicate or {"weight": 5},
    )


ENVELOPE = sign_statement(statement(), KEY)
PAYLOAD = base64.b64decode(json.loads(ENVELOPE)["payload"])


def code_of(envelope, trusted=(KEY.public,)):
    with pytest.raises(EvidenceError) as caught:
        verify_statement(envelope, trusted)
    assert caught.value.next_step
    return caught.value.code


def resealed(payload, payload_type=PAYLOAD_TYPE, key=KEY):
    """A well-signed envelope over arbitrary payload bytes."""
    signature = key.sign(dsse.pre_authentication_encoding(payload_type, payload))
    return jcs.canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"keyid": key.key_id, "sig": base64.b64encode(signature).decode()}],
        }
    )


def changed(**fields):
    return json.dumps({**json.loads(ENVELOPE), **fields}).encode()


def signature_of(envelope=ENVELOPE):
    return json.loads(envelope)["signatures"][0]


@given(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4))
def test_what_is_signed_is_what_is_read(predicate):
    said = statement({"said": predicate})
    verified = verify_statement(sign_statement(said, KEY), (OTHER.public, KEY.public))
    assert verified.statement == said
    assert verified.key_id == KEY.key_id


def test_the_pre_authentication_encoding_is_that_of_the_specification():
    assert dsse.pre_authentication_encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.pre_authentication_encoding("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_no_flipped_bit_is_believed():
    keyid_at = ENVELOPE.index(KEY.key_id.encode())
    unsigned = range(keyid_at, keyid_at + len(KEY.key_id))
    honest = verify_statement(ENVELOPE, (KEY.public,))
    for position in range(len(ENVELOPE)):
        for bit in range(8):
            mutant = bytearray(ENVELOPE)
            mutant[position] ^= 1 << bit
            if position in unsigned:
                # The key id is an unauthenticated hint: whatever it says, it changes nothing.
                try:
                    assert verify_statement(bytes(mutant), (KEY.public,)) == honest
                except EvidenceError:
                    continue
            else:
                code_of(bytes(mutant))


@pytest.mark.parametrize("cut", [0, 1, 10, len(ENVELOPE) // 2, len(ENVELOPE) - 1])
def test_a_truncated_or_extended_envelope_is_refused(cut):
    assert code_of(ENVELOPE[:cut]) == "envelope_malformed"
    assert code_of(ENVELOPE + ENVELOPE[: cut + 1]) == "envelope_malformed"


@pytest.mark.parametrize("keyid", [OTHER.key_id, STRANGER.key_id, "", "x" * 1000])
def test_the_key_id_never_chooses_the_key(keyid):
    lie = changed(signatures=[{**signature_of(), "keyid": keyid}])
    assert verify_statement(lie, (OTHER.public, KEY.public)).key_id == KEY.key_id
    assert code_of(lie, (OTHER.public,)) == "signature_invalid"
    strangers = sign_statement(statement(), STRANGER)
    claiming = json.dumps({**json.loads(strangers), "signatures": [{**signature_of(strangers), "keyid": KEY.key_id}]})
    assert code_of(claiming.encode()) == "signature_invalid"


def test_nobody_trusted_means_nothing_believed():
    assert code_of(ENVELOPE, ()) == "signature_invalid"


@pytest.mark.parametrize("kind", ["", "application/json", PAYLOAD_TYPE + " ", PAYLOAD_TYPE.upper()])
def test_another_payload_type_is_refused_even_when_well_signed(kind):
    assert code_of(resealed(PAYLOAD, kind)) == "payload_type"
    assert code_of(changed(payloadType=kind)) == "payload_type"


def test_fields_nobody_knows_are_refused():
    assert code_of(changed(extra=1)) == "envelope_malformed"
    assert code_of(changed(signatures=[{**signature_of(), "cert": "x"}])) == "envelope_malformed"
    value = json.loads(PAYLOAD)
    assert code_of(resealed(jcs.canonical({**value, "extra": 1}))) == "statement_malformed"
    named = {**value["subject"][0], "uri": "https://elsewhere"}
    assert code_of(resealed(jcs.canonical({**value, "subject": [named]}))) == "statement_malformed"


@pytest.mark.parametrize(
    "text",
    [
        b'{"payload":"AAAA",' + ENVELOPE[1:],
        ENVELOPE[:-1] + b',"payload":' + json.dumps(json.loads(ENVELOPE)["payload"]).encode() + b"}",
        ENVELOPE.replace(b'{"keyid":', b'{"sig":"AAAA","keyid":'),
        b'{"payloa\\u0064":"AAAA",' + ENVELOPE[1:],
    ],
)
def test_an_envelope_that_says_one_thing_twice_is_refused(text):
    assert code_of(text) == "envelope_malformed"
    with pytest.raises(EvidenceError):
        unverified_statement(text)


@pytest.mark.parametrize(
    "payload",
    [
        PAYLOAD.replace(b'"predicate":{', b'"predicate":{"weight":100,'),  # duplicate key
        b" " + PAYLOAD,
        PAYLOAD.replace(b":5", b":5.0"),
        PAYLOAD.replace(b":5", b":5e0"),
        PAYLOAD.replace(b"weight", b"\\u0077eight"),
        PAYLOAD.replace(b'{"weight":5}', b'{"b":1,"a":2}'),
        PAYLOAD.replace(b":5", b":9007199254740993"),
        PAYLOAD.replace(b":5", b":" + b"[" * 2000 + b"]" * 2000),
        PAYLOAD.replace(b":5", b":" + b"[" * 65 + b"]" * 65),
        PAYLOAD.replace(b":5", b":NaN"),
        PAYLOAD.replace(b"thing", b"\xff\xfe"),
        PAYLOAD.replace(b"thing", b"\\ud800"),
        b"",
        b"null",
        b"[]",
        b"{}",
    ],
)
def test_a_payload_with_a_second_reading_is_refused_even_when_well_signed(payload):
    assert payload != PAYLOAD
    assert code_of(resealed(payload)) == "statement_malformed"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("_type", "https://in-toto.io/Statement/v0.1"),
        ("subject", []),
        ("subject", [{"name": "x", "digest": {"sha256": "A" * 64}}]),
        ("subject", [{"name": "x", "digest": {"sha1": "a" * 40}}]),
        ("subject", [{"name": "x", "digest": {}}]),
        ("subject", [{"name": "x", "digest": {"sha256": "a" * 64 + "\n"}}]),
        ("subject", [{"name": "", "digest": {"sha256": "a" * 64}}]),
        ("subject", [{"name": "x", "digest": {"sha256": "a" * 64}}] * 257),
        ("predicateType", "x"),
        ("predicate", []),
        ("predicate", None),
    ],
)
def test_what_is_no_statement_is_refused_even_when_well_signed(field, value):
    assert code_of(resealed(jcs.canonical({**json.loads(PAYLOAD), field: value}))) == "statement_malformed"


def base64_spellings(text):
    body = text.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    yield body if body != text else text + "="
    yield text + "\n"
    yield " " + text
    yield text[:4] + "\n" + text[4:]
    yield text.replace("+", "-").replace("/", "_") + "-"
    if body != text:  # unused trailing bits: another letter, the same bytes
        twin = alphabet[alphabet.index(body[-1]) ^ 1]
        assert base64.b64decode(body[:-1] + twin + text[len(body) :]) == base64.b64decode(text)
        yield body[:-1] + twin + text[len(body) :]


def test_base64_has_one_spelling():
    for text in base64_spellings(signature_of()["sig"]):
        assert code_of(changed(signatures=[{**signature_of(), "sig": text}])) == "envelope_malformed"
    padded = next(
        envelope
        for envelope in (sign_statement(statement({"pad": "x" * n}), KEY) for n in range(3))
        if json.loads(envelope)["payload"].endswith("=")
    )
    for text in base64_spellings(json.loads(padded)["payload"]):
        assert code_of(json.dumps({**json.loads(padded), "payload": text}).encode()) == "envelope_malformed"


def test_signatures_are_few_and_at_least_one():
    good = signature_of()
    noise = {"keyid": "", "sig": base64.b64encode(b"\0" * 64).decode()}
    assert code_of(changed(signatures=[])) == "signature_invalid"
    assert code_of(changed(signatures=[{"sig": ""}])) == "signature_invalid"
    assert code_of(changed(signatures=[{**good, "sig": base64.b64encode(b"\0" * 63).decode()}])) == "signature_invalid"
    assert verify_statement(changed(signatures=[noise] * 15 + [good]), (KEY.public,)).key_id == KEY.key_id
    assert code_of(changed(signatures=[noise] * 16 + [good])) in {"signature_invalid", "envelope_malformed"}
    assert code_of(changed(signatures=[noise] * 16)) == "signature_invalid"


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"payload":1}',
        changed(payload=None),
        changed(payload=1),
    ],
)
def test_what_is_no_envelope_is_refused(envelope):
    assert code_of(envelope) == "envelope_malformed"
    with pytest.raises(EvidenceError):
        unverified_statement(envelope)


def test_size_is_bounded_before_anything_is_parsed():
    assert code_of(b" " * (dsse.ENVELOPE_BYTES_MAX + 1)) == "envelope_too_large"
    with pytest.raises(EvidenceError):
        unverified_statement(b" " * (dsse.ENVELOPE_BYTES_MAX + 1))


def test_a_signature_over_the_payload_alone_is_no_signature_over_the_envelope():
    bare = base64.b64encode(KEY.sign(PAYLOAD)).decode()
    assert code_of(changed(signatures=[{"keyid": KEY.key_id, "sig": bare}])) == "signature_invalid"


def test_an_envelope_that_nobody_could_read_is_not_signed():
    with pytest.raises(EvidenceError):
        sign_statement(statement({"number": 2**60}), KEY)
    assert msgspec.json.decode(ENVELOPE)["payloadType"] == PAYLOAD_TYPE
