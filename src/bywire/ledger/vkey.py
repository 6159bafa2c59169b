"""Verifier keys of signed notes, written as text: how an operator hands a log's or a witness's key to somebody else.

C2SP signed-note "vkey": `name+hex(key id)+base64(type || public key)`. The key id must be the one that name, type and
key give; a text that names itself otherwise is refused, not repaired.
"""

import base64
import hmac
import re

import msgspec

from bywire.ledger.checkpoint import COSIGNATURE, ED25519, key_hash
from bywire.model.errors import EvidenceError
from bywire.seal.keys import VerifyKey

_PARTS = re.compile(r"([^\s+]{1,256})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")
_KINDS = {ED25519: "log", COSIGNATURE: "witness"}


class NamedKey(msgspec.Struct, frozen=True):
    """A key and the name it signs under: a log's origin, or a witness's name."""

    name: str
    key: VerifyKey


def format_vkey(name: str, key: VerifyKey, kind: bytes) -> str:
    """The text of a key; `kind` is `checkpoint.ED25519` for a log, `checkpoint.COSIGNATURE` for a witness."""
    material = base64.b64encode(kind + key.raw_public).decode()
    return f"{name}+{key_hash(name, kind, key).hex()}+{material}"


def parse_vkey(text: str, kind: bytes) -> NamedKey:
    """Read a key of the wanted kind. Raises EvidenceError `vkey_invalid`."""
    match = _PARTS.fullmatch(text)
    if match is None or not text.isprintable():
        raise _invalid("it is not of the form name+8 hex digits+44 characters of base64")
    name, claimed, encoded = match.groups()
    material = base64.b64decode(encoded)
    if material[:1] != kind:
        raise _invalid(f"it is not the Ed25519 key of a {_KINDS[kind]}")
    key = VerifyKey.from_hex(material[1:].hex())
    if not hmac.compare_digest(key_hash(name, kind, key), bytes.fromhex(claimed)):
        raise _invalid("its key id does not fit its name and key")
    return NamedKey(name=name, key=key)


def _invalid(why: str) -> EvidenceError:
    return EvidenceError(
        f"this is no verifier key: {why}",
        code="vkey_invalid",
        next_step="copy the whole line again from `bywire log keys` or `bywire witness init`",
    )
