"""ES256 (RFC 7518, 3.4: ECDSA on P-256 with SHA-256), for signatures that others' programs verify.

Open Policy Agent knows no Ed25519 for bundles. Nothing of our own is verified with such a key: no trust root names one.
"""

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex

ALGORITHM = "ES256"
_COORDINATE_BYTES = 32


class Es256Key:
    """The private half. It is never printed, pickled or compared."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        public = private.public_key()
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        self.key_id = sha256_hex(public.public_bytes(serialization.Encoding.DER, spki))
        self.public_pem = public.public_bytes(serialization.Encoding.PEM, spki).decode()

    @classmethod
    def from_pem(cls, pem: bytes) -> "Es256Key":
        """Load PKCS#8 PEM without a passphrase. Raises EvidenceError `key_invalid` for anything but a P-256 key."""
        try:
            private = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
            raise _no_key() from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise _no_key()
        return cls(private)

    def to_pem(self) -> bytes:
        """PKCS#8 PEM."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, data: bytes) -> bytes:
        """R and S, 32 bytes each; the same for the same data (RFC 6979)."""
        r, s = decode_dss_signature(self._private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        return r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES)

    def __repr__(self) -> str:
        return f"Es256Key({self.key_id[:12]})"


def _no_key() -> EvidenceError:
    return EvidenceError(
        "the key file holds no P-256 key", code="key_invalid", next_step="move it away: another one is then made"
    )
