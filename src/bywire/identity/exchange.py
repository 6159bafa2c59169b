"""Token exchange (RFC 8693): what a request asks for, how it may be refused, and how often anybody may ask.

A subject token is somebody else's word for who asks, or an API key; what comes back is a short token of this workspace.
An API key is good for nothing else.
"""

import hashlib
import hmac
import re
import threading
from collections import OrderedDict
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec

from bywire.identity.oidc import ACCESS_TOKEN, ID_TOKEN, JWT, SUBJECT_TOKEN_BYTES_MAX
from bywire.model.errors import BywireError, EvidenceError

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
API_KEY = "urn:bywire:api-key"
SUBJECT_TYPES = frozenset({JWT, ID_TOKEN, ACCESS_TOKEN, API_KEY})
ISSUED_TYPE = ACCESS_TOKEN
FORM_TYPE = "application/x-www-form-urlencoded"
REQUEST_BYTES_MAX = 32_768
FIELDS_MAX = 16
API_KEY_PREFIX = "bwk_"
MINUTE_MS = 60_000
_API_KEY = re.compile(r"bwk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_SCOPE = re.compile(r"agent:[a-z0-9][a-z0-9._-]{0,62}")
_NOT_TAKEN = ("actor_token", "actor_token_type", "client_assertion", "resource")
_DOCS = "docs/gateway.md shows a request that works"


class RequestError(BywireError):
    """A request that is refused in the words of RFC 6749, 5.2: `error` is what goes over the wire."""

    code = "invalid_parameters"

    def __init__(self, error: str, message: str, *, next_step: str = _DOCS) -> None:
        super().__init__(message, next_step=next_step)
        self.error = error


class ExchangeRequest(msgspec.Struct, frozen=True):
    """What is asked: `agent` is the one that `scope` names, or empty."""

    subject_token: Annotated[str, msgspec.Meta(min_length=1, max_length=SUBJECT_TOKEN_BYTES_MAX)]
    subject_token_type: str
    agent: str = ""

    def __repr__(self) -> str:
        return f"ExchangeRequest({self.subject_token_type!r})"


def parse_request(body: bytes, content_type: str, audience: str) -> ExchangeRequest:
    """The request in a form (RFC 8693, 2.1) for a token with this audience. Raises RequestError.

    Each parameter stands there once (RFC 6749, 3.2). Delegation and client authentication are not taken, and refused
    rather than passed over: who sends them expects them to count.
    """
    fields = _fields(body, content_type)
    if fields.get("grant_type") != GRANT_TYPE:
        kind = "unsupported_grant_type" if "grant_type" in fields else "invalid_request"
        raise RequestError(kind, f"grant_type must be {GRANT_TYPE}")
    for name in _NOT_TAKEN:
        if name in fields:
            kind = "invalid_target" if name == "resource" else "invalid_request"
            raise RequestError(kind, f"{name} is not taken here")
    if fields.get("audience", audience) != audience:
        raise RequestError("invalid_target", f"tokens are issued for {audience} alone")
    if fields.get("requested_token_type", ISSUED_TYPE) not in {ACCESS_TOKEN, JWT}:
        raise RequestError("invalid_request", f"requested_token_type must be {ISSUED_TYPE}")
    kind, token, agent = (fields.get(name, "") for name in ("subject_token_type", "subject_token", "scope"))
    if kind not in SUBJECT_TYPES:
        raise RequestError("invalid_request", f"subject_token_type must be one of {', '.join(sorted(SUBJECT_TYPES))}")
    if not 0 < len(token) <= SUBJECT_TOKEN_BYTES_MAX or not token.isascii():
        raise RequestError("invalid_request", "subject_token is missing or too long")
    if agent and _SCOPE.fullmatch(agent) is None:
        raise RequestError("invalid_scope", "scope names one agent, such as agent:deploy-bot")
    return ExchangeRequest(token, kind, agent)


def api_key_of(text: str) -> str:
    """The id in an API key. EvidenceError `token_api_key` when it is not of that form."""
    found = _API_KEY.fullmatch(text)
    if found is None:
        raise refused_key()
    return found[1]


def api_key(key_id: str, secret: str) -> str:
    """An API key, from 12 hex digits and 32 random bytes in base64url; shown once and never kept."""
    text = f"{API_KEY_PREFIX}{key_id}_{secret}"
    if _API_KEY.fullmatch(text) is None:
        raise ValueError("not the parts of an API key")
    return text


def mac(workspace_key: bytes, kind: str, text: str) -> bytes:
    """A keyed digest, so that what is kept or logged gives nothing away that could be tried or compared elsewhere."""
    message = f"exchange\x00{kind}\x00".encode() + text.encode("utf-8", "surrogatepass")
    return hmac.new(workspace_key, message, hashlib.sha256).digest()


def same(presented: bytes, kept: bytes | None) -> bool:
    """Whether two digests are equal, in the same time for every difference and for none to compare with."""
    return hmac.compare_digest(presented, bytes(len(presented)) if kept is None else kept) and kept is not None


def refused_key() -> EvidenceError:
    """One answer to every API key that is not good: unknown, wrong, expired and revoked look alike."""
    return EvidenceError(
        "the API key is not one of ours, or has ended",
        code="token_api_key",
        next_step="have the operator look: bywire agents api-key list",
    )


class Rates:
    """How often each name did something in the last minute, for at most `remembered` names. Thread-safe.

    The least recently seen name is forgotten first: many names cost those who send them their own memory.
    """

    def __init__(self, per_minute: int, remembered: int, period_ms: int = MINUTE_MS) -> None:
        self._most = per_minute
        self._remembered = remembered
        self._period_ms = period_ms
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, name: str, now_ms: int) -> bool:
        """Count one more; False when there was none left."""
        with self._lock:
            now, (period, count) = now_ms // self._period_ms, self._seen.get(name, (0, 0))
            count = count if period == now else 0
            self._seen[name] = (now, min(count, self._most) + 1)
            self._seen.move_to_end(name)
            if len(self._seen) > self._remembered:
                self._seen.popitem(last=False)
            return count < self._most


def _fields(body: bytes, content_type: str) -> dict[str, str]:
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        raise RequestError("invalid_request", f"the request must be {FORM_TYPE}")
    if len(body) > REQUEST_BYTES_MAX:
        raise RequestError("invalid_request", f"the request has more than {REQUEST_BYTES_MAX} bytes")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as error:
        raise RequestError("invalid_request", "the request is no form of a few fields") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RequestError("invalid_request", "a parameter is there twice")
    return {name: value for name, value in fields.items() if value}
