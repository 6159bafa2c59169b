"""Tokens: what RFC 8725 warns of, tried one by one; then what makes a good token worthless."""

import base64
import hmac
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from bywire.identity import tokens
from bywire.identity.session import Session, session_token
from bywire.identity.tokens import (
    LEEWAY_SECONDS,
    LIFETIME_SECONDS_MAX,
    TOKEN_BYTES_MAX,
    TokenVerifier,
    door_audience,
    issue,
    jwks,
    verify,
)
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole, Principal, PrincipalKind
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
ORIGIN = "log.example/workspace"
AUDIENCE = door_audience(ORIGIN)
WORKSPACE_KEY = b"w" * 32
ISSUER, SECOND, AGENT, LOG = (SigningKey.from_seed(seed * 32) for seed in (b"1", b"2", b"3", b"4"))


def entry(key, role, principal, **more):
    return TrustedKey(key_id=key.key_id, role=role, principal=principal, public=key.public.raw_public.hex(), **more)


TRUST = TrustRoot(
    version=1,
    origin=ORIGIN,
    keys=(
        entry(ISSUER, KeyRole.TOKEN, "workload:token-issuer"),
        entry(AGENT, KeyRole.AGENT, "agent:planner"),
        entry(LOG, KeyRole.LOG, "workload:log"),
    ),
)
SESSION = Session("se-1", Principal("agent:planner", PrincipalKind.AGENT), "run-1", workspace=ORIGIN)
HEADER = {"alg": "EdDSA", "kid": ISSUER.key_id, "typ": "bywire+jwt"}
CLAIMS = {
    "iss": ORIGIN,
    "aud": AUDIENCE,
    "sub": "agent:planner",
    "jti": "j-1",
    "iat": NOW // 1000,
    "nbf": NOW // 1000,
    "exp": NOW // 1000 + 900,
    "sid": "se-1",
    "run": "run-1",
}


def b64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def made(header=HEADER, claims=CLAIMS, key=ISSUER, sign=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{b64(head)}.{b64(body)}"
    return f"{signed}.{b64((sign or key.sign)(signed.encode()))}"


def refused(token, *, trust=TRUST, audience=AUDIENCE, now_ms=NOW):
    with pytest.raises(EvidenceError) as caught:
        verify(token, trust, audience=audience, now_ms=now_ms)
    assert caught.value.next_step
    return caught.value.code


def fresh(lifetime_seconds=LIFETIME_SECONDS_MAX, key=ISSUER, session=SESSION):
    return issue(session, key, now_ms=NOW, lifetime_seconds=lifetime_seconds, jti="j-1")


def test_a_token_says_whose_session_it_is():
    claims = verify(fresh(), TRUST, audience=AUDIENCE, now_ms=NOW)
    assert msgspec.to_builtins(claims) == CLAIMS
    assert verify(made(), TRUST, audience=AUDIENCE, now_ms=NOW) == claims


# --- RFC 8725, 3.1 and 3.2: the algorithm is ours, whatever the header says


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS256", "RS256", "ES256", "eddsa", "Ed25519", "EdDSA "])
def test_the_algorithm_is_pinned(alg):
    assert refused(made({**HEADER, "alg": alg})) == "token_header"


@pytest.mark.parametrize("alg", ["none", "EdDSA"])
def test_a_token_without_a_signature_is_refused(alg):
    unsigned = made({**HEADER, "alg": alg}, sign=lambda data: b"")
    assert refused(unsigned) == ("token_header" if alg == "none" else "token_signature")
    assert refused(unsigned.rstrip(".")) == "token_malformed"


@pytest.mark.parametrize("alg", ["HS256", "EdDSA"])
def test_the_public_key_is_no_secret_to_sign_with(alg):
    for secret in (
        ISSUER.public.raw_public,
        ISSUER.public.raw_public.hex().encode(),
        json.dumps(jwks(TRUST)).encode(),
    ):
        forged = made({**HEADER, "alg": alg}, sign=lambda data, secret=secret: hmac.digest(secret, data, "sha256"))
        assert refused(forged) in {"token_header", "token_signature"}


# --- 3.5, 3.10: no key comes with a token, and none is fetched for it

JWK = {"kty": "OKP", "crv": "Ed25519", "x": b64(SECOND.public.raw_public)}


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": JWK},
        {"jku": "https://attacker.example/jwks"},
        {"x5u": "https://attacker.example/x5u"},
        {"x5c": ["AAAA"]},
        {"x5t": "AAAA"},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A256GCM"},
    ],
)
def test_a_header_that_says_more_is_refused(extra):
    assert refused(made({**HEADER, **extra})) == "token_header"
    assert refused(made({**HEADER, **extra}, key=SECOND)) == "token_header"


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "bywire+JWT", "application/bywire+jwt", "", None])
def test_another_type_of_token_is_refused(typ):
    assert refused(made({**HEADER, "typ": typ})) == "token_header"


