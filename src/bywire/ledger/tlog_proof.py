"""One entry's proof as text that other transparency-log tools read: C2SP tlog-proof, `c2sp.org/tlog-proof@v1`.

The `extra` line carries the leaf, which is how a verifier without the workspace computes the leaf hash; it is believed
only because its hash is then proved to be in the signed tree. What the leaf stands for (statement or record) travels
beside the proof and is checked against the leaf's digest, and a statement against its signer's key.
"""

import base64
import binascii
import re

import msgspec

from bywire.identity.trust import TrustRoot
from bywire.ledger.checkpoint import NOTE_BYTES_MAX, Checkpoint, log_keys, parse_checkpoint, verify_checkpoint
from bywire.ledger.entry import LEAF_BYTES_MAX, Entry, parse_leaf
from bywire.ledger.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from bywire.ledger.proof import PATH_MAX, ProofItem, ProofReport, ProvedEntry, included_entry, signed_entry
from bywire.ledger.witness_policy import WitnessPolicy, require_witnesses
from bywire.model.errors import BywireError, EvidenceError

HEADER = "c2sp.org/tlog-proof@v1"
TEXT_CHARS_MAX = NOTE_BYTES_MAX + 2 * LEAF_BYTES_MAX + 8_192
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


class TlogProof(msgspec.Struct, frozen=True):
    """A parsed proof: `path` from the leaf's sibling to the root's child, `checkpoint` the signed note, verbatim."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""


def render_tlog_proof(proof: TlogProof) -> str:
    """The text form; what it says is not checked."""
    extra = [f"extra {base64.b64encode(proof.extra).decode()}"] if proof.extra else []
    path = [base64.b64encode(sibling).decode() for sibling in proof.path]
    return "\n".join([HEADER, *extra, f"index {proof.index}", *path, "", proof.checkpoint])


def parse_tlog_proof(text: str) -> TlogProof:
    """Parse without believing. Raises EvidenceError `tlog_proof_malformed`."""
    head, separator, note = text.partition("\n\n")
    if len(text) > TEXT_CHARS_MAX or not separator:
        raise _malformed("it is too long or holds no checkpoint")
    first, *lines = head.split("\n")
    if first != HEADER:
        raise _malformed(f"it does not start with {HEADER}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = _b64(lines.pop(0).removeprefix("extra "))
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if index is None or len(lines) - 1 > PATH_MAX:
        raise _malformed("its index line is missing or its path too long")
    path = tuple(_b64(line) for line in lines[1:])
    if any(len(sibling) != HASH_BYTES for sibling in path):
        raise _malformed("a hash of its path is not 32 bytes")
    return TlogProof(index=int(index[1]), path=path, checkpoint=note, extra=extra)


def verify_tlog_proof(
    text: str, trust: TrustRoot | None, policy: WitnessPolicy | None = None, content: bytes | None = None
) -> ProofReport:
    """Verify as C2SP tlog-proof says; never raises for what the text says.

    1. The leaf hash, from the leaf in `extra`. 2. The checkpoint's origin and signature under `trust`. 3. The witness
    policy. 4. Inclusion. Beyond the specification: 5. with `content`, that it is what the leaf stands for and, for a
    statement, that a key of `trust` valid at that index signed it. Without `trust` the report is not ok.
    """
    try:
        proof = parse_tlog_proof(text)
        entry = parse_leaf(proof.extra)
        if trust is None:
            checkpoint = parse_checkpoint(proof.checkpoint)
        else:
            checkpoint = verify_checkpoint(proof.checkpoint, trust.origin, log_keys(trust))
        cosigned = require_witnesses(checkpoint, policy) if policy else ()
        verify_inclusion(proof.index, checkpoint.size, leaf_hash(proof.extra), proof.path, checkpoint.root)
        proved = _with_content(proof, entry, checkpoint, trust, content)
    except BywireError as error:
        return ProofReport(ok=False, code=error.code, message=error.message)
    message = f"entry {proof.index} verified in the log {checkpoint.origin} at size {checkpoint.size}"
    if content is None:
        message += "; what it stands for was not given and not checked"
    return ProofReport(
        ok=trust is not None,
        code="verified" if trust else "signer_untrusted",
        message=message if trust else "integrity only, signer untrusted",
        origin=checkpoint.origin,
        size=checkpoint.size,
        witnesses=cosigned,
        entries=(proved,),
    )


def _with_content(
    proof: TlogProof, entry: Entry, checkpoint: Checkpoint, trust: TrustRoot | None, content: bytes | None
) -> ProvedEntry:
    if content is not None:
        item = ProofItem(content=content, index=proof.index, leaf=proof.extra, path=proof.path)
        included_entry(item, checkpoint)
        if trust is not None:
            return signed_entry(item, entry, trust)
    return ProvedEntry(index=proof.index, entry=entry, content=content or b"", predicate_type="", signer="", role="")


def _b64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("it holds text that is not base64") from error
    if not raw or base64.b64encode(raw).decode() != text:
        raise _malformed("it holds base64 with stray bits, or none")
    return raw


def _malformed(why: str) -> EvidenceError:
    return EvidenceError(
        f"the proof is malformed: {why}",
        code="tlog_proof_malformed",
        next_step="do not rely on this file; ask for it again: bywire log prove INDEX",
    )
