"""Tokens of a Kubernetes service account, one for each action (TokenRequest, authentication.k8s.io/v1).

The gateway's own account needs `create` on `serviceaccounts/token` for this one account and no other right. The answer
is held against what was asked: a token for other audiences, or for longer than a day, is not used.
"""

from typing import Annotated

import msgspec

from bywire.adapters.credential_platform import CredentialPlatform, Minted
from bywire.model.gateway_credentials import ServiceAccountToken

API_VERSION = "authentication.k8s.io/v1"
LIFETIME_MS_MAX = 86_400_000


class _Spec(msgspec.Struct):
    audiences: tuple[str, ...] = ()


class _Status(msgspec.Struct, rename="camel"):
    token: Annotated[str, msgspec.Meta(min_length=1)]
    expiration_timestamp: str


class _TokenRequest(msgspec.Struct):
    kind: str
    status: _Status
    spec: _Spec = msgspec.field(default_factory=_Spec)


class ServiceAccountTokens:
    """Mints tokens of one service account."""

    def __init__(self, platform: CredentialPlatform, account: ServiceAccountToken) -> None:
        self._platform = platform
        self._account = account

    def mint(self, now_ms: int) -> Minted:
        """A token for one action. Raises TargetError `credential_unavailable`."""
        account, platform = self._account, self._platform
        path = f"/api/v1/namespaces/{account.namespace}/serviceaccounts/{account.service_account}/token"
        headers = {"Authorization": f"Bearer {platform.token(account.token)}"}
        answer = platform.ask("POST", path, headers, _asked(account), _TokenRequest)
        if answer.kind != "TokenRequest":
            raise platform.refused("what came is no TokenRequest")
        if account.audiences and set(answer.spec.audiences) != set(account.audiences):
            raise platform.refused("what came is for other audiences than was asked")
        expires_at_ms = platform.instant_ms(answer.status.expiration_timestamp)
        if expires_at_ms - now_ms > LIFETIME_MS_MAX:
            raise platform.refused("what came lives longer than a day", "see the API server's token limits")
        return platform.minted(answer.status.token, expires_at_ms, now_ms)


def _asked(account: ServiceAccountToken) -> bytes:
    spec: dict[str, object] = {"expirationSeconds": account.seconds}
    if account.audiences:
        spec["audiences"] = list(account.audiences)
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": "TokenRequest", "spec": spec})