@pytest.mark.parametrize("missing", ["alg", "kid", "typ"])
def test_a_header_that_says_less_is_refused(missing):
    assert refused(made({name: value for name, value in HEADER.items() if name != missing})) == "token_header"


@pytest.mark.parametrize("kid", ["", "../../keys/x", "' OR 1=1 --", ISSUER.key_id.upper(), ISSUER.key_id[:16], 7, None])
def test_a_key_id_is_an_id_and_nothing_else(kid):
    assert refused(made({**HEADER, "kid": kid})) in {"token_header", "token_key"}


@pytest.mark.parametrize("key", [AGENT, LOG], ids=["agent", "log"])
def test_rule_03_a_key_of_another_role_signs_no_token(key):
    assert refused(fresh(key=key)) == "token_key"


def test_a_foreign_key_signs_no_token():
    assert refused(fresh(key=SECOND)) == "token_key"
    assert refused(made(key=SECOND)) == "token_signature"


def test_rule_25_a_retired_key_signs_no_token():
    assert refused(fresh(), trust=TRUST.retired({ISSUER.key_id: 5})) == "token_key"


def test_two_keys_are_told_apart_by_their_ids():
    both = msgspec.structs.replace(TRUST, keys=(*TRUST.keys, entry(SECOND, KeyRole.TOKEN, "workload:token-issuer")))
    for key in (ISSUER, SECOND):
        verify(fresh(key=key), both, audience=AUDIENCE, now_ms=NOW)
    assert refused(made(key=SECOND), trust=both) == "token_signature"


# --- 3.8, 3.9: for whom


@pytest.mark.parametrize("aud", ["", "other/door", ORIGIN, AUDIENCE + "/", [AUDIENCE], [AUDIENCE, "other"], None])
def test_a_token_for_somebody_else_is_refused(aud):
    assert refused(made(claims={**CLAIMS, "aud": aud})) in {"token_audience", "token_malformed"}


def test_our_token_is_refused_by_another_door():
    assert refused(fresh(), audience="other/door") == "token_audience"


def test_a_session_of_another_workspace_is_refused():
    elsewhere = msgspec.structs.replace(SESSION, workspace="log.example/other")
    assert refused(fresh(session=elsewhere)) == "token_issuer"
    assert refused(made(claims={**CLAIMS, "iss": "log.example/other"})) == "token_issuer"


# --- time


@pytest.mark.parametrize("seconds", [0, -1, 901, 960, 10**9])
def test_no_token_is_issued_for_longer_than_fifteen_minutes(seconds):
    with pytest.raises(ValueError, match="900"):
        fresh(seconds)


