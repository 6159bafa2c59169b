"""The log's own rules: gapless append, integration into tiles, publishing, proving (RULES 24).

Append and integration happen in one transaction, so a committed entry is always part of the persisted tree. A
checkpoint is signed over a root that is persisted with it, handed out only after that commit, and never signed twice
for one size with two roots.
"""

import hmac
from collections.abc import Iterable

from bywire.ledger import merkle
from bywire.ledger.checkpoint import sign_checkpoint
from bywire.ledger.entry import parse_leaf
from bywire.ledger.merkle import HASH_BYTES, Frontier
from bywire.ledger.ports import LedgerReader, LedgerTransaction, StoredCheckpoint, TreeReader
from bywire.ledger.retention import KIND as RETENTION_KIND
from bywire.ledger.retention import key_number
from bywire.model.errors import LedgerError
from bywire.seal.keys import SigningKey

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
BLOB_BYTES_MAX = 64 * 1024 * 1024
_VERIFY = "run `bywire audit verify`; restore from a backup that is not behind the last published checkpoint"


def append(ledger: LedgerTransaction, leaf: bytes, blobs: Iterable[bytes] = ()) -> int:
    """Append one leaf with the blobs it came with and return its index.

    The blob that the leaf stands for must be among `blobs` or stored already. Raises LedgerError `entry_malformed`,
    `blob_missing`, `blob_too_large`, `key_retired` (its signer was retired since, whoever appends now).
    """
    entry = parse_leaf(leaf)
    sealed_under = key_number(entry)
    stored = set()
    for blob in blobs:
        if len(blob) > BLOB_BYTES_MAX:
            raise LedgerError(
                f"a blob of {len(blob)} bytes is larger than the log keeps",
                code="blob_too_large",
                next_step=f"keep documents below {BLOB_BYTES_MAX} bytes",
            )
        stored.add(ledger.put_blob(blob, sealed_under))
    if entry.content not in stored and ledger.blob(entry.content) is None:
        raise LedgerError(
            "an entry was appended without the bytes it stands for",
            code="blob_missing",
            next_step="append the entry together with its statement or record",
        )
    index = ledger.entry_count()
    if entry.signer:
        _refuse_retired(ledger, entry.signer, index)
    ledger.insert_entry(index, leaf, merkle.leaf_hash(leaf), entry.content)
    if entry.kind == RETENTION_KIND:
        ledger.note_retention(index)
    return index


def _refuse_retired(ledger: LedgerTransaction, signer: str, index: int) -> None:
    end = ledger.retired_from(signer)
    if end is not None and index >= end:
        raise LedgerError(
            "the key that signed this was retired while the command ran",
            code="key_retired",
            next_step="run the command again; what it had committed stands",
        )


def integrate(ledger: LedgerTransaction) -> Frontier:
    """Bring tiles and frontier up to the last entry; cost is proportional to the entries not yet integrated."""
    frontier = Frontier.decode(ledger.frontier())
    start = frontier.size
    if ledger.entry_count() == start:
        return frontier
    tiles: dict[tuple[int, int], bytes] = {}

    def keep(level: int, index: int, subtree: bytes) -> None:
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, offset = divmod(index, TILE_WIDTH)
        key = (tile_level, tile_index)
        if height:
            return
        if tile_level:
            before = tiles[key] if key in tiles else ledger.tile(*key)
            tiles[key] = before[: offset * HASH_BYTES] + subtree
        elif offset == TILE_WIDTH - 1:
            tiles[key] = ledger.tile(*key)

    for index, hashed in ledger.leaf_hashes(start):
        if index != frontier.size:
            raise LedgerError(f"entry {frontier.size} is missing", code="ledger_invalid", next_step=_VERIFY)
        frontier.append(hashed, emit=keep)
    for (level, index), hashes in tiles.items():
        ledger.put_tile(level, index, hashes)
    ledger.put_frontier(frontier.encode())
    return frontier


def publish(ledger: LedgerTransaction, origin: str, key: SigningKey) -> str:
    """The signed checkpoint of everything appended so far; hand it out only after the transaction has committed.

    Refuses to sign what contradicts the last published checkpoint: LedgerError `ledger_truncated`, `ledger_forked`.
    """
    frontier = integrate(ledger)
    root = frontier.root()
    last = ledger.last_checkpoint()
    if last is not None:
        refuse_contradiction(ledger, last.size, last.root)
        if last.size == frontier.size:
            return last.note
    note = sign_checkpoint(origin, frontier.size, root, key)
    ledger.insert_checkpoint(StoredCheckpoint(size=frontier.size, root=root, note=note))
    return note


def refuse_contradiction(ledger: LedgerReader, size: int, root: bytes) -> None:
    """Raise unless the persisted tree extends the tree head (`size`, `root`).

    LedgerError `ledger_truncated` when the log is shorter, `ledger_forked` when its root at that size differs.
    """
    have = Frontier.decode(ledger.frontier()).size
    if have < size or ledger.entry_count() < size:
        raise LedgerError(
            f"the log has {min(have, ledger.entry_count())} entries, but a checkpoint of {size} was published",
            code="ledger_truncated",
            next_step=_VERIFY,
        )
    if not hmac.compare_digest(root_at(ledger, size), root):
        raise LedgerError(
            f"the log's root at size {size} is not the one that was published",
            code="ledger_forked",
            next_step=_VERIFY,
        )


def root_at(ledger: TreeReader, size: int) -> bytes:
    """Root of the first `size` entries, from tiles."""
    return merkle.root_of(size, TileHashes(ledger).hash_at)


def inclusion_proof(ledger: TreeReader, index: int, size: int) -> list[bytes]:
    """The audit path of entry `index` in the tree of `size` entries, leaf to root, 32 bytes each."""
    return merkle.inclusion_path(index, _known(ledger, size), TileHashes(ledger).hash_at)


def consistency_proof(ledger: TreeReader, size1: int, size2: int) -> list[bytes]:
    """The proof that the tree of `size2` entries extends the one of `size1`, 32 bytes each."""
    return merkle.consistency_path(size1, _known(ledger, size2), TileHashes(ledger).hash_at)


class TileHashes:
    """`merkle.HashAt` over stored tiles. One object serves one proof: it keeps the few tiles it has read."""

    def __init__(self, tree: TreeReader) -> None:
        self._tree = tree
        self._tiles: dict[tuple[int, int], bytes] = {}

    def hash_at(self, level: int, index: int) -> bytes:
        """Hash of a perfect subtree; LedgerError `ledger_invalid` when the tile lacks it."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, offset = divmod(index << height, TILE_WIDTH)
        key = (tile_level, tile_index)
        if key not in self._tiles:
            self._tiles[key] = self._tree.tile(*key)
        start = offset * HASH_BYTES
        hashes = self._tiles[key][start : start + (HASH_BYTES << height)]
        if len(hashes) != HASH_BYTES << height:
            raise LedgerError(
                f"the log's tree lacks hashes (tile {tile_level}/{tile_index})",
                code="ledger_invalid",
                next_step=_VERIFY,
            )
        return merkle.perfect_root(hashes)


def _known(ledger: TreeReader, size: int) -> int:
    have = Frontier.decode(ledger.frontier()).size
    if not 0 <= size <= have:
        raise LedgerError(
            f"the log has {have} entries, not {size}",
            code="ledger_invalid",
            next_step="ask for a size that a published checkpoint names",
        )
    return size
