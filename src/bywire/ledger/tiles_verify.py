"""Checking a published log from its files alone, as a stranger does: believe the caller's keys and nothing else.

The tree is rebuilt from the entry bundles and compared with every tile and with the signed root; the report names the
first path that is wrong.
"""

import hmac
from collections.abc import Iterator

import msgspec

from bywire.identity.trust import TrustRoot
from bywire.ledger.checkpoint import NOTE_BYTES_MAX, log_keys, parse_checkpoint, verify_checkpoint
from bywire.ledger.log import TILE_HEIGHT, TILE_WIDTH
from bywire.ledger.merkle import HASH_BYTES, Frontier, leaf_hash, perfect_root
from bywire.ledger.tiles import (
    BUNDLE_BYTES_MAX,
    CHECKPOINT_PATH,
    ENTRIES,
    FETCH_AGAIN,
    TILE_BYTES,
    Resource,
    TileStore,
    bundle,
    split_bundle,
)
from bywire.ledger.witness_policy import WitnessPolicy, require_witnesses
from bywire.model.errors import BywireError, LedgerError


class TilesReport(msgspec.Struct, frozen=True):
    """The verdict on a published directory. `path` is the first file that is wrong; `files` how many were checked."""

    ok: bool
    code: str
    message: str
    path: str = ""
    origin: str = ""
    size: int = 0
    root: str = ""
    files: int = 0
    witnesses: tuple[str, ...] = ()


def verify_tiles(store: TileStore, trust: TrustRoot | None, policy: WitnessPolicy | None = None) -> TilesReport:
    """Check a published log from its files alone; never raises for what they hold.

    1. The checkpoint's signature under a log key of `trust`, and the witness policy. 2. Every entry hashes to its place
    in the tiles of level 0, every tile to its place above. 3. The root is the checkpoint's. 4. Older partial files kept
    beside are prefixes of what was verified. Without `trust`, step 1 is not done and the report is not ok.
    """
    rebuilt = _Rebuilt(store)
    try:
        text = rebuilt.read(CHECKPOINT_PATH, NOTE_BYTES_MAX).decode("utf-8", "replace")
        checkpoint = verify_checkpoint(text, trust.origin, log_keys(trust)) if trust else parse_checkpoint(text)
        cosigned = require_witnesses(checkpoint, policy) if policy else ()
        root = rebuilt.root(checkpoint.size)
        if not hmac.compare_digest(root, checkpoint.root):
            raise _fault("root_mismatch", "the published entries do not lead to the signed root")
    except BywireError as error:
        return TilesReport(ok=False, code=error.code, message=error.message, path=rebuilt.at, files=rebuilt.files)
    return TilesReport(
        ok=trust is not None,
        code="verified" if trust else "signer_untrusted",
        message=f"{checkpoint.size} entries lead to the signed root" if trust else "integrity only, signer untrusted",
        origin=checkpoint.origin,
        size=checkpoint.size,
        root=root.hex(),
        files=rebuilt.files,
        witnesses=cosigned,
    )


class _Rebuilt:
    """The tree as the entries give it; `at` is the path being looked at."""

    def __init__(self, store: TileStore) -> None:
        self._store = store
        self._frontier = Frontier()
        self._upper: dict[int, bytearray] = {}
        self.at = ""
        self.files = 0

    def root(self, size: int) -> bytes:
        """Rebuild the tree of `size`, comparing every tile and bundle on the way."""
        for first in range(0, size, TILE_WIDTH):
            self._bundle(first // TILE_WIDTH, min(TILE_WIDTH, size - first))
        for level, hashes in sorted(self._upper.items()):
            if hashes:
                self._tile(level, self._frontier.size >> (level + 1) * TILE_HEIGHT, bytes(hashes))
        self.at = CHECKPOINT_PATH
        return self._frontier.root()

    def read(self, path: str, bytes_max: int) -> bytes:
        """A file that must be there."""
        self.at = path
        found = self._store.read(path, bytes_max)
        if found is None:
            raise _fault("file_missing", "a published file is not there")
        self.files += 1
        return found

    def _fetch(self, resource: Resource, bytes_max: int) -> tuple[bytes, int]:
        """A tile or bundle and its width: a partial one may have been replaced by the full one meanwhile."""
        self.at = resource.path
        found = self._store.read(resource.path, bytes_max)
        if found is None:
            return self.read(resource.whole.path, bytes_max), TILE_WIDTH
        self.files += 1
        return found, resource.width

    def _bundle(self, index: int, width: int) -> None:
        resource = Resource(ENTRIES, index, width)
        data, count = self._fetch(resource, BUNDLE_BYTES_MAX)
        leaves = split_bundle(data)
        if len(leaves) != count:
            raise _fault("bundle_malformed", f"the bundle holds {len(leaves)} entries, not {count}")
        leaves = leaves[:width]
        for kept in self._older(resource):
            older = self._store.read(kept.path, BUNDLE_BYTES_MAX)
            if older not in {None, bundle(leaves[: kept.width])}:
                raise _fault("tile_changed", "an older partial bundle holds other entries")
        hashes = b"".join(leaf_hash(leaf) for leaf in leaves)
        self._tile(0, index, hashes)
        if width == TILE_WIDTH:
            self._frontier.append(perfect_root(hashes), TILE_HEIGHT, self._keep)
            return
        for at in range(0, len(hashes), HASH_BYTES):
            self._frontier.append(hashes[at : at + HASH_BYTES], 0, self._keep)

    def _keep(self, level: int, index: int, subtree: bytes) -> None:
        tile_level, height = divmod(level, TILE_HEIGHT)
        if height or not tile_level:
            return
        hashes = self._upper.setdefault(tile_level, bytearray())
        hashes += subtree
        if len(hashes) == TILE_BYTES:
            self._tile(tile_level, index // TILE_WIDTH, bytes(hashes))
            hashes.clear()

    def _tile(self, level: int, index: int, hashes: bytes) -> None:
        resource = Resource(level, index, len(hashes) // HASH_BYTES)
        found, width = self._fetch(resource, TILE_BYTES)
        if len(found) != width * HASH_BYTES or not hmac.compare_digest(found[: len(hashes)], hashes):
            raise _fault("tile_changed", "the tile differs from what the entries give")
        for kept in self._older(resource):
            older = self._store.read(kept.path, TILE_BYTES)
            if older not in {None, hashes[: kept.width * HASH_BYTES]}:
                raise _fault("tile_changed", "an older partial tile holds other hashes")

    def _older(self, resource: Resource) -> Iterator[Resource]:
        """Partial files beside `resource` that it can judge; wider ones are ahead of the checkpoint.

        One that goes meanwhile was replaced by the full file, as the specification allows.
        """
        for width in self._store.widths(resource):
            if width < resource.width:
                kept = Resource(resource.level, resource.index, width)
                self.at = kept.path
                self.files += 1
                yield kept
        self.at = resource.path


def _fault(code: str, message: str) -> LedgerError:
    return LedgerError(message, code=code, next_step=FETCH_AGAIN)
