"""Foreign tokens, their issuers' key sets, exchange requests and API keys."""

import base64
import json
from typing import Any

from registry import NOW, Parser, parser

from bywire.identity.exchange import FORM_TYPE, GRANT_TYPE, api_key
from bywire.model.gateway_issuers import ClaimRule, Issuer, Mapping
from bywire.seal.keys import SigningKey

KEY = SigningKey.from_seed(b"6" * 32)
NAME, AUDIENCE = "https://issuer.example", "log.example/fuzz/door"
ISSUER = Issuer(
    issuer=NAME,
    mappings=(Mapping("agent:x", (ClaimRule("repository", ("acme/*",)), ClaimRule("/k/ns", ("a",))), ("run_id",)),),
    algorithms=("RS256", "ES256", "EdDSA"),
)
CLAIMS = {
    "iss": NAME, "aud": [AUDIENCE], "sub": "s", "iat": NOW // 1000, "nbf": NOW // 1000, "exp": NOW // 1000 + 300,
    "jti": "j", "repository": "acme/x", "k": {"ns": "a"}, "run_id": "7", "event_name": "push",
}  # fmt: skip
JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": "d",
    "x": base64.urlsafe_b64encode(KEY.public.raw_public).decode().rstrip("="),
}
RSA_JWK = {"kty": "RSA", "kid": "r", "e": "AQAB", "n": base64.urlsafe_b64encode(b"\xc3" * 256).decode().rstrip("=")}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def token(claims: bytes, header: bytes = b'{"alg":"EdDSA","kid":"d","typ":"JWT"}') -> str:
    data = f"{b64(header)}.{b64(claims)}"
    return f"{data}.{b64(KEY.sign(data.encode()))}"


TOKEN = token(json.dumps(CLAIMS).encode())


def verified(text: str) -> Any:
    from bywire.identity.oidc import JWT, verify_subject
    from bywire.identity.oidc_claims import admission
    from bywire.identity.oidc_keys import parse_jwks

    keys = parse_jwks(json.dumps({"keys": [JWK]}).encode(), ISSUER.algorithms)
    return admission(verify_subject(text, ISSUER, keys, audience=AUDIENCE, token_type=JWT, now_ms=NOW), ISSUER)


@parser("identity/oidc_keys.py:parse_jwks")
def _() -> Parser:
    from bywire.identity.oidc_keys import parse_jwks

    return Parser(lambda raw: parse_jwks(raw, ISSUER.algorithms), ({"keys": [JWK, RSA_JWK]},), "json")


@parser("identity/oidc.py:verify_subject")
def _() -> Parser:
    return Parser(verified, (TOKEN,), "text")


@parser("identity/oidc.py:verify_subject (signed claims)")
def _() -> Parser:
    return Parser(lambda raw: verified(token(raw)), (CLAIMS,), "json")


@parser("identity/oidc.py:verify_subject (signed header)")
def _() -> Parser:
    claims = json.dumps(CLAIMS).encode()
    header = {"alg": "EdDSA", "kid": "d", "typ": "JWT"}
    return Parser(lambda raw: verified(token(claims, raw)), (header,), "json")


@parser("identity/oidc.py:key_asked_for")
def _() -> Parser:
    from bywire.identity.oidc import key_asked_for

    return Parser(key_asked_for, (TOKEN,), "text")


@parser("identity/exchange.py:parse_request")
def _() -> Parser:
    from bywire.identity.exchange import parse_request

    form = f"grant_type={GRANT_TYPE}&subject_token={TOKEN}&subject_token_type=urn:ietf:params:oauth:token-type:jwt"
    return Parser(lambda raw: parse_request(raw, FORM_TYPE, AUDIENCE), (form.encode(),))


@parser("identity/exchange.py:api_key_of")
def _() -> Parser:
    from bywire.identity.exchange import api_key_of

    return Parser(api_key_of, (api_key("0123456789ab", "s" * 43),), "text")


@parser("config/gateway_issuers.py:read_issuers")
def _() -> Parser:
    from bywire.config.gateway_issuers import read_issuers
    from bywire.config.reading import Node

    mapping = {"agent": "agent:x", "claims": {"repository": "acme/x", "ref": "refs/heads/r-*"}, "run": ["run_id"]}
    seed = [{"issuer": NAME, "jwks_url": f"{NAME}/jwks", "mappings": [mapping], "once": True, "max_age_seconds": 60}]
    return Parser(lambda value: read_issuers(Node(value, "gateway.yaml")), (seed,), "value")


@parser("config/gateway_credentials.py:read_credentials")
def _() -> Parser:
    from bywire.config.gateway_credentials import read_credentials
    from bywire.config.reading import Node

    vault = {"address": "https://vault.example", "token_env": "VAULT_TOKEN", "path": "ci/x", "field": "token"}
    seed = {
        "gh": {"origin": "https://api.example", "vault": vault},
        "argo": [{"origin": "https://a.b", "token_env": "A"}],
    }
    return Parser(lambda value: read_credentials(Node(value, "gateway.yaml")), (seed,), "value")
