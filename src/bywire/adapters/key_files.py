"""Keys as files of the operator directory: one PEM a role and principal, 0600, never inside a repository.

Builds, tests and the service never see this directory (the sandbox covers it). An approver's key may carry a passphrase
so that a process of the same user cannot use it either.
"""

import secrets
from collections.abc import Callable

from bywire.adapters.operator_dir import OperatorDirectory
from bywire.identity.trust import TrustedKey, TrustRoot, parse_trust_root
from bywire.model.errors import ConfigError
from bywire.model.principal import KeyRole
from bywire.seal.keys import SigningKey

TRUST_FILE = "trust.json"
WORKSPACE_KEY_FILE = "keys/workspace.key"
WORKSPACE_KEY_BYTES = 32
_ENCRYPTED = b"ENCRYPTED PRIVATE KEY"


class KeyFiles:
    """The keys of one workspace."""

    def __init__(self, directory: OperatorDirectory) -> None:
        self._directory = directory

    def create(self, role: KeyRole, principal: str, owner: str = "", passphrase: bytes | None = None) -> TrustedKey:
        """Draw a new key, store it, and return its trust entry. Refuses to overwrite: ConfigError `key_exists`."""
        name = _file(role, principal)
        if (self._directory.path / name).exists():
            raise ConfigError(
                f"{name} exists already", code="key_exists", next_step="keep it, or move it away to replace it"
            )
        key = SigningKey.from_seed(secrets.token_bytes(32))
        self._directory.write(name, key.to_pem(passphrase))
        return TrustedKey(
            key_id=key.key_id, role=role, principal=principal, public=key.public.raw_public.hex(), owner=owner
        )

    def load(self, role: KeyRole, principal: str, passphrase: Callable[[], bytes] | None = None) -> SigningKey:
        """The signing key of one role and principal; asks for a passphrase only when the file needs one."""
        pem = self._directory.read(_file(role, principal))
        return SigningKey.from_pem(pem, passphrase() if passphrase and _ENCRYPTED in pem else None)

    def holds(self, role: KeyRole, principal: str) -> bool:
        """Whether that key lies here without a passphrase."""
        path = self._directory.path / _file(role, principal)
        return path.exists() and _ENCRYPTED not in self._directory.read(_file(role, principal))

    def create_workspace_key(self) -> None:
        """Draw the HMAC key of this workspace, once."""
        if not (self._directory.path / WORKSPACE_KEY_FILE).exists():
            self._directory.write(WORKSPACE_KEY_FILE, secrets.token_bytes(WORKSPACE_KEY_BYTES))

    def workspace_key(self) -> bytes:
        """The HMAC key of this workspace."""
        return self._directory.read(WORKSPACE_KEY_FILE)

    def trust(self) -> TrustRoot:
        """The workspace's trust root."""
        return parse_trust_root(self._directory.read(TRUST_FILE))

    def save_trust(self, root: TrustRoot) -> None:
        """Write the trust root; public keys only."""
        self._directory.write(TRUST_FILE, root.to_bytes())


def _file(role: KeyRole, principal: str) -> str:
    return f"keys/{role}--{principal.replace(':', '-')}.pem"
