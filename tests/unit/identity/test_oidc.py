"""Foreign tokens: what RFC 8725 warns of, tried one by one, on every algorithm that an issuer may use."""

import base64
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from bywire.identity.oidc import ACCESS_TOKEN, ID_TOKEN, JWT, SUBJECT_TOKEN_BYTES_MAX, key_asked_for, verify_subject
from bywire.identity.oidc_keys import parse_jwks
from bywire.model.errors import EvidenceError
from bywire.model.gateway_issuers import ClaimRule, Issuer, Mapping
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
NOW_S = NOW // 1000
NAME, AUDIENCE = "https://issuer.example", "log.example/workspace/door"
RSA, EC, ED = (
    rsa.generate_private_key(65537, 2048),
    ec.generate_private_key(ec.SECP256R1()),
    SigningKey.from_seed(b"1" * 32),
)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ISSUER = Issuer(
    issuer=NAME,
    mappings=(Mapping("agent:x", (ClaimRule("sub", ("s",)),)),),
    algorithms=("RS256", "ES256", "EdDSA"),
    types=("JWT", "", "at+jwt"),
)
CLAIMS = {
    "iss": NAME,
    "aud": AUDIENCE,
    "sub": "s",
    "iat": NOW_S - 10,
    "nbf": NOW_S - 10,
    "exp": NOW_S + 300,
    "jti": "j",
}


def b64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


RSA_JWK = {"kty": "RSA", "kid": "r", "n": number(RSA.public_key().public_numbers().n), "e": "AQAB"}
EC_JWK = {
    "kty": "EC", "kid": "e", "crv": "P-256",
    "x": number(EC.public_key().public_numbers().x, 32), "y": number(EC.public_key().public_numbers().y, 32),
}  # fmt: skip
ED_JWK = {"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": b64(ED.public.raw_public)}
KEYS = parse_jwks(json.dumps({"keys": [RSA_JWK, EC_JWK, ED_JWK]}).encode(), ISSUER.algorithms)


def by_rsa(data):
    return RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())


def by_ec(data):
    return b"".join(part.to_bytes(32, "big") for part in decode_dss_signature(EC.sign(data, ec.ECDSA(hashes.SHA256()))))


SIGNERS = {"RS256": ("r", by_rsa), "ES256": ("e", by_ec), "EdDSA": ("d", ED.sign)}


def made(alg="RS256", claims=CLAIMS, header=None, sign=None, kid=None, drop=()):
    members = {"alg": alg, "kid": kid or SIGNERS.get(alg, ("r",))[0], "typ": "JWT", **(header or {})}
    head = (
        header
        if isinstance(header, bytes)
        else json.dumps({k: v for k, v in members.items() if k not in drop}).encode()
    )
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    data = f"{b64(head)}.{b64(body)}"
    return f"{data}.{b64((sign or SIGNERS[alg][1])(data.encode()))}"


def verified(token, *, issuer=ISSUER, keys=KEYS, kind=JWT, now_ms=NOW):
    return verify_subject(token, issuer, keys, audience=AUDIENCE, token_type=kind, now_ms=now_ms)


def refused(token, **more):
    with pytest.raises(EvidenceError) as caught:
        verified(token, **more)
    assert caught.value.next_step
    assert token[-40:] not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("alg", SIGNERS)
def test_a_good_token_says_who_it_is_about(alg):
    subject = verified(made(alg))
    assert (subject.issuer, subject.subject, subject.jti) == (NAME, "s", "j")
    assert (subject.issued_s, subject.expires_s) == (NOW_S - 10, NOW_S + 300)
    assert key_asked_for(made(alg)) == (NAME, SIGNERS[alg][0])


# --- the algorithm ---


@pytest.mark.parametrize(
    "alg", ["none", "None", "", "HS256", "HS512", "RS384", "RS1", "PS256", "ES384", "rs256", "RS256 "]
)
def test_an_algorithm_that_is_not_the_issuers_is_refused(alg):
    assert refused(made(alg, sign=by_rsa)) == "token_header"
    assert refused(made(alg, sign=lambda data: b"")) == "token_header"


