"""Keys as files of the operator directory: one PEM a role and principal, 0600, never inside a repository.

Builds, tests and the service never see this directory (the sandbox covers it). An approver's key may carry a passphrase
so that a process of the same user cannot use it either.

A key is replaced in steps that may be cut short anywhere: the new one is written beside the old one, under a name that
holds its id, and takes its place only when the trust root has retired the old one.
"""

import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bywire.adapters.operator_dir import OperatorDirectory
from bywire.identity.trust import KIND_OF_ROLE, TrustedKey, TrustRoot, check_trust_root, is_principal, parse_trust_root
from bywire.model.errors import ConfigError
from bywire.model.principal import KeyRole
from bywire.seal.keys import SigningKey

TRUST_FILE = "trust.json"
WORKSPACE_KEY_FILE = "keys/workspace.key"
WORKSPACE_KEY_BYTES = 32
KEY_BYTES_MAX = 16_384
_GROUP_OR_WORLD = stat.S_IRWXG | stat.S_IRWXO
_ENCRYPTED = b"ENCRYPTED PRIVATE KEY"
# `<key>~<its id>-<id it follows>.pem`; no principal has a tilde in its name.
_NEXT = "~"
_ID_SHOWN = 16
_RESTORE = "restore it from a backup of the operator directory"


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
        return _entry(key, role, principal, owner)

    def obtain(self, role: KeyRole, principal: str, owner: str = "") -> TrustedKey:
        """The trust entry of the key that lies here; drawn when there is none."""
        if self.exists(role, principal):
            return _entry(self.load(role, principal), role, principal, owner)
        return self.create(role, principal, owner)

    def draw_successor(
        self, role: KeyRole, principal: str, follows: str, owner: str = "", passphrase: bytes | None = None
    ) -> TrustedKey:
        """Draw the key that is to follow the one with id `follows` (or none); it lies beside it until `swap_in`."""
        for leftover in self._successors(role, principal):
            leftover.path.unlink()
        key = SigningKey.from_seed(secrets.token_bytes(32))
        name = f"keys/{_name(role, principal)}{_NEXT}{key.key_id[:_ID_SHOWN]}-{follows[:_ID_SHOWN]}.pem"
        self._directory.write(name, key.to_pem(passphrase))
        return _entry(key, role, principal, owner)

    def trusted_successor(self, role: KeyRole, principal: str, trust: TrustRoot) -> TrustedKey | None:
        """A key to follow that the trust root lists already: what a replacement that was cut short left behind."""
        drawn = {successor.key_id for successor in self._successors(role, principal)}
        return next((key for key in trust.holding(role, principal) if key.key_id[:_ID_SHOWN] in drawn), None)

    def unfinished(self, trust: TrustRoot) -> tuple[TrustedKey, ...]:
        """Keys whose predecessors `trust` has retired, and that are not in place yet."""
        valid = {key.key_id[:_ID_SHOWN]: key for key in trust.keys if key.valid_at(None)}
        return tuple(
            valid[found.key_id]
            for found in self._successors()
            if found.key_id in valid
            and found.follows not in valid
            and found.path.stem.partition(_NEXT)[0] == _name(valid[found.key_id].role, valid[found.key_id].principal)
        )

    def swap_in(self, entry: TrustedKey) -> None:
        """Put a successor in the place of the key it follows."""
        for found in self._successors(entry.role, entry.principal):
            if found.key_id == entry.key_id[:_ID_SHOWN]:
                self._directory.write(_file(entry.role, entry.principal), found.path.read_bytes())
                found.path.unlink()

    def _successors(self, role: KeyRole | None = None, principal: str = "") -> tuple["_Successor", ...]:
        stem = _name(role, principal) if role else "*"
        found = sorted((self._directory.path / "keys").glob(f"{stem}{_NEXT}*.pem"))
        return tuple(_Successor(path, *path.stem.partition(_NEXT)[2].partition("-")[::2]) for path in found)

    def load(self, role: KeyRole, principal: str, passphrase: Callable[[], bytes] | None = None) -> SigningKey:
        """The signing key of one role and principal; asks for a passphrase only when the file needs one."""
        pem = self._read_private(_file(role, principal))
        return SigningKey.from_pem(pem, passphrase() if passphrase and _ENCRYPTED in pem else None)

    def protect(self, role: KeyRole, principal: str, passphrase: bytes, old: Callable[[], bytes]) -> None:
        """Encrypt a key file with a passphrase; ask for the old one when it has one already."""
        key = self.load(role, principal, old)
        self._directory.write(_file(role, principal), key.to_pem(passphrase))

    def exists(self, role: KeyRole, principal: str) -> bool:
        """Whether that key lies here."""
        return (self._directory.path / _file(role, principal)).exists()

    def holds(self, role: KeyRole, principal: str) -> bool:
        """Whether that key lies here without a passphrase."""
        path = self._directory.path / _file(role, principal)
        return path.exists() and _ENCRYPTED not in self._directory.read(_file(role, principal))

    def discard_untrusted(self) -> None:
        """Remove the keys of an initialisation that was cut short. Only where no trust root ever named them."""
        if not (self._directory.path / TRUST_FILE).exists():
            for leftover in (self._directory.path / "keys").glob("*.pem"):
                leftover.unlink()

    def create_workspace_key(self) -> None:
        """Draw the HMAC key of this workspace, once."""
        if not (self._directory.path / WORKSPACE_KEY_FILE).exists():
            self._directory.write(WORKSPACE_KEY_FILE, secrets.token_bytes(WORKSPACE_KEY_BYTES))

    def workspace_key(self) -> bytes:
        """The HMAC key of this workspace."""
        key = self._read_private(WORKSPACE_KEY_FILE)
        if len(key) != WORKSPACE_KEY_BYTES:
            raise ConfigError(f"{WORKSPACE_KEY_FILE} is damaged", code="key_invalid", next_step=_RESTORE)
        return key

    def replace_workspace_key(self) -> None:
        """Draw another HMAC key: tokens and redacted digests made with the old one fit no more."""
        self._directory.write(WORKSPACE_KEY_FILE, secrets.token_bytes(WORKSPACE_KEY_BYTES))

    def trust(self) -> TrustRoot:
        """The workspace's trust root."""
        return parse_trust_root(self._directory.read(TRUST_FILE))

    def trust_stamp(self) -> tuple[int, int, int]:
        """Changes whenever the trust root's file does: it is only ever replaced whole. ConfigError `trust_missing`."""
        found = self._directory.stamp(TRUST_FILE)
        if found is None:
            raise ConfigError(f"{TRUST_FILE} is gone", code="trust_missing", next_step=_RESTORE)
        return found

    def save_trust(self, root: TrustRoot) -> None:
        """Write the trust root; public keys only. EvidenceError `trust_invalid`: what nobody could read is not kept."""
        check_trust_root(root)
        self._directory.write(TRUST_FILE, root.to_bytes())

    def _read_private(self, name: str) -> bytes:
        """A file that only its owner may read: ConfigError `key_exposed` when others could have, too (RULES 3)."""
        if not (self._directory.path / name).exists():
            raise ConfigError(f"there is no {name} in {self._directory.path}", code="key_missing", next_step=_RESTORE)
        secret = self._directory.read(name)
        if (self._directory.path / name).stat().st_mode & _GROUP_OR_WORLD:
            raise ConfigError(
                f"{name} is readable by others",
                code="key_exposed",
                next_step="make a new key: others may know this one; then chmod 600 what you keep",
            )
        return secret


