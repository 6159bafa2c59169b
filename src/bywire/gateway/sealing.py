"""Raw parameters that hold a secret, sealed for as long as they may be needed to resume an interrupted call (RULES 4).

AES-256-GCM under a key that HKDF-SHA256 derives from the workspace key for one intent. The same intent key and action
digest mean the same plaintext, so that no key ever seals two. The journal keeps the box and drops it when the intent
is settled; after its deadline it does not open any more.
"""

import struct
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bywire.model.errors import EvidenceError
from bywire.seal import jcs

KEPT_MS = 86_400_000
_HEAD = struct.Struct(">Q")
_NONCE = bytes(12)


def seal_parameters(raw: dict[str, Any], key: bytes, intent: str, digest: str, now_ms: int) -> bytes:
    """A box that opens for this intent and action digest, for KEPT_MS from `now_ms`."""
    head = _HEAD.pack(now_ms + KEPT_MS)
    return head + _cipher(key, intent, digest, head).encrypt(_NONCE, jcs.canonical(raw), head)


def open_parameters(box: bytes, key: bytes, intent: str, digest: str, now_ms: int) -> dict[str, Any]:
    """The raw parameters. Raises EvidenceError `sealed_expired`, `sealed_invalid`."""
    head, body = box[: _HEAD.size], box[_HEAD.size :]
    try:
        plain = _cipher(key, intent, digest, head).decrypt(_NONCE, body, head)
        (expires_ms,) = _HEAD.unpack(head)
    except (InvalidTag, ValueError, struct.error) as error:
        raise EvidenceError(
            "sealed parameters do not open", code="sealed_invalid", next_step="bywire reconcile"
        ) from error
    if now_ms >= expires_ms:
        raise EvidenceError("sealed parameters have expired", code="sealed_expired", next_step="bywire reconcile")
    values: dict[str, Any] = msgspec.json.decode(plain, type=dict[str, Any])
    return values


def _cipher(key: bytes, intent: str, digest: str, head: bytes) -> AESGCM:
    info = b"sealed parameters\x00" + jcs.canonical([intent, digest, head.hex()])
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key))
