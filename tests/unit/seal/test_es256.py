"""ES256: raw R and S as RFC 7515 has them, the same for the same data, and no other kind of key."""

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex
from bywire.seal.es256 import Es256Key

# RFC 6979, A.2.5: the private key of its examples on P-256, and what it signs of "sample" with SHA-256.
SCALAR = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
SAMPLE = (
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)
KEY = Es256Key(ec.derive_private_key(SCALAR, ec.SECP256R1()))


def pem(private, secret=None):
    how = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def test_the_vector_of_rfc_6979():
    assert KEY.sign(b"sample").hex() == SAMPLE


@given(st.binary(max_size=200))
def test_what_it_signs_its_public_half_verifies(data):
    signature = KEY.sign(data)
    assert len(signature) == 64
    public = serialization.load_pem_public_key(KEY.public_pem.encode())
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    public.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))


def test_it_is_read_back_and_named_by_its_public_half():
    again = Es256Key.from_pem(KEY.to_pem())
    assert (again.key_id, again.sign(b"x")) == (KEY.key_id, KEY.sign(b"x"))
    der = serialization.load_pem_public_key(KEY.public_pem.encode()).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert KEY.key_id == sha256_hex(der)
    assert repr(KEY) == f"Es256Key({KEY.key_id[:12]})"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no key",
        KEY.public_pem.encode(),
        pem(ec.derive_private_key(7, ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.from_private_bytes(b"1" * 32)),
        pem(ec.derive_private_key(SCALAR, ec.SECP256R1()), b"passphrase"),
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(EvidenceError) as error:
        Es256Key.from_pem(data)
    assert error.value.code == "key_invalid"