def draw_id() -> str:
    """32 hex digits of randomness: a nonce, the id of a token."""
    return secrets.token_hex(16)


def draw_secret() -> str:
    """32 bytes of randomness in base64url, 43 characters: what nobody guesses."""
    return secrets.token_urlsafe(32)


def read_key_file(path: Path, passphrase: Callable[[], bytes]) -> SigningKey:
    """A key that its person keeps outside the workspace. Asks for a passphrase only when the file needs one."""
    pem = path.read_bytes()[:KEY_BYTES_MAX]
    return SigningKey.from_pem(pem, passphrase() if _ENCRYPTED in pem else None)


class _Successor(NamedTuple):
    path: Path
    key_id: str
    follows: str


def _entry(key: SigningKey, role: KeyRole, principal: str, owner: str) -> TrustedKey:
    return TrustedKey(
        key_id=key.key_id, role=role, principal=principal, public=key.public.raw_public.hex(), owner=owner
    )


def _file(role: KeyRole, principal: str) -> str:
    return f"keys/{_name(role, principal)}.pem"


def _name(role: KeyRole, principal: str) -> str:
    if not is_principal(principal, KIND_OF_ROLE[role]):
        raise ConfigError(
            f"{principal!r} cannot hold a key of role {role}",
            code="principal_malformed",
            next_step="name a principal as kind:name, such as person:alice, in letters, digits and .-_@+",
        )
    return f"{role}--{principal.replace(':', '-')}"
