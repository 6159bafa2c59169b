"""The keys of an OIDC issuer, from its own key set (RFC 7517, RFC 7518, RFC 8037), each for one algorithm.

A token only ever *selects* among them by id. What a key verifies with is part of the key, never of the token: three
signature algorithms, no MAC, no `none`. A key set that could be read in two ways gives no key for the id in doubt.
"""

import re
from collections.abc import Collection
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bywire.identity import compact
from bywire.model.errors import EvidenceError
from bywire.seal.keys import VerifyKey

RS256, ES256, EDDSA = "RS256", "ES256", "EdDSA"
ALGORITHMS = (RS256, ES256, EDDSA)
JWKS_BYTES_MAX = 262_144
JWKS_KEYS_MAX = 128
KEY_ID_CHARS_MAX = 256
RSA_BITS = range(2_048, 8_193)
RSA_EXPONENT = 65_537
_COORDINATE_BYTES = 32
_RS256_HEADER = b'{"alg":"RS256","typ":"JWT"}'
_FIX = "look at the key set that `issuers` of gateway.yaml names"


class IssuerKey:
    """One public key, and the one algorithm it verifies with."""

    def __init__(self, algorithm: str, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | VerifyKey) -> None:
        self.algorithm = algorithm
        self._public = public

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `data`."""
        try:
            if isinstance(self._public, rsa.RSAPublicKey):
                self._public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
            elif isinstance(self._public, ec.EllipticCurvePublicKey):
                self._public.verify(_der(signature), data, ec.ECDSA(hashes.SHA256()))
            else:
                self._public.verify(data, signature)
        except (InvalidSignature, EvidenceError, ValueError):
            return False
        return True


class IssuerKeys:
    """The usable keys of one key set by id. `ambiguous` ids belong to two keys, which are both out of use."""

    def __init__(self, keys: dict[str, IssuerKey], ambiguous: frozenset[str] = frozenset()) -> None:
        self._keys = keys
        self.ambiguous = ambiguous

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key_id: str) -> IssuerKey | None:
        """The key with this id, or None."""
        return self._keys.get(key_id)


def parse_jwks(raw: bytes, algorithms: Collection[str]) -> IssuerKeys:
    """The keys of a JSON Web Key Set that verify with one of `algorithms`; what is of no use here is passed over.

    Raises EvidenceError `jwks_invalid` for what is no key set, is too large, or holds no usable key.
    """
    if len(raw) > JWKS_BYTES_MAX:
        raise _refused(f"has more than {JWKS_BYTES_MAX} bytes")
    try:
        entries = compact.members(raw).get("keys")
    except ValueError as error:
        raise _refused("is not JSON that has one reading") from error
    if not isinstance(entries, list) or len(entries) > JWKS_KEYS_MAX:
        raise _refused(f"is no list of at most {JWKS_KEYS_MAX} keys")
    keys: dict[str, IssuerKey] = {}
    ambiguous: set[str] = set()
    for entry in entries:
        key = _key(entry, algorithms)
        if key is not None and keys.setdefault(entry["kid"], key) is not key:
            ambiguous.add(entry["kid"])
    keys = {key_id: key for key_id, key in keys.items() if key_id not in ambiguous}
    if not keys:
        raise _refused(f"holds no usable key for {', '.join(sorted(algorithms))}")
    return IssuerKeys(keys, frozenset(ambiguous))


def rs256(private_key_pem: bytes, claims: bytes) -> str:
    """A compact JWS over `claims`, signed as RS256, for a platform that knows us by an RSA key.

    Raises EvidenceError `key_invalid` unless the PEM holds an RSA key of a size that is fit.
    """
    try:
        private = serialization.load_pem_private_key(private_key_pem, None)
    except (ValueError, TypeError) as error:
        raise _no_rsa_key() from error
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size not in RSA_BITS:
        raise _no_rsa_key()
    signed = f"{compact.encoded(_RS256_HEADER)}.{compact.encoded(claims)}"
    return f"{signed}.{compact.encoded(private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _key(entry: Any, algorithms: Collection[str]) -> IssuerKey | None:
    """The key of one entry; None when it is not for us: another use, algorithm or form, no id, or a private half."""
    if not isinstance(entry, dict) or "d" in entry or "k" in entry or entry.get("use", "sig") != "sig":
        return None
    key_id, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_CHARS_MAX or operations != ["verify"]:
        return None
    try:
        key = _public(entry)
    except (ValueError, KeyError, TypeError, AttributeError, EvidenceError):
        return None
    if key is None or key.algorithm not in algorithms or entry.get("alg", key.algorithm) != key.algorithm:
        return None
    return key


def _public(entry: dict[str, Any]) -> IssuerKey | None:
    kind, curve = entry.get("kty"), entry.get("crv")
    if kind == "RSA":
        modulus, exponent = _number(entry["n"]), _number(entry["e"])
        if modulus.bit_length() not in RSA_BITS or exponent != RSA_EXPONENT:
            return None
        return IssuerKey(RS256, rsa.RSAPublicNumbers(exponent, modulus).public_key())
    if (kind, curve) == ("EC", "P-256"):
        x, y = (compact.decoded(entry[name]) for name in ("x", "y"))
        if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
            return None
        return IssuerKey(ES256, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y))
    if (kind, curve) == ("OKP", "Ed25519"):
        return IssuerKey(EDDSA, VerifyKey.from_hex(compact.decoded(entry["x"]).hex()))
    return None


def _number(text: str) -> int:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,1366}", text) is None:
        raise ValueError("no number of at most 8192 bits")
    return int.from_bytes(compact.decoded(text), "big")


def _der(signature: bytes) -> bytes:
    """R || S (RFC 7518, 3.4) as cryptography wants it."""
    if len(signature) != 2 * _COORDINATE_BYTES:
        raise ValueError("an ES256 signature has 64 bytes")
    r, s = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE_BYTES], signature[_COORDINATE_BYTES:]))
    return encode_dss_signature(r, s)


def _refused(what: str) -> EvidenceError:
    return EvidenceError(f"the issuer's key set {what}", code="jwks_invalid", next_step=_FIX)


def _no_rsa_key() -> EvidenceError:
    return EvidenceError(
        "the file holds no RSA private key of 2048 to 8192 bits without a passphrase",
        code="key_invalid",
        next_step="download the app's private key again and name the file",
    )
