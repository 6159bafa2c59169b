"""Ed25519 as RFC 8032 has it; a key file that is anything else is refused with a code."""

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from hypothesis import given
from hypothesis import strategies as st

from bywire.model.errors import EvidenceError
from bywire.model.statement import PLAN, Statement, subject
from bywire.seal.digest import same_digest, sha256_hex
from bywire.seal.dsse import sign_statement, verify_statement
from bywire.seal.keys import SIGNATURE_BYTES, SigningKey, VerifyKey, verify_key

# RFC 8032, 7.1: secret key, public key, message, and the two halves of the signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac",
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
KEY = SigningKey.from_seed(b"k" * 32)


def code_of(call):
    with pytest.raises(EvidenceError) as caught:
        call()
    assert caught.value.next_step
    return caught.value.code


@pytest.mark.parametrize(("secret", "public", "message", "first", "second"), VECTORS)
def test_rfc_8032_vectors(secret, public, message, first, second):
    signature = first + second
    key = SigningKey.from_seed(bytes.fromhex(secret))
    assert key.public.raw_public.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    VerifyKey.from_hex(public).verify(bytes.fromhex(message), bytes.fromhex(signature))


@given(st.binary(max_size=64), st.integers(0, SIGNATURE_BYTES * 8 - 1))
def test_a_flipped_bit_of_the_signature_is_refused(message, bit):
    signature = bytearray(KEY.sign(message))
    signature[bit // 8] ^= 1 << bit % 8
    assert code_of(lambda: KEY.public.verify(message, bytes(signature))) == "signature_invalid"


@pytest.mark.parametrize("signature", [b"", b"\0" * 63, b"\0" * 64, b"\0" * 65, KEY.sign(b"other")])
def test_what_is_no_signature_of_this_message_is_refused(signature):
    assert code_of(lambda: KEY.public.verify(b"message", signature)) == "signature_invalid"


def test_a_second_spelling_of_a_signature_is_refused():
    # RFC 8032, 5.1.7: S + L would verify the same equation; only S < L is a signature.
    signature = KEY.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert code_of(lambda: KEY.public.verify(b"message", signature[:32] + scalar.to_bytes(32, "little"))) == (
        "signature_invalid"
    )


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 31, "00" * 33, "é" * 32])
def test_what_is_no_public_key_is_refused(text):
    assert code_of(lambda: VerifyKey.from_hex(text)) == "key_invalid"


P = 2**255 - 19


def point(y, sign=0):
    """The encoding of a point: y, and the sign of x in the highest bit (RFC 8032, 5.1.2)."""
    return (y | sign << 255).to_bytes(32, "little").hex()


# y of the points whose order divides 8, from the table in "Taming the many EdDSAs" (ia.cr/2020/1244), 2.
ORDER_8 = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, P - 1, *(int.from_bytes(bytes.fromhex(one), "little") for one in ORDER_8)])
def test_rule_25_a_point_of_small_order_is_no_key(y, sign):
    """A signature that nobody made would verify under it."""
    assert code_of(lambda: VerifyKey.from_hex(point(y, sign))) == "key_invalid"


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [P, P + 1, P + 4, 2**255 - 1])
def test_rule_25_a_key_has_one_spelling(y, sign):
    assert code_of(lambda: VerifyKey.from_hex(point(y, sign))) == "key_invalid"


@pytest.mark.parametrize("y", [3, 4, P - 3, P - 4])
def test_points_beside_them_are_keys(y):
    assert VerifyKey.from_hex(point(y)).raw_public.hex() == point(y)


def test_a_key_id_is_the_digest_of_the_public_key_info():
    spki = bytes.fromhex("302a300506032b6570032100") + KEY.public.raw_public
    assert KEY.key_id == KEY.public.key_id == sha256_hex(spki)


def test_a_key_survives_its_file():
    assert SigningKey.from_pem(KEY.to_pem()).key_id == KEY.key_id
    sealed = KEY.to_pem(b"correct horse")
    assert SigningKey.from_pem(sealed, b"correct horse").key_id == KEY.key_id
    assert b"ENCRYPTED" in sealed
    assert KEY.to_pem() not in sealed


def pem(private, kind=serialization.PrivateFormat.PKCS8):
    return private.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())


