"""Checkpoints: the log's signed promise about its size and root.

C2SP tlog-checkpoint carried in a C2SP signed note, Ed25519 (type 0x01), and Ed25519 witness cosignatures
(tlog-cosignature, type 0x04). The caller's keys verify a note; a note never brings, names or chooses its own key.
Signature lines of unknown keys are ignored, as the note specification asks; malformed ones refuse the note.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias

import msgspec

from bywire.identity.trust import TrustRoot
from bywire.ledger.merkle import HASH_BYTES, SIZE_MAX
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.seal.keys import SIGNATURE_BYTES, SigningKey, VerifyKey

NOTE_BYTES_MAX = 262_144
SIGNATURES_MAX = 64
_ED25519 = b"\x01"
_COSIGNATURE = b"\x04"
_KEY_HASH_BYTES = 4
_TIMESTAMP_BYTES = 8
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NEXT = "do not rely on this checkpoint; fetch it again from the log or a witness"

LogKeys: TypeAlias = Callable[[int], Sequence[VerifyKey]]
"""The log keys trusted for a checkpoint of the given size."""


class NoteSignature(msgspec.Struct, frozen=True):
    """One signature line: key name, 4-byte key id and the bytes after it, none of them believed yet."""

    name: str
    key_hash: bytes
    signature: bytes


class Checkpoint(msgspec.Struct, frozen=True):
    """A parsed checkpoint. `root` is 32 bytes; `text` is what the signatures cover."""

    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: tuple[NoteSignature, ...]


def log_keys(trust: TrustRoot) -> LogKeys:
    """The log keys of a trust root, each valid for the indexes it names (RULES 25)."""
    return lambda size: trust.keys_for(KeyRole.LOG, index=max(size - 1, 0))


def sign_checkpoint(origin: str, size: int, root: bytes, key: SigningKey) -> str:
    """The signed note for a tree head; the key's name in it is the origin, as the specification recommends."""
    if not 0 <= size <= SIZE_MAX or len(root) != HASH_BYTES:
        raise ValueError("a checkpoint needs a size and a 32-byte root")
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    signature = key.sign(text.encode())
    line = base64.b64encode(_key_hash(origin, _ED25519, key.public) + signature).decode()
    note = f"{text}\n\N{EM DASH} {origin} {line}\n"
    parse_checkpoint(note)
    return note


def verify_checkpoint(note: str, origin: str, keys: LogKeys, *, key_name: str = "") -> Checkpoint:
    """Parse a note and verify the log's signature with the caller's keys.

    `key_name` is the name the log signs under when it is not its origin. Raises EvidenceError `checkpoint_malformed`,
    `checkpoint_origin`, `checkpoint_unsigned` (no trusted key signed it), `checkpoint_signature`.
    """
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != origin:
        raise EvidenceError("the checkpoint is of another log", code="checkpoint_origin", next_step=_NEXT)
    known = {_key_hash(key_name or origin, _ED25519, key): key for key in keys(checkpoint.size)}
    verified = 0
    for line in checkpoint.signatures:
        key = known.get(line.key_hash)
        if line.name != (key_name or origin) or key is None:
            continue
        _check(key, checkpoint.text, line.signature, "checkpoint_signature")
        verified += 1
    if not verified:
        raise EvidenceError("no trusted log key signed this checkpoint", code="checkpoint_unsigned", next_step=_NEXT)
    return checkpoint


def witnessed_by(checkpoint: Checkpoint, witnesses: Mapping[str, VerifyKey]) -> frozenset[str]:
    """Names of the caller's witnesses that cosigned (C2SP tlog-cosignature v1).

    A cosignature of a known witness that does not verify refuses the checkpoint: EvidenceError `cosignature_invalid`.
    """
    names = set()
    for line in checkpoint.signatures:
        key = witnesses.get(line.name)
        if key is None or line.key_hash != _key_hash(line.name, _COSIGNATURE, key):
            continue
        stamp = int.from_bytes(line.signature[:_TIMESTAMP_BYTES], "big")
        message = b"cosignature/v1\ntime %d\n%s" % (stamp, checkpoint.text)
        _check(key, message, line.signature[_TIMESTAMP_BYTES:], "cosignature_invalid")
        names.add(line.name)
    return frozenset(names)


def parse_checkpoint(note: str) -> Checkpoint:
    """Parse without believing. Raises EvidenceError `checkpoint_malformed`."""
    if len(note) > NOTE_BYTES_MAX or _CONTROL.search(note) or not note.endswith("\n"):
        raise _malformed("it is too long or holds control characters")
    text, separator, signatures = note.rpartition("\n\n")
    lines = signatures[:-1].split("\n")
    if not separator or len(lines) > SIGNATURES_MAX:
        raise _malformed("it has no signatures, or too many")
    body = text.split("\n")
    if len(body) < 3:
        raise _malformed("it has fewer than three lines")
    origin, size, root, *extensions = body
    if not origin or not _SIZE.fullmatch(size) or int(size) > SIZE_MAX or not all(extensions):
        raise _malformed("its origin, size or extension lines are malformed")
    root_bytes = _b64(root)
    if len(root_bytes) != HASH_BYTES:
        raise _malformed("its root is not 32 bytes")
    return Checkpoint(
        origin=origin,
        size=int(size),
        root=root_bytes,
        text=_utf8(f"{text}\n"),
        signatures=tuple(_signature(line) for line in lines),
    )


def _signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "\N{EM DASH}" or not name or "+" in name or any(c.isspace() for c in name):
        raise _malformed("a signature line is malformed")
    raw = _b64(encoded)
    if len(raw) <= _KEY_HASH_BYTES:
        raise _malformed("a signature line is too short")
    return NoteSignature(name=name, key_hash=raw[:_KEY_HASH_BYTES], signature=raw[_KEY_HASH_BYTES:])


def _check(key: VerifyKey, message: bytes, signature: bytes, code: str) -> None:
    try:
        if len(signature) != SIGNATURE_BYTES:
            raise _malformed("a signature has the wrong length")
        key.verify(message, signature)
    except EvidenceError as error:
        raise EvidenceError(
            "a trusted key's signature does not fit the checkpoint", code=code, next_step=_NEXT
        ) from error


def _key_hash(name: str, kind: bytes, key: VerifyKey) -> bytes:
    return sha256(name.encode() + b"\n" + kind + key.raw_public).digest()[:_KEY_HASH_BYTES]


def _b64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("it holds text that is not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise _malformed("it holds base64 with stray bits")
    return raw


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _malformed("it is not UTF-8") from error


def _malformed(what: str) -> EvidenceError:
    return EvidenceError(f"the checkpoint is malformed: {what}", code="checkpoint_malformed", next_step=_NEXT)
