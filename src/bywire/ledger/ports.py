"""What the log needs from storage. Adapters implement these; the log's rules live above them.

All reads of one object see one snapshot; all writes of one `LedgerTransaction` commit together or not at all.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec


class StoredCheckpoint(msgspec.Struct, frozen=True):
    """A published checkpoint as stored: `root` 32 bytes, `note` the signed note."""

    size: int
    root: bytes
    note: str


class EntryReader(Protocol):
    """Entries in order, and the blobs they stand for."""

    def entry_count(self) -> int:
        """One more than the highest index; 0 when there are none."""

    def leaf(self, index: int) -> bytes | None:
        """The leaf at `index`."""

    def leaf_hashes(self, start: int) -> Iterator[tuple[int, bytes]]:
        """(index, leaf hash as it was stored) for every entry from `start`, in index order."""

    def rows(self, start: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(index, leaf, blob) for every entry from `start`, in index order; blob as `blob` returns it."""

    def blob(self, digest: str) -> bytes | None:
        """The blob stored under a sha256 hex digest, unchecked; None when it is not there or its key is gone."""

    def retention_entries(self) -> Iterator[int]:
        """Indexes at which retention statements are said to be, in order."""


class TreeReader(Protocol):
    """Hashes of the tree: 256-wide tiles (C2SP tlog-tiles) and the frontier."""

    def tile(self, level: int, index: int) -> bytes:
        """Concatenated 32-byte hashes of one tile, at most 256; empty when there is none.

        The unfinished tile of level 0 is never put: it is the stored leaf hashes of its entries.
        """

    def frontier(self) -> bytes:
        """The encoded frontier (`merkle.Frontier.encode`); empty for an empty log."""


class CheckpointReader(Protocol):
    """Published checkpoints and the marker of the last one whose tail was verified."""

    def last_checkpoint(self) -> StoredCheckpoint | None:
        """The one of the greatest size."""

    def checkpoints(self, start: int) -> Iterator[StoredCheckpoint]:
        """Those of size >= `start`, by size."""

    def verified_size(self) -> int:
        """Size of the checkpoint up to which a start-up check has verified the log; 0 when none has."""


class LedgerReader(EntryReader, TreeReader, CheckpointReader, Protocol):
    """Everything that reading, proving and verifying need."""


class LedgerTransaction(LedgerReader, Protocol):
    """What appending, integrating and publishing need besides."""

    def put_blob(self, content: bytes, key_number: int = 0) -> str:
        """Store bytes under their sha256 (idempotent) and return it in hex.

        `key_number` is that of the data key they are sealed under (`retention.DataKey`); 0 is never destroyed. Bytes
        that are there already stay under the key they have; who destroys it first seals again what others need.
        """

    def insert_entry(self, index: int, leaf: bytes, leaf_hash: bytes, content: str) -> None:
        """Insert an entry whose blob is `content`.

        Fails when that blob or a free `index` is not there, at the latest when the transaction commits.
        """

    def retired_from(self, key_id: str) -> int | None:
        """The first index that this key may not sign; None while it was not retired."""

    def note_retention(self, index: int) -> None:
        """Remember that the entry at `index` is a retention statement."""

    def put_tile(self, level: int, index: int, hashes: bytes) -> None:
        """Write a tile."""

    def put_frontier(self, frontier: bytes) -> None:
        """Write the frontier."""

    def insert_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Insert; fails when one of that size is there."""

    def mark_verified(self, size: int) -> None:
        """Write the marker."""
