"""Tokens that leave the process: JWTs of at most 15 minutes for registered agents (RFC 7519, hardened by RFC 8725).

There is one algorithm and one form of header. The key is chosen among ours, by id and by role; a token brings, names or
describes no key of its own. A token stands for a session: when that is revoked, the token is worth nothing.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Any, TypeVar

import msgspec

from bywire.identity import compact
from bywire.identity.exchange import API_KEY_PREFIX
from bywire.identity.session import Session, session_id_of
from bywire.identity.trust import TrustRoot
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.seal import jcs
from bywire.seal.keys import Signer, VerifyKey

TOKEN_ISSUER = "workload:token-issuer"  # noqa: S105  the name of a principal
TOKEN_TYPE = "bywire+jwt"  # noqa: S105  RFC 8725, 3.11: explicit typing
ALGORITHM = "EdDSA"
LIFETIME_SECONDS_MAX = 900
LEEWAY_SECONDS = 5
TOKEN_BYTES_MAX = 4_096
HEADER_BYTES_MAX = 512
VERIFIED_MAX = 1_024
_TOKEN = compact.Reading("the token", TOKEN_BYTES_MAX, "ask for a new token: bywire agents token NAME")

_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Shape = TypeVar("_Shape")
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly these: `jwk`, `jku`, `x5u`, `x5c`, `crit`, `b64`, `zip`, `cty` and all others refuse the token."""

    alg: str
    kid: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    typ: str


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token says. Times are seconds since the epoch; `sid` is the session, `run` the run it is bound to."""

    iss: _Short
    aud: _Short
    sub: _Short
    jti: _Short
    iat: _Seconds
    nbf: _Seconds
    exp: _Seconds
    sid: _Short
    run: _Short


def door_audience(origin: str) -> str:
    """The audience of tokens for the door of the workspace with this origin."""
    return f"{origin}/door"


def issue(session: Session, key: Signer, *, now_ms: int, lifetime_seconds: int, jti: str) -> str:
    """A token for `session`, signed by a token key. ValueError unless it lives for 1 to 900 seconds.

    `jti` is randomness that an adapter drew; it names the token in records and keeps two of one second apart.
    """
    if not 1 <= lifetime_seconds <= LIFETIME_SECONDS_MAX:
        raise ValueError(f"a token lives for 1 to {LIFETIME_SECONDS_MAX} seconds")
    now = now_ms // 1000
    claims = Claims(
        iss=session.workspace,
        aud=door_audience(session.workspace),
        sub=session.principal.id,
        jti=jti,
        iat=now,
        nbf=now,
        exp=now + lifetime_seconds,
        sid=session.id,
        run=session.run,
    )
    header = jcs.canonical({"alg": ALGORITHM, "kid": key.key_id, "typ": TOKEN_TYPE})
    signed = f"{compact.encoded(header)}.{compact.encoded(jcs.canonical(msgspec.to_builtins(claims)))}"
    return f"{signed}.{compact.encoded(key.sign(signed.encode()))}"


def verify(token: str, trust: TrustRoot, *, audience: str, now_ms: int) -> Claims:
    """The claims of an authentic token that is valid now, for `audience`.

    1. Bound the size; three base64url parts, each in its one spelling. 2. The header is ours: this algorithm, this
    type, a key id, nothing else (RFC 8725, 3.1, 3.5, 3.10, 3.11). 3. The key is a token key of *our* root with that id,
    valid now. 4. The signature. 5. Only then the claims: issuer, audience (3.8, 3.9), lifetime and clock.
    Raises EvidenceError `token_malformed`, `token_header`, `token_key`, `token_signature`, `token_issuer`,
    `token_audience`, `token_lifetime`, `token_expired`, `token_early`.
    """
    parts = _TOKEN.parts(token)
    header = _decode(parts.header, _Header, HEADER_BYTES_MAX)
    if (header.alg, header.typ) != (ALGORITHM, TOKEN_TYPE):
        raise _TOKEN.refused("token_header", f"it must be of type {TOKEN_TYPE} and signed with {ALGORITHM}")
    key, signature = _token_key(trust, header.kid), _TOKEN.raw(parts.signature)
    try:
        key.verify(parts.signed, signature)
    except EvidenceError as error:
        raise _TOKEN.refused("token_signature", "its signature does not fit our key") from error
    claims = _decode(parts.claims, Claims, TOKEN_BYTES_MAX)
    if claims.iss != trust.origin:
        raise _TOKEN.refused("token_issuer", "another workspace issued it")
    if claims.aud != audience:
        raise _TOKEN.refused("token_audience", "it is meant for somebody else")
    _check_times(claims, now_ms // 1000)
    return claims


class TokenVerifier:
    """Tokens of one door. Verified JWTs are remembered until they expire or the trust root changes.

    `trust` answers with the trust root in force; a changed root is another object. Thread-safe: an entry is only ever
    added or dropped whole.
    """

    def __init__(self, trust: Callable[[], TrustRoot], workspace_key: bytes) -> None:
        self._trust = trust
        self._workspace_key = workspace_key
        self._verified: tuple[TrustRoot, dict[bytes, Claims]] | None = None

    def session_of(self, token: str, now_ms: int) -> str:
        """The session id of an authentic token of either form; EvidenceError `session_refused` or as `verify`."""
        if token.startswith(API_KEY_PREFIX):
            raise EvidenceError(
                "an API key opens no door: it is exchanged for a token",
                code="session_refused",
                next_step="send it to POST /v1/token as subject_token, and come back with what that answers",
            )
        if token.count(".") != 2:
            return session_id_of(token, self._workspace_key)
        trust = self._trust()
        verified = self._verified
        if verified is None or verified[0] is not trust:
            verified = self._verified = (trust, {})
        # Not read again: what this root vouches for must not land among the tokens of a later one.
        known = verified[1]
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = known.get(digest)
        if claims is None:
            claims = verify(token, trust, audience=door_audience(trust.origin), now_ms=now_ms)
            if len(known) >= VERIFIED_MAX:
                known.clear()
            known[digest] = claims
        _check_times(claims, now_ms // 1000)
        return claims.sid


def jwks(trust: TrustRoot) -> dict[str, Any]:
    """The public token keys valid now as a JSON Web Key Set (RFC 7517, RFC 8037), for whoever else reads our tokens."""
    return {
        "keys": [
            {
                "alg": ALGORITHM,
                "crv": "Ed25519",
                "kid": key.key_id,
                "kty": "OKP",
                "use": "sig",
                "x": compact.encoded(key.raw_public),
            }
            for key in trust.keys_for(KeyRole.TOKEN)
        ]
    }


def _check_times(claims: Claims, now: int) -> None:
    if not 0 < claims.exp - claims.iat <= LIFETIME_SECONDS_MAX or not claims.iat <= claims.nbf < claims.exp:
        raise _TOKEN.refused(
            "token_lifetime", f"it would live longer than {LIFETIME_SECONDS_MAX} seconds, or not at all"
        )
    if now >= claims.exp:
        raise _TOKEN.refused("token_expired", f"it expired {now - claims.exp} seconds ago")
    if claims.nbf > now + LEEWAY_SECONDS:
        raise _TOKEN.refused("token_early", "it is not valid yet")


def _token_key(trust: TrustRoot, key_id: str) -> VerifyKey:
    for key in trust.keys_for(KeyRole.TOKEN):
        if key.key_id == key_id:
            return key
    raise _TOKEN.refused("token_key", "it names no token key of ours that is valid now")


def _decode(part: str, shape: type[_Shape], most: int) -> _Shape:
    raw = _TOKEN.raw(part)
    if len(raw) > most:
        raise _TOKEN.refused("token_malformed", "a part of it is too long")
    code = "token_header" if shape is _Header else "token_malformed"
    try:
        return msgspec.convert(compact.members(raw), shape)
    except (ValueError, msgspec.ValidationError) as error:
        raise _TOKEN.refused(code, "its header or claims are not of our form") from error
