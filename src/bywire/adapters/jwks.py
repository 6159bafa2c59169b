"""The key set of one OIDC issuer, from the one place that the operator configured.

Fetched from a pinned origin without redirects, bounded in size, kept while it is fresh, and asked for again when a
token names a key that is not in it: that is how issuers rotate. Whoever sends unknown key ids cannot make it ask more
often than once in `jwks_retry_seconds`, and only one thread waits for the issuer. While it does not answer, what it
said last is believed up to a limit, and then nothing is.
"""

import threading
from pathlib import Path
from urllib.parse import urlsplit

from bywire.adapters.credential_platform import tls_context
from bywire.adapters.operator_secret import public_bytes, secret_text
from bywire.adapters.pinned_http import PinnedHttp, Resolve, parse_origin, resolved
from bywire.identity.oidc_keys import JWKS_BYTES_MAX, IssuerKeys, parse_jwks
from bywire.model.errors import BywireError, TargetError
from bywire.model.gateway_credentials import Found
from bywire.model.gateway_issuers import Issuer

TIMEOUT_SECONDS = 5.0
_NEXT = "try again shortly; if it stays so, check jwks_url, ca_file and private of the issuer in gateway.yaml"


class KeySet:
    """The keys of one issuer. Thread-safe."""

    def __init__(
        self, issuer: Issuer, *, resolve: Resolve = resolved, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Raises ConfigError `origin_invalid`, `ca_unreadable`."""
        self._issuer = issuer
        self._client = _client(issuer, resolve, timeout_seconds) if issuer.jwks_url else None
        self._lock = threading.Lock()
        self._kept: tuple[IssuerKeys, int] | None = None
        self._asked_ms: int | None = None
        self._failure = ""

    def keys(self, key_id: str, now_ms: int) -> IssuerKeys:
        """The issuer's keys, fetched when that is due. TargetError `jwks_unavailable`: there are none to believe."""
        if not self._is_enough(key_id, now_ms) and self._lock.acquire(blocking=False):
            try:
                if not self._is_enough(key_id, now_ms) and self._may_ask(now_ms):
                    self._ask(now_ms)
            finally:
                self._lock.release()
        kept = self._kept
        if kept is None or now_ms - kept[1] > self._believed_ms():
            raise TargetError(
                f"the keys of {self._issuer.issuer} are not known: {self._failure or 'they are being asked for'}",
                code="jwks_unavailable",
                next_step=_NEXT,
            )
        return kept[0]

    def _believed_ms(self) -> int:
        return max(self._issuer.jwks_stale_seconds, self._issuer.jwks_fresh_seconds) * 1000

    def _is_enough(self, key_id: str, now_ms: int) -> bool:
        kept = self._kept
        if kept is None or now_ms - kept[1] > self._issuer.jwks_fresh_seconds * 1000:
            return False
        return kept[0].find(key_id) is not None

    def _may_ask(self, now_ms: int) -> bool:
        return self._asked_ms is None or now_ms - self._asked_ms >= self._issuer.jwks_retry_seconds * 1000

    def _ask(self, now_ms: int) -> None:
        self._asked_ms = now_ms
        try:
            self._kept = (parse_jwks(self._fetched(), self._issuer.algorithms), now_ms)
            self._failure = ""
        except (BywireError, TimeoutError) as error:
            # Kept for whoever asks: what was believed before is believed a while longer, and then nothing.
            self._failure = str(error)

    def _fetched(self) -> bytes:
        if self._client is None:
            return public_bytes(Path(self._issuer.jwks_file), JWKS_BYTES_MAX)
        parts = urlsplit(self._issuer.jwks_url)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        headers = {"Accept": "application/jwk-set+json, application/json", "User-Agent": "bywire"}
        if self._issuer.jwks_token_file:
            token = secret_text(Found(token_file=self._issuer.jwks_token_file))
            headers["Authorization"] = f"Bearer {token}"
        with self._client.exchange("GET", path, headers, None) as exchange:
            if exchange.status != 200:
                raise TargetError(f"the answer was {exchange.status}", code="jwks_unavailable", next_step=_NEXT)
            return b"".join(exchange.parts(JWKS_BYTES_MAX))


def _client(issuer: Issuer, resolve: Resolve, timeout_seconds: float) -> PinnedHttp:
    parts = urlsplit(issuer.jwks_url)
    origin = parse_origin(f"{parts.scheme}://{parts.netloc}", private=issuer.private)
    return PinnedHttp(origin, resolve=resolve, context=tls_context(issuer.ca_file), timeout_seconds=timeout_seconds)
