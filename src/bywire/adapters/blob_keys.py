"""Data keys that blobs are sealed under: files beside the database, one a class and day (RULES 26).

AES-256-GCM with a random nonce; the associated data binds a blob to its digest and key, so that no row can stand in for
another. A key is on disk before anything is sealed under it, and is gone once destroyed: overwritten, synced, unlinked.
A copy-on-write or log-structured disk may keep old bytes until it reuses them; full-disk encryption covers that.
"""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bywire.adapters.directory_sync import sync_directory
from bywire.ledger.retention import DataKey
from bywire.model.errors import LedgerError

DIRECTORY = "blob-keys"
KEY_BYTES = 32
NONCE_BYTES = 12
NONCES_DRAWN = 256
TAG_BYTES = 16
_CHECK_BYTES = 8
_SUFFIX = ".key"


class BlobKeys:
    """The data keys in one directory. Reading needs none of them to exist; sealing makes the one it needs.

    One thread at a time seals with one object.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ciphers: dict[int, AESGCM] = {}
        self._nonces: list[bytes] = []

    @classmethod
    def beside(cls, database: Path) -> "BlobKeys":
        """The keys that belong to a database."""
        return cls(database.with_name(DIRECTORY))

    def seal(self, number: int, digest: bytes, content: bytes) -> bytes:
        """`content` as it is stored: nonce, ciphertext, tag.

        Raises LedgerError `blob_key_damaged`; OSError when a new key cannot be written.
        """
        # Drawn ahead: each draw hands the interpreter over to another thread, in the middle of a batch.
        if not self._nonces:
            drawn = os.urandom(NONCE_BYTES * NONCES_DRAWN)
            self._nonces = [drawn[at : at + NONCE_BYTES] for at in range(0, len(drawn), NONCE_BYTES)]
        nonce = self._nonces.pop()
        return nonce + self._sealing(number).encrypt(nonce, content, digest + number.to_bytes(8, "big"))

    def unseal(self, digest: object, number: object, stored: object) -> bytes | None:
        """The content of a blob's row, or None when its key is gone.

        A row that does not fit its key comes back as it is stored: its digest will not match, which is how a changed
        blob is told from a missing one. Never raises: SQLite calls it inside queries (as `unsealed`).
        """
        if not isinstance(stored, bytes):
            return stored.encode("utf-8", "replace") if isinstance(stored, str) else None
        if number is None:
            return stored
        if not stored:
            return None
        if not isinstance(number, int) or not isinstance(digest, bytes):
            return stored
        try:
            cipher = self._ciphers.get(number) or self._load(number)
            if cipher is None:
                return None
            return cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], digest + number.to_bytes(8, "big"))
        except (InvalidTag, ValueError, OverflowError):
            return stored
        except (OSError, LedgerError):
            return None

    def existing(self) -> tuple[DataKey, ...]:
        """The keys that are there, oldest first."""
        found = []
        for path in self._directory.glob(f"*{_SUFFIX}") if self._directory.is_dir() else ():
            with suppress(ValueError):
                found.append(DataKey.of_name(path.name.removesuffix(_SUFFIX)))
        return tuple(sorted(found, key=lambda key: key.number))

    def destroy(self, keys: Iterable[DataKey]) -> int:
        """Overwrite, sync and unlink each key that is there; how many were. Running it again finishes a part of it."""
        gone = 0
        for key in keys:
            self._ciphers.pop(key.number, None)
            try:
                descriptor = os.open(self._path(key), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                os.pwrite(descriptor, secrets.token_bytes(KEY_BYTES + _CHECK_BYTES), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._path(key).unlink()
            gone += 1
        if gone:
            sync_directory(self._directory)
        return gone

    def _sealing(self, number: int) -> AESGCM:
        cipher = self._ciphers.get(number) or self._load(number)
        if cipher is None:
            self._create(DataKey.of_number(number))
            cipher = self._load(number)
        if cipher is None:
            raise _damaged(self._directory)
        return cipher

    def _load(self, number: int) -> AESGCM | None:
        path = self._path(DataKey.of_number(number))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as stream:
            held = stream.read(KEY_BYTES + _CHECK_BYTES + 1)
        if len(held) != KEY_BYTES + _CHECK_BYTES or held[KEY_BYTES:] != _check(held[:KEY_BYTES]):
            raise _damaged(path)
        cipher = self._ciphers[number] = AESGCM(held[:KEY_BYTES])
        return cipher

    def _create(self, key: DataKey) -> None:
        """Write a new key whole and durably, unless another process was quicker."""
        drawn = secrets.token_bytes(KEY_BYTES)
        scratch = self._directory / f".{key.name}.{secrets.token_hex(8)}"
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self._directory.parent)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(drawn + _check(drawn))
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileExistsError):
                os.link(scratch, self._path(key))
        finally:
            scratch.unlink()
        sync_directory(self._directory)

    def _path(self, key: DataKey) -> Path:
        return self._directory / f"{key.name}{_SUFFIX}"


def _check(key: bytes) -> bytes:
    """Tells a damaged key file from one that never fitted."""
    return sha256(b"bywire data key" + key).digest()[:_CHECK_BYTES]


def _damaged(path: Path) -> LedgerError:
    return LedgerError(
        f"the data key {path.name} is damaged",
        code="blob_key_damaged",
        next_step=f"restore {path} from a backup; what is sealed under it cannot be read without",
    )