def test_the_public_key_is_no_secret_to_sign_with():
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), json.dumps(RSA_JWK).encode(), ED.public.raw_public):
        for alg in ("HS256", *SIGNERS):
            forged = made(alg, sign=lambda data, secret=secret: hmac.digest(secret, data, "sha256"))
            assert refused(forged) in {"token_header", "token_signature"}


@pytest.mark.parametrize(("alg", "kid"), [("RS256", "e"), ("ES256", "r"), ("EdDSA", "e"), ("ES256", "d")])
def test_a_key_verifies_with_its_own_algorithm_only(alg, kid):
    assert refused(made(alg, kid=kid)) == "token_key"


def test_an_issuer_that_uses_one_algorithm_takes_one():
    narrow = Issuer(issuer=NAME, mappings=ISSUER.mappings, algorithms=("ES256",), types=ISSUER.types)
    assert refused(made("RS256"), issuer=narrow) == "token_header"
    assert refused(made("EdDSA"), issuer=narrow) == "token_header"
    assert verified(made("ES256"), issuer=narrow).subject == "s"


@pytest.mark.parametrize("alg", SIGNERS)
@pytest.mark.parametrize(
    "spoil", [lambda s: b"", lambda s: s[:-1], lambda s: s + b"\0", lambda s: bytes(len(s)), lambda s: s[::-1]]
)
def test_a_signature_that_does_not_fit_is_refused(alg, spoil):
    assert refused(made(alg, sign=lambda data: spoil(SIGNERS[alg][1](data)))) == "token_signature"


def test_es256_wants_r_and_s_and_nothing_degenerate():
    der = lambda data: EC.sign(data, ec.ECDSA(hashes.SHA256()))
    assert refused(made("ES256", sign=der)) == "token_signature"
    for r, s in ((0, 0), (1, 0), (0, 1), (P256_ORDER, 1), (1, P256_ORDER)):
        value = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        assert refused(made("ES256", sign=lambda data, value=value: value)) == "token_signature"


# --- the header brings nothing ---


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": RSA_JWK}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example/x5u"}, {"x5c": ["AAAA"]},
        {"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}, {"enc": "A256GCM"},
        {"iss": NAME},
    ],
)  # fmt: skip
def test_a_header_that_says_more_is_refused(extra):
    assert refused(made(header=extra)) == "token_header"
    with pytest.raises(EvidenceError):
        key_asked_for(made(header=extra))


def test_a_thumbprint_chooses_nothing():
    assert verified(made(header={"x5t": "anything", "x5t#S256": "at all"})).subject == "s"


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "../../../etc/passwd",
        "r\x00",
        "R",
        "r ",
        "' OR 1=1 --",
        "http://evil.example",
        "x" * 257,
        None,
        7,
        ["r"],
        {},
    ],
)
def test_a_key_id_only_ever_selects(kid):
    token = made(header={"kid": kid})
    assert refused(token) in {"token_header", "token_key"}


def test_a_token_without_key_id_is_refused():
    assert refused(made(drop=("kid",))) == "token_header"


def test_two_keys_of_one_id_are_none():
    other = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    twin = {**RSA_JWK, "n": number(other.n)}
    keys = parse_jwks(json.dumps({"keys": [RSA_JWK, twin, EC_JWK]}).encode(), ISSUER.algorithms)
    with pytest.raises(EvidenceError, match="two keys of the issuer"):
        verified(made(), keys=keys)
    assert verified(made("ES256"), keys=keys).subject == "s"


@pytest.mark.parametrize("typ", ["bywire+jwt", "secevent+jwt", "logout+jwt", "dpop+jwt", "jwt", 7, None, ["JWT"]])
def test_another_type_of_token_is_refused(typ):
    assert refused(made(header={"typ": typ})) == "token_header"


def test_the_kind_of_token_is_the_one_that_is_said():
    access = made(header={"typ": "at+jwt"})
    assert verified(access, kind=ACCESS_TOKEN).subject == "s"
    assert verified(access, kind=JWT).subject == "s"
    assert refused(access, kind=ID_TOKEN) == "token_header"
    assert refused(made(), kind=ACCESS_TOKEN) == "token_header"
    assert refused(made(drop=("typ",)), kind=ACCESS_TOKEN) == "token_header"
    assert verified(made(drop=("typ",)), kind=ID_TOKEN).subject == "s"


# --- the claims ---


