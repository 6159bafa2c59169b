"""A token of somebody else's OIDC issuer, verified: who issued it, for whom, when, and what it claims (RFC 7519, 8725).

Which issuers there are, with which algorithms, keys and audience, is configuration. A token chooses among them by what
it says and brings nothing of its own: no key, no place of a key, no algorithm that the key is not for.
"""

from typing import Any

import msgspec

from bywire.identity import compact
from bywire.identity.oidc_keys import KEY_ID_CHARS_MAX, IssuerKeys
from bywire.model.gateway_issuers import Issuer

SUBJECT_TOKEN_BYTES_MAX = 16_384
CLAIM_CHARS_MAX = 1_024
ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
JWT, ID_TOKEN, ACCESS_TOKEN = (
    f"urn:ietf:params:oauth:token-type:{kind}" for kind in ("jwt", "id_token", "access_token")
)
# Beside these, thumbprints of a certificate may stand in a header: they name a key as `kid` does, and are not read.
_HEADER = frozenset({"alg", "kid", "typ"})
_THUMBPRINTS = frozenset({"x5t", "x5t#S256"})
_SECONDS_MAX = 2**40
_TOKEN = compact.Reading(
    "the subject token",
    SUBJECT_TOKEN_BYTES_MAX,
    "request a new token from its issuer, for this audience, and exchange that one",
)


class Subject(msgspec.Struct, frozen=True):
    """A verified token. Times are seconds since the epoch; `jti` is empty when it has none."""

    issuer: str
    subject: str
    claims: dict[str, Any]
    key_id: str
    issued_s: int
    expires_s: int
    jti: str


def key_asked_for(token: str) -> tuple[str, str]:
    """(issuer, key id) that a token names, both unverified: they only select among what is configured.

    Raises EvidenceError `token_malformed`, `token_header`, `token_issuer`.
    """
    parts = _TOKEN.parts(token)
    issuer = _members(parts.claims).get("iss")
    if not isinstance(issuer, str) or not 0 < len(issuer) <= CLAIM_CHARS_MAX:
        raise _TOKEN.refused("token_issuer", "it names no issuer")
    return issuer, _key_id(_header(parts))


def verify_subject(
    token: str, issuer: Issuer, keys: IssuerKeys, *, audience: str, token_type: str, now_ms: int
) -> Subject:
    """The claims of an authentic token of `issuer` that is valid now, for `audience` and for nobody else.

    1. Bound the size; three base64url parts, each in its one spelling. 2. The header holds nothing but algorithm, key
    id and type; the algorithm is one of the issuer's, the type one that is taken for this kind of token (RFC 8725, 3.1,
    3.10, 3.11). 3. The key is the issuer's own with that id, and for that algorithm (3.5). 4. The signature. 5. Only
    then the claims: issuer and audience exactly (3.8, 3.9), expiry, not before, issue and age.
    Raises EvidenceError `token_malformed`, `token_header`, `token_key`, `token_signature`, `token_issuer`,
    `token_audience`, `token_subject`, `token_lifetime`, `token_expired`, `token_early`, `token_old`.
    """
    parts = _TOKEN.parts(token)
    header = _header(parts)
    key_id = _key_id(header)
    if header.get("alg") not in issuer.algorithms:
        raise _TOKEN.refused("token_header", f"this issuer signs with {', '.join(issuer.algorithms)}")
    _check_type(header, issuer, token_type)
    if key_id in keys.ambiguous:
        raise _TOKEN.refused("token_key", "two keys of the issuer have its key id")
    key = keys.find(key_id)
    if key is None or key.algorithm != header["alg"]:
        raise _TOKEN.refused("token_key", "the issuer has no such key for this algorithm")
    if not key.verifies(parts.signed, _TOKEN.raw(parts.signature)):
        raise _TOKEN.refused("token_signature", "its signature does not fit the issuer's key")
    claims = _members(parts.claims)
    if claims.get("iss") != issuer.issuer:
        raise _TOKEN.refused("token_issuer", "another issuer signed it")
    if _audiences(claims) != (audience,):
        raise _TOKEN.refused("token_audience", f"it is not meant for {audience} alone")
    return _subject(claims, issuer, key_id, now_ms // 1000)


def _subject(claims: dict[str, Any], issuer: Issuer, key_id: str, now: int) -> Subject:
    subject, jti = claims.get("sub"), claims.get("jti", "")
    if not isinstance(subject, str) or not 0 < len(subject) <= CLAIM_CHARS_MAX:
        raise _TOKEN.refused("token_subject", "it names no subject")
    if not isinstance(jti, str) or len(jti) > CLAIM_CHARS_MAX:
        raise _TOKEN.refused("token_malformed", "its id is no text of bounded length")
    issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
    early = max(issued, _seconds(claims, "nbf") if "nbf" in claims else issued)
    if not issued < expires:
        raise _TOKEN.refused("token_lifetime", "it ends before it begins")
    if now >= expires:
        raise _TOKEN.refused("token_expired", f"it expired {now - expires} seconds ago")
    if early > now + issuer.leeway_seconds:
        raise _TOKEN.refused("token_early", "it is not valid yet")
    if now - issued > issuer.max_age_seconds:
        raise _TOKEN.refused("token_old", f"it was issued more than {issuer.max_age_seconds} seconds ago")
    return Subject(issuer.issuer, subject, claims, key_id, issued, expires, jti)


def _check_type(header: dict[str, Any], issuer: Issuer, token_type: str) -> None:
    typ = header.get("typ", "")
    if not isinstance(typ, str) or typ not in issuer.types:
        raise _TOKEN.refused("token_header", "this issuer's tokens are of another type")
    is_access_token = typ in ACCESS_TOKEN_TYPES
    if (token_type == ACCESS_TOKEN and not is_access_token) or (token_type == ID_TOKEN and is_access_token):
        raise _TOKEN.refused("token_header", "it is another kind of token than the request says")


def _audiences(claims: dict[str, Any]) -> tuple[Any, ...]:
    """Whom it is for. A token for several is one that each of them could bring here."""
    audience = claims.get("aud")
    return tuple(audience) if isinstance(audience, list) else (audience,)


def _seconds(claims: dict[str, Any], name: str) -> int:
    """A NumericDate, whole seconds."""
    value = claims.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _SECONDS_MAX:
        raise _TOKEN.refused("token_lifetime", f"its `{name}` is no time")
    return value


def _key_id(header: dict[str, Any]) -> str:
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_CHARS_MAX:
        raise _TOKEN.refused("token_header", "it names no key")
    return key_id


def _header(parts: compact.Compact) -> dict[str, Any]:
    try:
        header = compact.members(_TOKEN.raw(parts.header))
    except ValueError as error:
        raise _TOKEN.refused("token_header", str(error)) from error
    if not header.keys() <= _HEADER | _THUMBPRINTS:
        raise _TOKEN.refused("token_header", "its header says more than algorithm, key id and type")
    return header


def _members(part: str) -> dict[str, Any]:
    try:
        return compact.members(_TOKEN.raw(part))
    except ValueError as error:
        raise _TOKEN.refused("token_malformed", str(error)) from error
