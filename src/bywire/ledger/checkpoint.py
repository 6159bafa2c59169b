"""Checkpoints: the log's signed promise about its size and root.

C2SP tlog-checkpoint carried in a C2SP signed note, Ed25519 (type 0x01), and Ed25519 witness cosignatures
(tlog-cosignature, type 0x04). The caller's keys verify a note; a note never brings, names or chooses its own key.
Signature lines of unknown keys are ignored, as the note specification asks; malformed ones refuse the note.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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
ED25519 = b"\x01"
COSIGNATURE = b"\x04"
KEY_HASH_BYTES = 4
_TIMESTAMP_BYTES = 8
_TIMESTAMP_MAX = 2**63 - 1
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


class Cosignature(msgspec.Struct, frozen=True):
    """A verified cosignature and when, in seconds since the epoch, the witness says it made it."""

    line: NoteSignature
    at_seconds: int


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
    line = NoteSignature(origin, key_hash(origin, ED25519, key.public), key.sign(text.encode()))
    note = render_note(text.encode(), [line])
    parse_checkpoint(note)
    return note


def cosign(checkpoint: Checkpoint, name: str, key: SigningKey, at_seconds: int) -> NoteSignature:
    """The cosignature of the witness `name`, made at `at_seconds` (C2SP tlog-cosignature, Ed25519).

    The caller has verified that the checkpoint extends every other one it ever cosigned for this origin.
    """
    if not 0 < at_seconds <= _TIMESTAMP_MAX:
        raise ValueError("a cosignature needs a time after 1970")
    signature = key.sign(_cosigned_message(checkpoint, at_seconds))
    stamped = at_seconds.to_bytes(_TIMESTAMP_BYTES, "big") + signature
    return NoteSignature(name=name, key_hash=key_hash(name, COSIGNATURE, key.public), signature=stamped)


def render_note(text: bytes, signatures: Iterable[NoteSignature]) -> str:
    """The signed note: text, an empty line, one line for each signature in the given order, none twice."""
    return f"{text.decode()}\n{''.join(signature_line(one) for one in dict.fromkeys(signatures))}"


def signature_line(signature: NoteSignature) -> str:
    """One signature line with its newline."""
    encoded = base64.b64encode(signature.key_hash + signature.signature).decode()
    return f"\N{EM DASH} {signature.name} {encoded}\n"


def parse_signature_lines(text: str) -> tuple[NoteSignature, ...]:
    """Signature lines alone, as a witness returns them. Raises EvidenceError `checkpoint_malformed`."""
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(text) > NOTE_BYTES_MAX or not 1 <= len(lines) <= SIGNATURES_MAX:
        raise _malformed("it has no signatures, or too many")
    return tuple(_signature(line) for line in lines)


def verify_checkpoint(note: str, origin: str, keys: LogKeys, *, key_name: str = "") -> Checkpoint:
    """Parse a note and verify the log's signature with the caller's keys.

    `key_name` is the name the log signs under when it is not its origin. Raises EvidenceError `checkpoint_malformed`,
    `checkpoint_origin`, `checkpoint_unsigned` (no trusted key signed it), `checkpoint_signature`.
    """
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != origin:
        raise EvidenceError("the checkpoint is of another log", code="checkpoint_origin", next_step=_NEXT)
    if not log_signatures(checkpoint, key_name or origin, keys(checkpoint.size)):
        raise EvidenceError("no trusted log key signed this checkpoint", code="checkpoint_unsigned", next_step=_NEXT)
    return checkpoint


def log_signatures(checkpoint: Checkpoint, name: str, keys: Iterable[VerifyKey]) -> tuple[NoteSignature, ...]:
    """The signature lines `keys` made under `name`. EvidenceError `checkpoint_signature` for a wrong one of theirs."""
    known = {key_hash(name, ED25519, key): key for key in keys}
    found = []
    for line in checkpoint.signatures:
        key = known.get(line.key_hash)
        if line.name != name or key is None:
            continue
        _check(key, checkpoint.text, line.signature, "checkpoint_signature")
        found.append(line)
    return tuple(found)


def cosignatures(checkpoint: Checkpoint, witnesses: Mapping[str, VerifyKey]) -> dict[str, Cosignature]:
    """Cosignatures of the caller's witnesses, by name (C2SP tlog-cosignature v1).

    A cosignature of a known witness that does not verify refuses the checkpoint: EvidenceError `cosignature_invalid`.
    """
    found = {}
    for line in checkpoint.signatures:
        key = witnesses.get(line.name)
        if key is None or line.key_hash != key_hash(line.name, COSIGNATURE, key):
            continue
        at_seconds = int.from_bytes(line.signature[:_TIMESTAMP_BYTES], "big")
        message = _cosigned_message(checkpoint, at_seconds)
        _check(key, message, line.signature[_TIMESTAMP_BYTES:], "cosignature_invalid")
        if not 0 < at_seconds <= _TIMESTAMP_MAX:
            raise EvidenceError("a cosignature has no time", code="cosignature_invalid", next_step=_NEXT)
        found[line.name] = Cosignature(line=line, at_seconds=at_seconds)
    return found


def key_hash(name: str, kind: bytes, key: VerifyKey) -> bytes:
    """The 4-byte key id of a signed note: it selects among trusted keys, and never brings one."""
    return sha256(name.encode() + b"\n" + kind + key.raw_public).digest()[:KEY_HASH_BYTES]


def parse_checkpoint(note: str) -> Checkpoint:
    """Parse without believing. Raises EvidenceError `checkpoint_malformed`."""
    if len(note) > NOTE_BYTES_MAX or _CONTROL.search(note) or not note.endswith("\n"):
        raise _malformed("it is too long or holds control characters")
    text, separator, signatures = note.rpartition("\n\n")
    if not separator:
        raise _malformed("it has no signatures")
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
        signatures=parse_signature_lines(signatures),
    )


def _signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "\N{EM DASH}" or not name or "+" in name or any(c.isspace() for c in name):
        raise _malformed("a signature line is malformed")
    raw = _b64(encoded)
    if len(raw) <= KEY_HASH_BYTES:
        raise _malformed("a signature line is too short")
    return NoteSignature(name=name, key_hash=raw[:KEY_HASH_BYTES], signature=raw[KEY_HASH_BYTES:])


def _cosigned_message(checkpoint: Checkpoint, at_seconds: int) -> bytes:
    return b"cosignature/v1\ntime %d\n%s" % (at_seconds, checkpoint.text)


def _check(key: VerifyKey, message: bytes, signature: bytes, code: str) -> None:
    try:
        if len(signature) != SIGNATURE_BYTES:
            raise _malformed("a signature has the wrong length")
        key.verify(message, signature)
    except EvidenceError as error:
        raise EvidenceError(
            "a trusted key's signature does not fit the checkpoint", code=code, next_step=_NEXT
        ) from error


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
