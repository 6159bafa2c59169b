"""An issuer's key set: which keys are of use, and which are in doubt, too weak, too many or not for signing."""

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.jwk import RSAKey

from bywire.identity.oidc_keys import ALGORITHMS, JWKS_BYTES_MAX, JWKS_KEYS_MAX, parse_jwks, rs256
from bywire.model.errors import EvidenceError

RSA_2048 = rsa.generate_private_key(65537, 2048)


def b64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(private=RSA_2048, **changes):
    numbers = private.public_key().public_numbers()
    return {"kty": "RSA", "kid": "r", "n": number(numbers.n), "e": number(numbers.e), **changes}


GOOD = rsa_jwk()
ED = {"kty": "OKP", "crv": "Ed25519", "kid": "d", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def parsed(*keys, algorithms=ALGORITHMS):
    return parse_jwks(json.dumps({"keys": list(keys)}).encode(), algorithms)


def refused(raw):
    with pytest.raises(EvidenceError) as caught:
        parse_jwks(raw, ALGORITHMS)
    return caught.value.code


def test_a_key_is_found_by_its_id():
    keys = parsed(GOOD, ED)
    assert (len(keys), keys.find("r").algorithm, keys.find("d").algorithm) == (2, "RS256", "EdDSA")
    assert keys.find("R") is None


@pytest.mark.parametrize(
    "key",
    [
        rsa_jwk(use="enc"),
        rsa_jwk(key_ops=["sign"]),
        rsa_jwk(key_ops=["verify", "sign"]),
        rsa_jwk(alg="RS512"),
        rsa_jwk(alg="PS256"),
        rsa_jwk(alg="HS256"),
        rsa_jwk(e="Aw"),
        rsa_jwk(e="AQ"),
        rsa_jwk(n="AQAB"),
        rsa_jwk(n="A" * 3_000),
        rsa_jwk(n=""),
        rsa_jwk(n=7),
        rsa_jwk(d="AQAB"),
        rsa_jwk(kid=""),
        rsa_jwk(kid=None),
        rsa_jwk(kid=7),
        rsa_jwk(kid="k" * 300),
        {"kty": "oct", "kid": "r", "k": "c2VjcmV0"},
        {"kty": "EC", "crv": "P-256", "kid": "r", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "kid": "r", "x": b64(bytes(32)), "y": b64(b"\x01" * 32)},
        {"kty": "EC", "crv": "P-521", "kid": "r", "x": b64(bytes(66)), "y": b64(bytes(66))},
        {"kty": "OKP", "crv": "X25519", "kid": "r", "x": ED["x"]},
        {**ED, "kid": "r", "x": b64(bytes(32))},
        {**ED, "kid": "r", "x": b64(bytes(31))},
        {},
        [],
        "key",
        None,
    ],
)
def test_what_is_of_no_use_is_passed_over(key):
    keys = parsed(key, ED)
    assert (len(keys), keys.find("r")) == (1, None)


def test_a_weak_rsa_key_is_of_no_use():
    weak = rsa.generate_private_key(65537, 1024)
    with pytest.raises(EvidenceError):
        parsed(rsa_jwk(weak))


def test_only_the_issuers_algorithms_are_taken():
    assert parsed(GOOD, ED, algorithms=("EdDSA",)).find("r") is None


def test_one_key_twice_is_in_doubt_too():
    assert parsed(GOOD, GOOD, ED).ambiguous == {"r"}


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"[]", b"null", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [], "keys": []}', b"\xff\xfe",
        b'{"keys": [' + b"[" * 10_000, json.dumps({"keys": [GOOD] * (JWKS_KEYS_MAX + 1)}).encode(),
        b" " * (JWKS_BYTES_MAX + 1),
    ],
)  # fmt: skip
def test_what_is_no_key_set_is_refused(raw):
    assert refused(raw) == "jwks_invalid"


def test_a_hundred_thousand_keys_cost_nothing():
    raw = json.dumps({"keys": [{**GOOD, "kid": str(number)} for number in range(100_000)]}).encode()
    began = time.process_time()
    assert refused(raw) == "jwks_invalid"
    assert time.process_time() - began < 0.1


def test_a_large_set_of_large_keys_costs_little():
    large = {"kty": "RSA", "e": "AQAB", "n": number((1 << 8191) | 1)}
    raw = json.dumps({"keys": [{**large, "kid": str(number)} for number in range(JWKS_KEYS_MAX)]}).encode()
    began = time.process_time()
    assert len(parse_jwks(raw, ALGORITHMS)) <= JWKS_KEYS_MAX
    assert time.process_time() - began < 2.0


def pem(private):
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def test_what_we_sign_is_read_by_another_library():
    token = rs256(pem(RSA_2048), b'{"iss":"1"}')
    read = jws.deserialize_compact(token, RSAKey.import_key(pem(RSA_2048)), algorithms=["RS256"])
    assert (read.headers(), read.payload) == ({"alg": "RS256", "typ": "JWT"}, b'{"iss":"1"}')


def test_only_a_fit_rsa_key_signs():
    elliptic = ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for text in (b"", b"text", pem(elliptic), edwards, pem(rsa.generate_private_key(65537, 1024))):
        with pytest.raises(EvidenceError) as caught:
            rs256(text, b"{}")
        assert caught.value.code == "key_invalid"
