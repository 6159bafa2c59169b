"""Ed25519 keys (RFC 8032). A key id is the sha256 of its SubjectPublicKeyInfo, as cosign's managed-key hint uses.

A key id only ever *selects among keys the caller already trusts*; it never brings a key with it.
"""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex

SIGNATURE_BYTES = 64
_REPLACE = "re-create the key with `bywire init`, or restore it from where it is kept"


class VerifyKey:
    """The public half: verifies, and names itself."""

    def __init__(self, public: Ed25519PublicKey) -> None:
        self._public = public
        self.raw_public = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = sha256_hex(spki)

    @classmethod
    def from_hex(cls, raw_hex: str) -> "VerifyKey":
        """Build from 32 raw bytes in hex; EvidenceError `key_invalid` otherwise."""
        try:
            return cls(Ed25519PublicKey.from_public_bytes(bytes.fromhex(raw_hex)))
        except ValueError as error:
            raise EvidenceError("not an Ed25519 public key", code="key_invalid", next_step=_REPLACE) from error

    def verify(self, data: bytes, signature: bytes) -> None:
        """Raise EvidenceError `signature_invalid` unless `signature` is this key's over `data`."""
        try:
            self._public.verify(signature, data)
        except InvalidSignature as error:
            raise EvidenceError(
                "the signature does not fit the data and the trusted key",
                code="signature_invalid",
                next_step="do not use this document; ask its producer to sign it again",
            ) from error


class SigningKey:
    """The private half. It is never printed, pickled or compared."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = VerifyKey(private.public_key())

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """Build from 32 bytes of randomness that an adapter drew."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> "SigningKey":
        """Load PKCS#8 PEM; EvidenceError `key_invalid` when it is not an Ed25519 key or the passphrase is wrong."""
        try:
            private = serialization.load_pem_private_key(pem, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise EvidenceError("the key file cannot be read", code="key_invalid", next_step=_REPLACE) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise EvidenceError("the key file holds no Ed25519 key", code="key_invalid", next_step=_REPLACE)
        return cls(private)

    def to_pem(self, passphrase: bytes | None = None) -> bytes:
        """PKCS#8 PEM, encrypted when a passphrase is given."""
        protection: serialization.KeySerializationEncryption = (
            serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        )
        return self._private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)

    @property
    def key_id(self) -> str:
        """The id of the public half."""
        return self.public.key_id

    def sign(self, data: bytes) -> bytes:
        """Ed25519 signature, 64 bytes."""
        return self._private.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id[:12]})"
