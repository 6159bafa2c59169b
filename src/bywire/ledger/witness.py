"""The witness protocol, C2SP tlog-witness: what a log asks, what a witness answers, and why it refuses.

A witness remembers, for each log it knows, the last checkpoint it cosigned, and cosigns only what extends it. A refusal
is a value with the status the specification gives it. Nothing here keeps state: the caller holds the log's last
checkpoint still while `judge` looks at it, and stores the new one durably before anybody sees the cosignature.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Protocol

import msgspec

from bywire.ledger.checkpoint import (
    NOTE_BYTES_MAX,
    Checkpoint,
    LogKeys,
    NoteSignature,
    cosignatures,
    log_signatures,
    parse_checkpoint,
    parse_signature_lines,
    render_note,
    verify_checkpoint,
)
from bywire.ledger.merkle import EMPTY_ROOT, HASH_BYTES, SIZE_MAX, verify_consistency
from bywire.model.errors import EvidenceError
from bywire.seal.keys import VerifyKey

PROOF_LINES_MAX = 63
REQUEST_BYTES_MAX = NOTE_BYTES_MAX + 4_096
OK, MALFORMED, FORBIDDEN, UNKNOWN_LOG, CONFLICT, INCONSISTENT = 200, 400, 403, 404, 409, 422
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_NEXT = "run `bywire doctor`; it says what each witness knows of this log"


class AddCheckpoint(msgspec.Struct, frozen=True):
    """A request: the size the log believes the witness has, a consistency proof from there, the signed checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str


class Refusal(msgspec.Struct, frozen=True):
    """Why a witness does not cosign. `size` is its latest tree size, for status 409 alone."""

    status: int
    code: str
    message: str
    size: int = 0


class Known(msgspec.Struct, frozen=True):
    """A log's checkpoint, and the signature lines of the log's keys that the witness verified on it."""

    checkpoint: Checkpoint
    log_lines: tuple[NoteSignature, ...]


class Answer(msgspec.Struct, frozen=True):
    """What came back from a witness: an HTTP status and a body."""

    status: int
    body: bytes


class WitnessPlace(Protocol):
    """Where a witness is reached. Raises BywireError when it is not: nothing else is learnt from that.

    `answers_later`: it is met in a directory, so asking is cheap and the cosignature comes when its program runs.
    """

    answers_later: bool

    def latest(self, origin: str) -> str | None:
        """The last checkpoint it cosigned for that log, None when it never did."""

    def add_checkpoint(self, origin: str, request: bytes) -> Answer | None:
        """Ask for a cosignature; None when it will come later, by `latest`."""


def origin_hash(origin: str) -> str:
    """The name under which a log's checkpoint is kept and served: sha256 of its origin, in hex."""
    return sha256(origin.encode()).hexdigest()


def proof_lines(proof: Sequence[bytes]) -> str:
    """A consistency proof as text: one base64 hash a line."""
    return "".join(f"{base64.b64encode(hashed).decode()}\n" for hashed in proof)


def parse_proof_lines(lines: Sequence[str]) -> tuple[bytes, ...]:
    """Inverse of `proof_lines`. EvidenceError `consistency_invalid` for too many, or one that is no 32-byte hash."""
    if len(lines) > PROOF_LINES_MAX:
        raise _malformed_proof(f"it has more than {PROOF_LINES_MAX} hashes")
    found = []
    for line in lines:
        try:
            hashed = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _malformed_proof("it holds text that is not base64") from error
        if len(hashed) != HASH_BYTES or base64.b64encode(hashed).decode() != line:
            raise _malformed_proof("it holds something else than 32-byte hashes")
        found.append(hashed)
    return tuple(found)


def render_request(request: AddCheckpoint) -> bytes:
    """The body of add-checkpoint."""
    return f"old {request.old_size}\n{proof_lines(request.proof)}\n{request.note}".encode()


def parse_request(body: bytes) -> AddCheckpoint | Refusal:
    """Read a body; whatever is not exactly of the specified form is refused."""
    if len(body) > REQUEST_BYTES_MAX:
        return Refusal(MALFORMED, "request_too_large", f"the request is larger than {REQUEST_BYTES_MAX} bytes")
    try:
        head, separator, note = body.decode().partition("\n\n")
        old, *lines = head.split("\n")
        match = _OLD.fullmatch(old)
        if not separator or match is None or int(match[1]) > SIZE_MAX:
            return Refusal(MALFORMED, "request_malformed", "the request does not start with an old size")
        parse_checkpoint(note)
        return AddCheckpoint(old_size=int(match[1]), proof=parse_proof_lines(lines), note=note)
    except UnicodeDecodeError:
        return Refusal(MALFORMED, "request_malformed", "the request is not UTF-8")
    except EvidenceError as error:
        return Refusal(MALFORMED, "request_malformed", error.message)


