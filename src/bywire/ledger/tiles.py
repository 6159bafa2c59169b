"""The log as static files that anybody can serve: C2SP tlog-tiles, how they are named and how they are published.

Promises: paths and widths are those of the specification; `write_log` leaves a checkpoint only over tiles and entries
that are durable, never moves it back, and never gives a path other bytes.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from bywire.ledger import log
from bywire.ledger.checkpoint import (
    NOTE_BYTES_MAX,
    Checkpoint,
    LogKeys,
    parse_checkpoint,
    verify_checkpoint,
)
from bywire.ledger.entry import LEAF_BYTES_MAX
from bywire.ledger.log import TILE_HEIGHT, TILE_WIDTH
from bywire.ledger.merkle import HASH_BYTES, leaf_hash
from bywire.ledger.ports import LedgerReader
from bywire.model.errors import LedgerError

CHECKPOINT_PATH = "checkpoint"
TILE_BYTES = TILE_WIDTH * HASH_BYTES
BUNDLE_BYTES_MAX = TILE_WIDTH * (LEAF_BYTES_MAX + 2)
ENTRIES = -1
"""The level under which entry bundles are counted; their path says `entries`."""
_LENGTH_BYTES = 2
FETCH_AGAIN = "do not rely on these files; fetch them again from the log itself"


class Resource(msgspec.Struct, frozen=True):
    """One file: tile `index` of `level` (or bundle, level ENTRIES) with `width` hashes (entries), 1 to 256."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where it is served, below the log's prefix: `tile/0/x001/234`, `tile/entries/000.p/7`."""
        place = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{place}/{index_path(self.index)}{partial}"

    @property
    def end(self) -> int:
        """How many entries a tree must have for this file to exist."""
        return (self.index * TILE_WIDTH + self.width) << max(self.level, 0) * TILE_HEIGHT

    @property
    def whole(self) -> "Resource":
        """The full tile or bundle that this one becomes."""
        return Resource(self.level, self.index)


class TileStore(Protocol):
    """A directory of published files."""

    def read(self, path: str, bytes_max: int) -> bytes | None:
        """The bytes of a file, None when it is not there."""

    def widths(self, resource: Resource) -> list[int]:
        """The widths of the partial files kept for a tile or bundle."""


class TileWriter(TileStore, Protocol):
    """A directory that one process at a time publishes into."""

    def exists(self, path: str) -> bool:
        """Whether a file is there."""

    def put(self, path: str, content: bytes) -> None:
        """Write a file that will never change, durable after `sync`; LedgerError `tile_conflict` for other bytes."""

    def sync(self) -> None:
        """Make everything that was put durable, names included."""

    def replace_checkpoint(self, note: str) -> None:
        """Replace the checkpoint, atomically and durably."""

    def drop_partials(self, resource: Resource) -> None:
        """Remove the partial files of a tile or bundle that is whole."""