@pytest.mark.parametrize(
    "issuer", [f"{NAME}.evil.example", f"{NAME}/", NAME[:-1], "HTTPS://issuer.example", "", None, [NAME]]
)
def test_the_issuer_is_compared_exactly(issuer):
    assert refused(made(claims={**CLAIMS, "iss": issuer})) == "token_issuer"


@pytest.mark.parametrize(
    "audience",
    [
        "",
        f"{AUDIENCE}/",
        AUDIENCE[:-1],
        AUDIENCE.upper(),
        None,
        [],
        [AUDIENCE, "other"],
        ["other"],
        {AUDIENCE: 1},
        [[AUDIENCE]],
    ],
)
def test_the_audience_is_ours_alone(audience):
    assert refused(made(claims={**CLAIMS, "aud": audience})) == "token_audience"


def test_an_audience_may_stand_in_a_list_of_one():
    assert verified(made(claims={**CLAIMS, "aud": [AUDIENCE]})).subject == "s"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": NOW_S}, "token_expired"),
        ({"exp": NOW_S - 1}, "token_expired"),
        ({"nbf": NOW_S + 31}, "token_early"),
        ({"iat": NOW_S + 31}, "token_early"),
        ({"iat": NOW_S - 3_601}, "token_old"),
        ({"iat": NOW_S + 400}, "token_lifetime"),
        ({"exp": CLAIMS["iat"]}, "token_lifetime"),
        ({"exp": True}, "token_lifetime"),
        ({"exp": "1790000300"}, "token_lifetime"),
        ({"exp": 1.5e9 + 0.5}, "token_lifetime"),
        ({"exp": 10**40}, "token_lifetime"),
        ({"exp": -1}, "token_lifetime"),
        ({"nbf": None}, "token_lifetime"),
        ({"sub": ""}, "token_subject"),
        ({"sub": "s" * 2_000}, "token_subject"),
        ({"sub": ["s"]}, "token_subject"),
        ({"jti": 7}, "token_malformed"),
    ],
)
def test_times_and_names_are_checked(changes, code):
    assert refused(made(claims={**CLAIMS, **changes})) == code


def test_a_clock_that_is_a_little_off_is_no_reason():
    assert verified(made(claims={**CLAIMS, "nbf": NOW_S + 30, "iat": NOW_S + 30})).subject == "s"
    assert verified(made(claims={**CLAIMS, "exp": NOW_S + 1.0})).expires_s == NOW_S + 1


def test_no_time_is_guessed():
    for name in ("exp", "iat"):
        claims = {key: value for key, value in CLAIMS.items() if key != name}
        assert refused(made(claims=claims)) == "token_lifetime"


# --- one reading ---


@pytest.mark.parametrize(
    "body",
    [
        b'{"iss": "https://issuer.example", "iss": "https://evil.example"}',
        b'{"iss": NaN}', b"[]", b'"text"', b"", b"{", b"\xff", b"[" * 5_000, b'{"a":' * 3_000, b'{"iss": 1e999}',
    ],
)  # fmt: skip
def test_claims_with_two_readings_are_refused(body):
    assert refused(made(claims=body)) in {"token_malformed", "token_issuer"}


@pytest.mark.parametrize(
    "spell",
    [
        lambda t: t + ".", lambda t: "." + t, lambda t: t.replace(".", "..", 1), lambda t: t + "=", lambda t: t + "\n",
        lambda t: " " + t, lambda t: t.split(".")[0], lambda t: t + "\u0000", lambda t: "\u00e9" + t,
        lambda t: t + "A" * SUBJECT_TOKEN_BYTES_MAX, lambda t: ".".join(t.split(".")[:2]) + ".",
    ],
)  # fmt: skip
def test_a_token_has_one_spelling(spell):
    assert refused(spell(made())) in {"token_malformed", "token_header", "token_signature"}


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_anything_at_all_is_refused(text):
    with pytest.raises(EvidenceError):
        verified(text)
    with pytest.raises(EvidenceError):
        key_asked_for(text)


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_no_changed_character_leaves_a_token_good(at, other):
    token = made("EdDSA")
    at %= len(token)
    if token[at] != other:
        with pytest.raises(EvidenceError):
            verified(token[:at] + other + token[at + 1 :])