def unknown_algorithm():
    der = bytearray(base64.b64decode(b"".join(KEY.to_pem().splitlines()[1:-1])))
    der[der.index(b"\x2b\x65\x70") + 2] = 0x7F
    body = base64.b64encode(bytes(der))
    return b"-----BEGIN PRIVATE KEY-----\n" + body + b"\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("data", "passphrase"),
    [
        (KEY.to_pem(b"right"), None),
        (KEY.to_pem(b"right"), b"wrong"),
        (KEY.to_pem(b"right"), b""),
        (KEY.to_pem(), b"not encrypted"),
        (b"", None),
        (b"\xff\xfe\x00", None),
        (KEY.to_pem()[:60], None),
        (pem(x25519.X25519PrivateKey.generate()), None),
        (pem(ec.generate_private_key(ec.SECP256R1())), None),
        (pem(ec.generate_private_key(ec.SECP256R1()), serialization.PrivateFormat.TraditionalOpenSSL), None),
        (unknown_algorithm(), None),
        (b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n", None),
    ],
)
def test_a_file_that_holds_no_usable_key_is_refused(data, passphrase):
    assert code_of(lambda: SigningKey.from_pem(data, passphrase)) == "key_invalid"


def test_a_key_never_prints_itself():
    seed_pem = KEY.to_pem().splitlines()[1].decode()
    for shown in (repr(KEY), str(KEY), f"{KEY}", repr([KEY])):
        assert (b"k" * 32).hex() not in shown
        assert seed_pem not in shown


def test_digests_are_lower_case_hex_and_compared_whole():
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert same_digest(sha256_hex(b"a"), sha256_hex(b"a"))
    assert not same_digest(sha256_hex(b"a"), sha256_hex(b"b"))
    assert not same_digest(sha256_hex(b"a"), sha256_hex(b"a")[:-1])
    assert not same_digest("", sha256_hex(b"a"))
    assert not same_digest("\ud800", sha256_hex(b"a"))


# --- FIDO tokens (OpenSSH PROTOCOL.u2f)

APPLICATION = "ssh:"
TOKEN_KEY = verify_key(KEY.public.raw_public.hex(), APPLICATION)


def touched(message, *, flags=1, counter=7, application=APPLICATION, covered=None):
    """What a token answers: it signs what PROTOCOL.u2f says, and nothing else."""
    tail = bytes([flags]) + counter.to_bytes(4, "big")
    digest = sha256(message).digest()
    return KEY.sign(covered or sha256(application.encode()).digest() + tail + digest) + tail


def test_a_touched_token_signs():
    for counter, flags in ((0, 1), (7, 5), (2**32 - 1, 1)):
        TOKEN_KEY.verify(b"message", touched(b"message", flags=flags, counter=counter))


@pytest.mark.parametrize("flags", [0, 4, 0x80, 0xFE])
def test_a_token_that_nobody_touched_is_refused(flags):
    assert code_of(lambda: TOKEN_KEY.verify(b"message", touched(b"message", flags=flags))) == "signature_invalid"


@pytest.mark.parametrize(
    "signature",
    [
        KEY.sign(b"message"),
        KEY.sign(b"message") + b"\x01\0\0\0\x07",
        touched(b"other"),
        touched(b"message", application="ssh:other"),
        touched(b"message")[:-1],
        touched(b"message") + b"\0",
        touched(b"message", counter=7)[:-1] + b"\x08",
        touched(b"message", flags=4)[:64] + b"\x05\0\0\0\x07",
        b"",
    ],
)
def test_what_the_token_did_not_sign_is_refused(signature):
    assert code_of(lambda: TOKEN_KEY.verify(b"message", signature)) == "signature_invalid"


def test_the_trusted_key_fixes_the_algorithm():
    """The same point as a plain key and on a token are two keys; neither takes the other's signatures."""
    assert KEY.public.key_id != TOKEN_KEY.key_id != verify_key(KEY.public.raw_public.hex(), "ssh:b").key_id
    assert code_of(lambda: KEY.public.verify(b"message", touched(b"message"))) == "signature_invalid"
    assert code_of(lambda: KEY.public.verify(b"message", touched(b"message")[:64])) == "signature_invalid"


def test_a_statement_is_signed_by_a_token():
    class Token:
        key_id = TOKEN_KEY.key_id
        sign = staticmethod(touched)

    said = Statement(subject=(subject("s", "a" * 64),), predicateType=PLAN, predicate={})
    envelope = sign_statement(said, Token())
    assert verify_statement(envelope, [TOKEN_KEY]).key_id == TOKEN_KEY.key_id
    assert verify_statement(envelope, [KEY.public, TOKEN_KEY]).key_id == TOKEN_KEY.key_id
    assert code_of(lambda: verify_statement(envelope, [KEY.public])) == "signature_invalid"
    assert code_of(lambda: verify_statement(sign_statement(said, KEY), [TOKEN_KEY])) == "signature_invalid"