@pytest.mark.parametrize(
    "times",
    [
        {"exp": NOW // 1000 + 901},
        {"exp": NOW // 1000 + 960},
        {"exp": NOW // 1000},
        {"exp": NOW // 1000 - 10},
        {"iat": NOW // 1000 - 10},
        {"nbf": NOW // 1000 - 1},
        {"nbf": NOW // 1000 + 900},
    ],
)
def test_sixteen_minutes_are_refused_whoever_signed_for_them(times):
    assert refused(made(claims={**CLAIMS, **times})) == "token_lifetime"


def test_a_token_ends_when_it_says_without_leeway():
    token = fresh(60)
    verify(token, TRUST, audience=AUDIENCE, now_ms=NOW + 59_999)
    assert refused(token, now_ms=NOW + 60_000) == "token_expired"


def test_a_token_begins_when_it_says_with_a_little_leeway():
    token = fresh()
    verify(token, TRUST, audience=AUDIENCE, now_ms=NOW - LEEWAY_SECONDS * 1000)
    assert refused(token, now_ms=NOW - (LEEWAY_SECONDS + 1) * 1000) == "token_early"


@pytest.mark.parametrize("value", [True, "1790000000", 1.5, -1, None, 2**41, 10**400])
def test_a_time_is_a_number_of_seconds(value):
    assert refused(made(claims={**CLAIMS, "iat": value})) == "token_malformed"


# --- form


@pytest.mark.parametrize("missing", sorted(CLAIMS))
def test_every_claim_is_demanded(missing):
    assert refused(made(claims={name: value for name, value in CLAIMS.items() if name != missing})) == "token_malformed"


def test_an_unknown_claim_is_refused():
    assert refused(made(claims={**CLAIMS, "scope": "admin"})) == "token_malformed"


def test_a_member_that_is_there_twice_is_refused():
    twice = json.dumps(HEADER)[:-1].encode() + b', "alg": "EdDSA"}'
    assert refused(made(twice)) == "token_header"
    twice = json.dumps(CLAIMS)[:-1].encode() + b', "sub": "agent:planner"}'
    assert refused(made(claims=twice)) == "token_malformed"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d",
        "é.é.é",
        "\ud800.a.b",
        fresh() + ".",
        "." + fresh(),
        fresh() + "=",
        " " + fresh(),
    ],
)
def test_what_has_no_three_parts_of_base64url_is_refused(token):
    assert refused(token) in {"token_malformed", "token_header"}


def test_a_token_has_one_spelling():
    head, body, signature = fresh().split(".")
    last = signature[-1]
    # 64 bytes leave four unused bits in the last character.
    twins = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if letter != last]
    for letter in twins:
        assert refused(f"{head}.{body}.{signature[:-1]}{letter}") in {"token_malformed", "token_signature"}
    assert refused(f"{head}.{body}.{signature}\n") == "token_malformed"


def test_sizes_are_bounded():
    assert refused("a" * (TOKEN_BYTES_MAX + 1)) == "token_malformed"
    assert refused(made({**HEADER, "x": "y" * 600})) == "token_malformed"
    assert refused(made(b"[" * 380)) == "token_header"
    assert refused(made(claims=b"[" * 2_000)) == "token_malformed"


@pytest.mark.parametrize("claims", [b"", b"null", b"[]", b"\xff", b'"text"', b"{", b"NaN"])
def test_claims_that_are_no_object_are_refused(claims):
    assert refused(made(claims=claims)) == "token_malformed"


@given(st.data())
def test_a_token_with_one_other_character_is_refused(data):
    token = fresh()
    position = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_."))
    if token[position] != letter:
        assert refused(token[:position] + letter + token[position + 1 :]).startswith("token_")


@given(st.text(max_size=200))
def test_no_text_is_a_token_by_chance(text):
    assert refused(text).startswith("token_")


# --- the door's view


def opens(verifier, token, now_ms=NOW):
    try:
        return verifier.session_of(token, now_ms)
    except EvidenceError as error:
        return error.code


def test_both_forms_name_a_session():
    verifier = TokenVerifier(lambda: TRUST, WORKSPACE_KEY)
    assert opens(verifier, fresh()) == "se-1"
    assert opens(verifier, session_token("se-2", WORKSPACE_KEY)) == "se-2"
    assert opens(verifier, session_token("se-2", b"x" * 32)) == "session_refused"
    assert opens(verifier, "se-2") == "session_refused"


def test_a_remembered_token_still_expires():
    verifier = TokenVerifier(lambda: TRUST, WORKSPACE_KEY)
    token = fresh(60)
    assert [opens(verifier, token, NOW + seconds * 1000) for seconds in (0, 59, 60, 59)] == [
        "se-1",
        "se-1",
        "token_expired",
        "se-1",
    ]


def test_a_remembered_token_falls_with_its_key():
    root = [TRUST]
    verifier = TokenVerifier(lambda: root[0], WORKSPACE_KEY)
    assert opens(verifier, fresh()) == "se-1"
    root[0] = TRUST.retired({ISSUER.key_id: 0})
    assert opens(verifier, fresh()) == "token_key"


def test_a_token_is_verified_once_and_a_forged_one_never_remembered(monkeypatch):
    asked = []
    monkeypatch.setattr(tokens, "verify", lambda *a, **k: asked.append(1) or verify(*a, **k))
    verifier = TokenVerifier(lambda: TRUST, WORKSPACE_KEY)
    assert [opens(verifier, fresh()) for _ in range(3)] == ["se-1"] * 3
    assert len(asked) == 1
    forged = fresh()[:-4] + "AAAA"
    assert {opens(verifier, forged) for _ in range(2)} <= {"token_signature", "token_malformed"}
    assert len(asked) == 3


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(tokens, "VERIFIED_MAX", 3)
    verifier = TokenVerifier(lambda: TRUST, WORKSPACE_KEY)
    for number in range(10):
        opens(verifier, issue(SESSION, ISSUER, now_ms=NOW, lifetime_seconds=60, jti=f"j-{number}"))
    assert len(verifier._verified[1]) <= 3


# --- for others


def test_the_key_set_holds_valid_token_keys_only():
    (key,) = jwks(TRUST)["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["use"], key["kid"]) == (
        "OKP",
        "Ed25519",
        "EdDSA",
        "sig",
        ISSUER.key_id,
    )
    assert set(key) == {"alg", "crv", "kid", "kty", "use", "x"}
    assert jwks(TRUST.retired({ISSUER.key_id: 3})) == {"keys": []}


def test_a_stranger_verifies_with_the_key_set():
    (key,) = jwks(TRUST)["keys"]
    signed, _, signature = fresh().rpartition(".")
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    public.verify(base64.urlsafe_b64decode(signature + "=="), signed.encode())


def test_rfc_8037_a_4():
    """Our signing input and encoding are those of the RFC's example."""
    secret = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = SigningKey.from_seed(secret)
    assert b64(key.public.raw_public) == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    signed = ".".join((b64(b'{"alg":"EdDSA"}'), b64(b"Example of Ed25519 signing")))
    assert b64(key.sign(signed.encode())) == (
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
