"""Installation tokens of a GitHub App, one for each action, with no more rights than its tool needs.

The app's JWT (RS256) lives for ten minutes at most and is used once, for POST /app/installations/ID/access_tokens.
GitHub grants all that the app has when it is not told otherwise, so what came back is held against what was asked.
"""

from pathlib import Path
from typing import Annotated

import msgspec

from bywire.adapters.credential_platform import CredentialPlatform, Minted
from bywire.adapters.operator_secret import secret_bytes
from bywire.identity.oidc_keys import rs256
from bywire.model.errors import BywireError
from bywire.model.gateway_credentials import AppToken
from bywire.seal import jcs

API_VERSION = "2022-11-28"
# GitHub takes ten minutes from now; its clock may be behind ours.
BACKDATED_SECONDS, LIFETIME_SECONDS = 60, 540
TOKEN_LIFETIME_MS_MAX = 3_900_000
_ORDER = {"read": 1, "write": 2, "admin": 3}
# GitHub adds it to every token.
_ALWAYS = {"metadata": "read"}


class _Repository(msgspec.Struct):
    name: str


class _Answer(msgspec.Struct):
    token: Annotated[str, msgspec.Meta(min_length=1)]
    expires_at: str
    permissions: dict[str, str]
    repository_selection: str = ""
    repositories: tuple[_Repository, ...] = ()


class InstallationTokens:
    """Mints tokens of one installation."""

    def __init__(self, platform: CredentialPlatform, app: AppToken) -> None:
        self._platform = platform
        self._app = app

    def mint(self, tool: str, now_ms: int) -> Minted:
        """A token for one action of this tool. Raises TargetError `credential_unavailable`."""
        app, platform = self._app, self._platform
        asked = app.permissions_for(tool)
        headers = {
            "Authorization": f"Bearer {self._jwt(now_ms)}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
        }
        body = msgspec.json.encode({"repositories": list(app.repositories), "permissions": asked})
        answer = platform.ask("POST", f"/app/installations/{app.installation_id}/access_tokens", headers, body, _Answer)
        allowed = _ALWAYS | asked
        for name, level in answer.permissions.items():
            if _ORDER.get(level, 4) > _ORDER.get(allowed.get(name, ""), 0):
                raise platform.refused("what came has more rights than was asked", "look at the app's installation")
        named = {repository.name.lower() for repository in answer.repositories}
        if answer.repository_selection != "selected" or not named <= {name.lower() for name in app.repositories}:
            raise platform.refused("what came is for more repositories than was asked")
        expires_at_ms = platform.instant_ms(answer.expires_at)
        if expires_at_ms - now_ms > TOKEN_LIFETIME_MS_MAX:
            raise platform.refused("what came lives longer than GitHub's tokens do")
        return platform.minted(answer.token, expires_at_ms, now_ms)

    def _jwt(self, now_ms: int) -> str:
        now, app = now_ms // 1000, self._app
        claims = {"iss": app.app_id, "iat": now - BACKDATED_SECONDS, "exp": now + LIFETIME_SECONDS}
        try:
            return rs256(secret_bytes(Path(app.private_key_file)), jcs.canonical(claims))
        except BywireError as error:
            raise self._platform.refused(error.message, error.next_step) from error
