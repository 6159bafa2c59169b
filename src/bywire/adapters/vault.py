"""Secrets of a HashiCorp Vault KV version 2 engine, read for one action or kept for a few seconds.

The API: GET /v1/MOUNT/data/PATH with `X-Vault-Token`; the values are in `data.data`. A secret that was deleted or
destroyed is none. A value is kept no longer than its lease, and only while it is configured to be kept at all.
"""

import threading
from typing import Any
from urllib.parse import quote

import msgspec

from bywire.adapters.credential_platform import CredentialPlatform, Minted
from bywire.model.gateway_credentials import VaultSecret

USE_MS = 60_000


class _Metadata(msgspec.Struct):
    destroyed: bool = False
    deletion_time: str = ""


class _Secret(msgspec.Struct):
    data: dict[str, Any] | None = None
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Answer(msgspec.Struct):
    data: _Secret
    lease_duration: int = 0


class VaultKv:
    """One field of one secret. Thread-safe; it keeps at most this one value."""

    def __init__(self, platform: CredentialPlatform, secret: VaultSecret) -> None:
        self._platform = platform
        self._secret = secret
        self._kept: tuple[Minted, int] | None = None
        self._lock = threading.Lock()

    def value(self, now_ms: int) -> Minted:
        """The secret's value now. Raises TargetError `credential_unavailable`."""
        with self._lock:
            kept = self._kept
        if kept is not None and now_ms < min(kept[1] + self._secret.cache_seconds * 1000, kept[0].expires_at_ms):
            return kept[0]
        found = self._read(now_ms)
        if self._secret.cache_seconds:
            with self._lock:
                self._kept = (found, now_ms)
        return found

    def _read(self, now_ms: int) -> Minted:
        secret, platform = self._secret, self._platform
        headers = {"X-Vault-Token": platform.token(secret.token), "X-Vault-Request": "true"}
        if secret.namespace:
            headers["X-Vault-Namespace"] = secret.namespace
        path = f"/v1/{quote(secret.mount)}/data/{quote(secret.path)}"
        answer = platform.ask("GET", path, headers, None, _Answer)
        found = answer.data
        if found.data is None or found.metadata.destroyed or found.metadata.deletion_time:
            raise platform.refused("its current version was deleted", "write a new version of the secret")
        value = found.data.get(secret.field)
        if not isinstance(value, str):
            raise platform.refused(f"the secret has no text in {secret.field}", "correct `field` in gateway.yaml")
        lease_ms = answer.lease_duration * 1000
        return platform.minted(value, now_ms + (lease_ms if 0 < lease_ms < USE_MS else USE_MS), now_ms)