def authenticate(request: AddCheckpoint, logs: Mapping[str, Sequence[VerifyKey]]) -> Known | Refusal:
    """Believe the checkpoint when a key that this witness has for its origin signed it."""
    checkpoint = parse_checkpoint(request.note)
    keys = logs.get(checkpoint.origin)
    if keys is None:
        return Refusal(UNKNOWN_LOG, "log_unknown", "this witness does not know that log")
    try:
        lines = log_signatures(checkpoint, checkpoint.origin, keys)
    except EvidenceError as error:
        return Refusal(FORBIDDEN, error.code, error.message)
    if not lines:
        return Refusal(FORBIDDEN, "checkpoint_unsigned", "no key known for that log signed the checkpoint")
    return Known(checkpoint=checkpoint, log_lines=lines)


def judge(request: AddCheckpoint, offered: Checkpoint, latest: Checkpoint | None) -> Refusal | None:
    """Whether `offered` may be cosigned after `latest`: the checks of tlog-witness, in its order. None: it may."""
    known_size = latest.size if latest else 0
    if request.old_size > offered.size:
        return Refusal(MALFORMED, "old_size_too_large", "the old size is larger than the checkpoint's")
    if request.old_size != known_size:
        return Refusal(CONFLICT, "old_size_differs", f"the last cosigned size is {known_size}", size=known_size)
    if offered.size == 0 and not hmac.compare_digest(offered.root, EMPTY_ROOT):
        return Refusal(INCONSISTENT, "consistency_invalid", "an empty tree has another root")
    if latest is None or known_size == 0:
        if request.proof:
            return Refusal(INCONSISTENT, "consistency_invalid", "a proof from an empty tree must be empty")
        return None
    try:
        verify_consistency(known_size, offered.size, latest.root, offered.root, request.proof)
    except EvidenceError as error:
        return Refusal(INCONSISTENT, error.code, error.message)
    return None


def read_latest(note: str, origin: str, keys: LogKeys, name: str, key: VerifyKey) -> tuple[Checkpoint, bool]:
    """What a witness says it knows: the log's checkpoint, and whether the witness `name` truly cosigned it.

    Raises EvidenceError when the log did not sign it: then it says nothing about the log.
    """
    checkpoint = verify_checkpoint(note, origin, keys)
    try:
        return checkpoint, name in cosignatures(checkpoint, {name: key})
    except EvidenceError:
        return checkpoint, False


def read_answer(answer: Answer, checkpoint: Checkpoint, name: str, key: VerifyKey) -> NoteSignature | Refusal:
    """The cosignature in an answer, or the refusal. EvidenceError `witness_answer` for what is neither."""
    if answer.status == CONFLICT:
        size = _SIZE.fullmatch(answer.body)
        if size is None or int(size[1]) > SIZE_MAX:
            raise _no_answer("it says 409 without a size")
        return Refusal(CONFLICT, "old_size_differs", f"it has cosigned {int(size[1])} entries", size=int(size[1]))
    if answer.status != OK:
        return Refusal(answer.status, "witness_refused", f"it answered with status {answer.status}")
    try:
        lines = parse_signature_lines(answer.body.decode())
        offered = parse_checkpoint(render_note(checkpoint.text, lines))
        found = cosignatures(offered, {name: key}).get(name)
    except (UnicodeDecodeError, EvidenceError) as error:
        raise _no_answer("its answer is no cosignature of this checkpoint") from error
    if found is None:
        raise _no_answer("its answer holds no cosignature of the key configured for it")
    return found.line


def _no_answer(why: str) -> EvidenceError:
    return EvidenceError(f"the witness cannot be believed: {why}", code="witness_answer", next_step=_NEXT)


def _malformed_proof(why: str) -> EvidenceError:
    return EvidenceError(
        f"the consistency proof is malformed: {why}",
        code="consistency_invalid",
        next_step="ask the log for it again: bywire log consistency --from N --to M",
    )
