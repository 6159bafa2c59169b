"""Which retention statements of a log may be believed: those in its tree, signed by the person they name.

The store only says where to look. What does not verify accounts for nothing, so a blob that was lost, or destroyed by
somebody without an approver's key, stays a fault.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from bywire.identity.trust import TrustRoot
from bywire.ledger import log, merkle
from bywire.ledger.entry import parse_leaf
from bywire.ledger.ports import LedgerReader
from bywire.ledger.retention import KIND, Erasure, parse_erasure
from bywire.model.errors import EvidenceError, LedgerError
from bywire.model.principal import KeyRole
from bywire.seal.dsse import unverified_statement, verify_statement
from bywire.seal.keys import VerifyKey

EraserKeys: TypeAlias = Callable[[str, int], Sequence[VerifyKey]]
"""The keys that may sign a retention statement of this person at this log index."""


def eraser_keys(trust: TrustRoot) -> EraserKeys:
    """The approver keys of a trust root: only a person erases, under their own name."""
    return lambda person, index: trust.keys_for(KeyRole.APPROVER, principal=person, index=index)


def nobody(*_: object) -> tuple[VerifyKey, ...]:
    """No retention statement is believed; every blob that is gone is a fault."""
    return ()


def erasures(ledger: LedgerReader, erasers: EraserKeys) -> Iterator[tuple[int, Erasure]]:
    """(index, erasure) of every retention statement that is in the tree and signed by the person it names.

    The store only says where to look; what does not verify accounts for nothing.
    """
    for index in ledger.retention_entries():
        found = _verified(ledger, index, erasers)
        if found is not None:
            yield index, found


def _verified(ledger: LedgerReader, index: int, erasers: EraserKeys) -> Erasure | None:
    leaf = ledger.leaf(index) or b""
    try:
        entry = parse_leaf(leaf)
        if log.TileHashes(ledger).hash_at(0, index) != merkle.leaf_hash(leaf):
            return None
        envelope = ledger.blob(entry.content) or b""
        claimed = _predicate(envelope, lambda by: erasers(by, index))
    except (EvidenceError, LedgerError):
        return None
    return claimed if entry.kind == KIND and claimed.end <= index else None


def _predicate(envelope: bytes, keys_of: Callable[[str], Sequence[VerifyKey]]) -> Erasure:
    """The erasure that an envelope states; EvidenceError unless a key of the person it names signed it."""
    claimed = parse_erasure(unverified_statement(envelope))
    return parse_erasure(verify_statement(envelope, keys_of(claimed.by)).statement)
