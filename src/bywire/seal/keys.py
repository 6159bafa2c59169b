"""Ed25519 keys (RFC 8032). A key id is the sha256 of its SubjectPublicKeyInfo, as cosign's managed-key hint uses.

A key id only ever *selects among keys the caller already trusts*; it never brings a key with it. Which algorithm a key
verifies with is part of the trusted key, never of the signature: plain Ed25519, or Ed25519 on a FIDO token.
"""

from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex
from bywire.seal.ssh_wire import SK_ED25519, string

SIGNATURE_BYTES = 64
SK_SIGNATURE_BYTES = SIGNATURE_BYTES + 5
_USER_PRESENT = 0x01
# y of the eight points whose order divides 8: under such a "key" signatures verify that nobody made.
_FIELD = 2**255 - 19
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_WEAK_Y = frozenset({0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y})
_REPLACE = "re-create the key with `bywire init`, or restore it from where it is kept"


class Signer(Protocol):
    """Whatever signs for one key: the key itself, or an agent or token that holds it."""

    @property
    def key_id(self) -> str:
        """The id of the key."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`, in the form that the trusted key verifies."""
        ...


class VerifyKey:
    """The public half: verifies, and names itself."""

    def __init__(self, public: Ed25519PublicKey) -> None:
        self._public = public
        self.raw_public = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = sha256_hex(spki)

    @classmethod
    def from_hex(cls, raw_hex: str) -> "VerifyKey":
        """Build from 32 raw bytes in hex; EvidenceError `key_invalid` otherwise.

        A point of small order, and one in a second spelling (y not below 2**255 - 19), is no key either.
        """
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(raw_hex))
        except ValueError as error:
            raise _no_key() from error
        y = int.from_bytes(bytes.fromhex(raw_hex), "little") & ((1 << 255) - 1)
        if y >= _FIELD or y in _WEAK_Y:
            raise _no_key()
        return cls(public)

    def verify(self, data: bytes, signature: bytes) -> None:
        """Raise EvidenceError `signature_invalid` unless `signature` is this key's over `data`."""
        try:
            self._public.verify(signature, data)
        except InvalidSignature as error:
            raise _unfit("the signature does not fit the data and the trusted key") from error


class SkVerifyKey(VerifyKey):
    """Ed25519 on a FIDO token (OpenSSH PROTOCOL.u2f, sk-ssh-ed25519): somebody touched it for each signature.

    A signature is 64 bytes of Ed25519, one byte of flags and a 4-byte counter; it covers SHA-256(application), flags,
    counter and SHA-256(data). The counter is not compared with earlier ones. The id is the sha256 of the OpenSSH key
    blob, so that the same point as a plain Ed25519 key is another key.
    """

    def __init__(self, public: Ed25519PublicKey, application: str) -> None:
        super().__init__(public)
        self._application = sha256(application.encode()).digest()
        self.key_id = sha256_hex(string(SK_ED25519) + string(self.raw_public) + string(application.encode()))

    def verify(self, data: bytes, signature: bytes) -> None:
        """Raise EvidenceError `signature_invalid` unless the token signed `data` while somebody touched it."""
        if len(signature) != SK_SIGNATURE_BYTES:
            raise _unfit("the signature is not that of a security key")
        flags_and_counter = signature[SIGNATURE_BYTES:]
        if not flags_and_counter[0] & _USER_PRESENT:
            raise _unfit("nobody touched the security key for this signature")
        covered = self._application + flags_and_counter + sha256(data).digest()
        super().verify(covered, signature[:SIGNATURE_BYTES])


def verify_key(public_hex: str, application: str = "") -> VerifyKey:
    """The key of a trust entry: a FIDO token's when it names an application. EvidenceError `key_invalid`."""
    plain = VerifyKey.from_hex(public_hex)
    return SkVerifyKey(Ed25519PublicKey.from_public_bytes(plain.raw_public), application) if application else plain


def _no_key() -> EvidenceError:
    return EvidenceError("not an Ed25519 public key", code="key_invalid", next_step=_REPLACE)


def _unfit(why: str) -> EvidenceError:
    return EvidenceError(
        why, code="signature_invalid", next_step="do not use this document; ask its producer to sign it again"
    )


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
        except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
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