def index_path(index: int) -> str:
    """1234067 as `x001/x234/067`."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    return "/".join(reversed(groups))


def resources(size: int, earlier: Iterable[int] = ()) -> Iterator[Resource]:
    """Every full tile and bundle of a tree of `size`, then the partial ones of it and of the tree sizes `earlier`.

    A partial one whose full one exists is left out: the full one replaces it.
    """
    for level in range(64):
        count = size >> level * TILE_HEIGHT
        if not count:
            break
        for index in range(count // TILE_WIDTH):
            yield from _both(Resource(level, index))
        for width in sorted({_width(one, level, count // TILE_WIDTH) for one in (size, *earlier)} - {0}):
            yield from _both(Resource(level, count // TILE_WIDTH, width))


def bundle(leaves: Iterable[bytes]) -> bytes:
    """An entry bundle: each leaf behind its length in two bytes, big-endian."""
    return b"".join(len(leaf).to_bytes(_LENGTH_BYTES, "big") + leaf for leaf in leaves)


def split_bundle(data: bytes) -> list[bytes]:
    """The leaves of a bundle. LedgerError `bundle_malformed` when lengths and bytes do not fit."""
    leaves: list[bytes] = []
    at = 0
    while at < len(data) and len(leaves) < TILE_WIDTH:
        start = at + _LENGTH_BYTES
        end = start + int.from_bytes(data[at:start], "big")
        leaves.append(data[start:end])
        at = end
    if at != len(data):
        raise LedgerError("an entry bundle is cut short or too long", code="bundle_malformed", next_step=FETCH_AGAIN)
    return leaves


def write_log(store: TileWriter, ledger: LedgerReader, note: str, keys: LogKeys) -> Checkpoint:
    """Publish the log up to the signed checkpoint `note`, writing only what is not there; returns the checkpoint.

    1. The note is signed and the ledger has its root. 2. The published checkpoint is ours, and not ahead. 3. Tiles and
    bundles are written and made durable. 4. The checkpoint is replaced. 5. Partial files that a full one replaces go.
    A crash between any two steps leaves a directory that verifies, and the next run completes it. Raises EvidenceError
    `checkpoint_*`, LedgerError `ledger_truncated`, `ledger_forked`, `ledger_invalid`, `tile_conflict`.
    """
    checkpoint = verify_checkpoint(note, parse_checkpoint(note).origin, keys)
    log.refuse_contradiction(ledger, checkpoint.size, checkpoint.root)
    before = _published(store, checkpoint.origin, keys)
    if before is not None:
        if before.size > checkpoint.size:
            raise LedgerError(
                f"a checkpoint of {before.size} entries is published there, this one has {checkpoint.size}",
                code="ledger_truncated",
                next_step="run `bywire audit verify`; a published checkpoint never goes back",
            )
        log.refuse_contradiction(ledger, before.size, before.root)
    published = before.size if before else 0
    earlier = [one.size for one in ledger.checkpoints(published) if one.size < checkpoint.size]
    needed = list(resources(checkpoint.size, [published, *earlier]))
    for resource in needed:
        if resource.end > published or not store.exists(resource.path):
            store.put(resource.path, _content(ledger, resource))
    store.sync()
    store.replace_checkpoint(note)
    for resource in needed:
        if resource.width == TILE_WIDTH:
            store.drop_partials(resource)
    return checkpoint


def _both(tile: Resource) -> Iterator[Resource]:
    """A tile; one of level 0 with its bundle."""
    if tile.level == 0:
        yield Resource(ENTRIES, tile.index, tile.width)
    yield tile


def _width(size: int, level: int, index: int) -> int:
    """The width that tile `index` of `level` has in a tree of `size`, when it is its partial one; else 0."""
    count = size >> level * TILE_HEIGHT
    return count % TILE_WIDTH if count // TILE_WIDTH == index else 0


def _published(store: TileStore, origin: str, keys: LogKeys) -> Checkpoint | None:
    data = store.read(CHECKPOINT_PATH, NOTE_BYTES_MAX)
    return None if data is None else verify_checkpoint(data.decode("utf-8", "replace"), origin, keys)


def _content(ledger: LedgerReader, resource: Resource) -> bytes:
    """The bytes of one file, from the ledger; a bundle is compared with the tree it must lead to."""
    level = max(resource.level, 0)
    hashes = ledger.tile(level, resource.index)[: resource.width * HASH_BYTES]
    if len(hashes) != resource.width * HASH_BYTES:
        raise _broken(resource)
    if resource.level != ENTRIES:
        return hashes
    first = resource.index * TILE_WIDTH
    leaves = [ledger.leaf(index) for index in range(first, first + resource.width)]
    known = [leaf for leaf in leaves if leaf is not None]
    if len(known) != resource.width or b"".join(leaf_hash(leaf) for leaf in known) != hashes:
        raise _broken(resource)
    return bundle(known)


def _broken(resource: Resource) -> LedgerError:
    return LedgerError(
        f"the log lacks what {resource.path} must hold, or holds something else",
        code="ledger_invalid",
        next_step="run `bywire audit verify`; it names the entry",
    )
