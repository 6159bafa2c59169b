"""The offline proof: one file that a stranger checks with nothing but a trust root (RULES 25).

`bywire-proof/v1` is one RFC 8785 JSON object: a signed checkpoint and, for each entry, its leaf, the exact bytes it
stands for, and the audit path from leaf to root. Keys, roles and witness policy come from outside the file. `digest`
covers every other byte, so that damage is seen even where no signature reaches (signature lines of unknown keys).
"""

import hmac
from collections.abc import Sequence
from typing import Literal

import msgspec

from bywire.identity.signing import may_sign
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.ledger.checkpoint import Checkpoint, log_keys, parse_checkpoint, verify_checkpoint
from bywire.ledger.entry import Entry, parse_leaf
from bywire.ledger.merkle import leaf_hash, verify_inclusion
from bywire.ledger.witness_policy import WitnessPolicy, require_witnesses
from bywire.model.errors import BywireError, EvidenceError
from bywire.model.principal import KeyRole
from bywire.seal.digest import same_digest, sha256_hex
from bywire.seal.dsse import verify_statement

FORMAT: Literal["bywire-proof/v1"] = "bywire-proof/v1"
PROOF_BYTES_MAX = 64 * 1024 * 1024
ITEMS_MAX = 8_192
PATH_MAX = 63
_NEXT = "do not rely on this file; ask for it again from the workspace that exported it"


class ProofItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry with its proof. `content` is the envelope or record that the leaf stands for, byte for byte."""

    content: bytes
    index: int
    leaf: bytes
    path: tuple[bytes, ...]


class ProvedEntry(msgspec.Struct, frozen=True):
    """An entry the proof vouches for. `signer` is the principal that signed, empty for a record or without trust."""

    index: int
    entry: Entry
    content: bytes
    predicate_type: str
    signer: str
    role: str


class ProofReport(msgspec.Struct, frozen=True):
    """The verdict. `ok` only when everything verified under a trust root; `code` and `message` say why otherwise."""

    ok: bool
    code: str
    message: str
    origin: str = ""
    size: int = 0
    witnesses: tuple[str, ...] = ()
    entries: tuple[ProvedEntry, ...] = ()


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    # Alphabetical, as RFC 8785 orders them.
    checkpoint: str
    digest: str
    format: Literal["bywire-proof/v1"]
    items: tuple[ProofItem, ...]


def build_proof(items: Sequence[ProofItem], checkpoint: str) -> bytes:
    """The proof document for entries of one signed checkpoint, sorted by index.

    Raises EvidenceError when the result would not verify as far as it can without a trust root.
    """
    ordered = tuple(sorted(items, key=lambda item: item.index))
    draft = _Document(checkpoint=checkpoint, digest="", format=FORMAT, items=ordered)
    document = msgspec.json.encode(msgspec.structs.replace(draft, digest=_digest(draft)))
    parsed = _parse(document)
    _included(parsed, parse_checkpoint(parsed.checkpoint))
    return document


def verify_proof(document: bytes, trust: TrustRoot | None, witnesses: WitnessPolicy | None = None) -> ProofReport:
    """Verify a proof document; never raises for what the document says.

    1. Bounds, strict canonical form and digest. 2. The checkpoint's signature under a log key of `trust` valid at its
    size, for `trust`'s origin. 3. The witness quorum. 4. For each entry: leaf form, inclusion in the checkpoint,
    content digest. 5. For each statement: its DSSE signature under a key valid *at that index*, by the signer the leaf
    names, in a role that may sign it. Without `trust`, steps 2, 3 and 5 are not done and the report is not ok.
    """
    try:
        parsed = _parse(document)
        if trust is None:
            checkpoint = parse_checkpoint(parsed.checkpoint)
            entries = _included(parsed, checkpoint)
            proved = [_proved(item, entry, "", None) for item, entry in zip(parsed.items, entries, strict=True)]
            return ProofReport(
                ok=False,
                code="signer_untrusted",
                message="integrity only, signer untrusted",
                origin=checkpoint.origin,
                size=checkpoint.size,
                entries=tuple(proved),
            )
        checkpoint = verify_checkpoint(parsed.checkpoint, trust.origin, log_keys(trust))
        cosigned = require_witnesses(checkpoint, witnesses) if witnesses else ()
        entries = _included(parsed, checkpoint)
        proved = [signed_entry(item, entry, trust) for item, entry in zip(parsed.items, entries, strict=True)]
    except BywireError as error:
        return ProofReport(ok=False, code=error.code, message=error.message)
    return ProofReport(
        ok=True,
        code="verified",
        message=f"{len(proved)} entries verified in the log {checkpoint.origin} at size {checkpoint.size}",
        origin=checkpoint.origin,
        size=checkpoint.size,
        witnesses=cosigned,
        entries=tuple(proved),
    )


def _parse(document: bytes) -> _Document:
    if len(document) > PROOF_BYTES_MAX:
        raise _refused("proof_too_large", f"the proof is larger than {PROOF_BYTES_MAX} bytes")
    try:
        parsed = msgspec.json.decode(document, type=_Document)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _refused("proof_malformed", f"the proof cannot be read: {error}") from error
    if msgspec.json.encode(parsed) != document:
        raise _refused("proof_malformed", "the proof is not in canonical form")
    if not same_digest(parsed.digest, _digest(parsed)):
        raise _refused("proof_damaged", "the proof's bytes are not those that were exported")
    indexes = [item.index for item in parsed.items]
    if not 1 <= len(indexes) <= ITEMS_MAX or indexes != sorted(set(indexes)):
        raise _refused("proof_malformed", "the proof has no entries, too many, or one twice")
    if any(len(item.path) > PATH_MAX for item in parsed.items):
        raise _refused("proof_malformed", "an audit path is too long")
    return parsed


def _digest(document: _Document) -> str:
    return sha256_hex(msgspec.json.encode(msgspec.structs.replace(document, digest="")))


def _included(document: _Document, checkpoint: Checkpoint) -> list[Entry]:
    return [included_entry(item, checkpoint) for item in document.items]


def included_entry(item: ProofItem, checkpoint: Checkpoint) -> Entry:
    """The entry, when it is a leaf of that tree and the content is what it stands for. EvidenceError otherwise."""
    entry = parse_leaf(item.leaf)
    verify_inclusion(item.index, checkpoint.size, leaf_hash(item.leaf), item.path, checkpoint.root)
    if not same_digest(sha256_hex(item.content), entry.content):
        raise _refused("content_changed", f"the content of entry {item.index} is not what was logged")
    return entry


def signed_entry(item: ProofItem, entry: Entry, trust: TrustRoot) -> ProvedEntry:
    """Verify a statement's envelope as step 5 says; a record is vouched for by the log alone. EvidenceError if not."""
    if entry.record:
        return _proved(item, entry, "", None)
    keys = [key for role in KeyRole for key in trust.keys_for(role, index=item.index)]
    verified = verify_statement(item.content, keys)
    statement = verified.statement
    if not hmac.compare_digest(verified.key_id, entry.signer):
        raise _refused("signer_mismatch", f"entry {item.index} names another signer than the one that signed")
    if not set(entry.subjects) <= {subject.sha256 for subject in statement.subject}:
        raise _refused("subject_mismatch", f"entry {item.index} names subjects that its statement does not")
    signer = next(key for key in trust.keys if key.key_id == verified.key_id and key.valid_at(item.index))
    if not may_sign(signer.role, statement.predicateType):
        raise _refused("signer_role", f"entry {item.index}: a key of role {signer.role} may not sign this statement")
    return _proved(item, entry, statement.predicateType, signer)


def _proved(item: ProofItem, entry: Entry, predicate_type: str, signer: TrustedKey | None) -> ProvedEntry:
    return ProvedEntry(
        index=item.index,
        entry=entry,
        content=item.content,
        predicate_type=predicate_type,
        signer=signer.principal if signer else "",
        role=signer.role if signer else "",
    )


def _refused(code: str, message: str) -> EvidenceError:
    return EvidenceError(message, code=code, next_step=_NEXT)
