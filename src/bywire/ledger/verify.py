"""Checking the whole log, or its tail at start, and naming the first entry that is wrong.

Every leaf is hashed again, every blob is hashed again, the tree is rebuilt, and every published checkpoint is verified
against the rebuilt root. What an attacker can still do unseen is rewrite entries that no checkpoint covers, or roll
everything back to an older checkpoint; a checkpoint kept elsewhere (`witness`) closes the second.
"""

import hmac
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from bywire.ledger import log
from bywire.ledger.checkpoint import LogKeys, verify_checkpoint
from bywire.ledger.entry import parse_leaf
from bywire.ledger.erasure import EraserKeys, erasures, nobody
from bywire.ledger.log import TILE_HEIGHT, TILE_WIDTH
from bywire.ledger.merkle import HASH_BYTES, Frontier, perfect_root, verify_inclusion
from bywire.ledger.ports import LedgerReader, LedgerTransaction, StoredCheckpoint
from bywire.ledger.retention import Erasure
from bywire.model.errors import EvidenceError, LedgerError

Progress: TypeAlias = Callable[[int, int], None]
_PROGRESS_ENTRIES = TILE_WIDTH * 64
_NEXT = "stop bywire and keep the file as it is; restore from a backup not behind the last published checkpoint"


class LogFault(msgspec.Struct, frozen=True):
    """The first thing wrong. `index` is the entry it concerns; for checkpoints, the first entry not vouched for.

    `kind` is one of entry_changed, entry_missing, entry_extra, entry_malformed, blob_missing, blob_changed,
    tree_changed, checkpoint_signature, checkpoint_root.
    """

    index: int
    kind: str
    detail: str


class LogReport(msgspec.Struct, frozen=True):
    """What was verified: `size` entries under `root` (hex), `checkpoints` signatures; or the first fault.

    `erased` entries have lost their content under the retention statements at the indexes `erased_under`.
    """

    ok: bool
    size: int
    root: str
    checkpoints: int
    fault: LogFault | None
    erased: int = 0
    erased_under: tuple[int, ...] = ()


class _Content(msgspec.Struct):
    statement: str = ""
    record: str = ""


class _FaultFoundError(Exception):
    def __init__(self, index: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = LogFault(index=index, kind=kind, detail=detail)


def verify_all(
    ledger: LedgerReader,
    origin: str,
    keys: LogKeys,
    *,
    erasers: EraserKeys = nobody,
    witness: Iterable[str] = (),
    progress: Progress | None = None,
) -> LogReport:
    """Verify every entry, blob, tile and checkpoint of the log.

    `keys` are the trusted log keys by size; `erasers` those that may sign a retention statement; `witness` holds signed
    checkpoints kept outside this database. `progress` is called with (entries done, entries in all). Never raises for
    what it finds: the report names it.
    """
    walk = _Walk(ledger, origin, keys, Frontier(), progress, erasers)
    try:
        walk.run(_with_witness(ledger, 0, origin, keys, witness))
    except _FaultFoundError as found:
        return LogReport(ok=False, size=walk.frontier.size, root="", checkpoints=walk.checked, fault=found.fault)
    return LogReport(
        ok=True,
        size=walk.frontier.size,
        root=walk.frontier.root().hex(),
        checkpoints=walk.checked,
        fault=None,
        erased=walk.erased,
        erased_under=tuple(sorted(walk.erased_under)),
    )


def check_tail(
    ledger: LedgerTransaction,
    origin: str,
    keys: LogKeys,
    witness: Iterable[str] = (),
    erasers: EraserKeys = nobody,
) -> int:
    """The start-up check (RULES 24): refuse a log that is shorter than, or differs from, what was published.

    1. The last checkpoint and each `witness` note carry a trusted signature. 2. The log is not shorter. 3. Its root at
    those sizes is theirs. 4. Every entry since the checkpoint that the previous check verified is verified again,
    blobs and tree included. 5. The marker moves up. Returns the size of the log; raises LedgerError
    `ledger_truncated`, `ledger_forked`, `ledger_invalid`, and EvidenceError `checkpoint_*` for step 1.
    """
    last = ledger.last_checkpoint()
    for known in (*([last] if last else []), *_external(origin, keys, witness)):
        checkpoint = verify_checkpoint(known.note, origin, keys)
        log.refuse_contradiction(ledger, checkpoint.size, checkpoint.root)
    marker = ledger.verified_size()
    anchor = next((c for c in ledger.checkpoints(marker) if c.size == marker), None) if marker else None
    start = Frontier()
    if anchor is not None:
        checkpoint = verify_checkpoint(anchor.note, origin, keys)
        log.refuse_contradiction(ledger, checkpoint.size, checkpoint.root)
        start = Frontier.of(checkpoint.size, log.TileHashes(ledger).hash_at)
    walk = _Walk(ledger, origin, keys, start, None, erasers)
    try:
        walk.run(_with_witness(ledger, start.size, origin, keys, ()))
    except _FaultFoundError as found:
        fault = found.fault
        raise LedgerError(
            f"entry {fault.index}: {fault.detail} ({fault.kind})", code="ledger_invalid", next_step=_NEXT
        ) from found
    if last is not None and last.size > marker:
        ledger.mark_verified(last.size)
    return walk.frontier.size


class _Walk:
    """One pass over the log from a verified frontier to its end."""

    def __init__(
        self,
        ledger: LedgerReader,
        origin: str,
        keys: LogKeys,
        start: Frontier,
        progress: Progress | None,
        erasers: EraserKeys,
    ) -> None:
        self.ledger = ledger
        self.origin = origin
        self.keys = keys
        self.frontier = start
        self.vouched = start.size
        self.checked = 0
        self.progress = progress
        self.erased = 0
        self.erased_under: set[int] = set()
        self._erasers = erasers
        self._erasures: list[tuple[int, Erasure]] | None = None

    def run(self, checkpoints: Iterator[StoredCheckpoint]) -> None:
        """Walk; raises _FaultFoundError at the first fault."""
        ledger, frontier = self.ledger, self.frontier
        total = _decoded(ledger.frontier()).size
        rows = ledger.rows(frontier.size)
        pending = deque(_take(checkpoints))
        self._check_checkpoints(pending, checkpoints)
        while frontier.size < total:
            start = frontier.size
            stop = min((start // TILE_WIDTH + 1) * TILE_WIDTH, total)
            hashes = self._block(start, stop, rows)
            if stop - start == TILE_WIDTH and not (pending and pending[0].size < stop):
                frontier.append(perfect_root(b"".join(hashes)), TILE_HEIGHT, self._compare)
                self._check_checkpoints(pending, checkpoints)
            else:
                for leaf in hashes:
                    frontier.append(leaf, 0, self._compare)
                    if pending and pending[0].size == frontier.size:
                        self._check_checkpoints(pending, checkpoints)
            if self.progress is not None and not frontier.size % _PROGRESS_ENTRIES:
                self.progress(frontier.size, total)
        self._end(next(rows, None), pending, total)

    def _end(self, extra: tuple[int, bytes, bytes | None] | None, pending: deque[StoredCheckpoint], total: int) -> None:
        if extra is not None:
            raise _FaultFoundError(extra[0], "entry_extra", "an entry lies beyond the end of the tree")
        if pending:
            raise _FaultFoundError(total, "entry_missing", f"a checkpoint of {pending[0].size} entries was published")
        if self.frontier.encode() != (self.ledger.frontier() or Frontier().encode()):
            raise _FaultFoundError(self.vouched, "tree_changed", "the stored frontier is not that of the entries")
        if self.progress is not None:
            self.progress(total, total)

    def _block(self, start: int, stop: int, rows: Iterator[tuple[int, bytes, bytes | None]]) -> list[bytes]:
        """Leaf hashes of [start, stop), compared with the tile and with the blobs; at most TILE_WIDTH of them."""
        block: list[tuple[int, bytes, bytes | None]] = []
        for expected in range(start, stop):
            row = next(rows, None)
            if row is None or row[0] != expected:
                # What came before the gap is judged first: the report names the *first* bad entry.
                self._judge(start, block)
                raise _FaultFoundError(expected, "entry_missing", "the entry is not there")
            block.append(row)
        return self._judge(start, block)

    def _judge(self, start: int, block: list[tuple[int, bytes, bytes | None]]) -> list[bytes]:
        hashes = [sha256(b"\x00" + leaf).digest() for _, leaf, _ in block]
        first = start % TILE_WIDTH * HASH_BYTES
        joined = b"".join(hashes)
        stored = self.ledger.tile(0, start // TILE_WIDTH)[first : first + len(joined)]
        differs = None
        if joined != stored:
            differs = next(n for n, leaf in enumerate(hashes) if leaf != stored[n * HASH_BYTES : (n + 1) * HASH_BYTES])
        for index, leaf, blob in block[:differs]:
            try:
                content = _decode(leaf)
            except msgspec.DecodeError:
                raise _FaultFoundError(index, "entry_malformed", "the entry is not a leaf of ours") from None
            wanted = content.statement or content.record
            if blob is None:
                self._account_for(index, leaf, wanted)
                continue
            if sha256(blob).hexdigest() != wanted:
                raise _FaultFoundError(index, "blob_changed", f"the stored bytes are not those of {wanted}")
        if differs is not None:
            self._blame(start + differs, hashes[differs])
        return hashes

    def _account_for(self, index: int, leaf: bytes, wanted: str) -> None:
        """Bytes that are gone must be covered by a retention statement that verifies (RULES 26)."""
        if self._erasures is None:
            self._erasures = list(erasures(self.ledger, self._erasers))
        try:
            entry = parse_leaf(leaf)
        except LedgerError:
            raise _FaultFoundError(index, "entry_malformed", "the entry is not a leaf of ours") from None
        under = next((at for at, erasure in self._erasures if erasure.covers(index, entry)), None)
        if under is None:
            raise _FaultFoundError(index, "blob_missing", f"the bytes of {wanted} are not stored")
        self.erased += 1
        self.erased_under.add(under)

    def _blame(self, index: int, leaf: bytes) -> None:
        """Entry and tree disagree at `index`; the next signed checkpoint says which of them was changed."""
        if self._signed_at(index, leaf):
            raise _FaultFoundError(index, "tree_changed", "the stored tree differs from what was signed")
        raise _FaultFoundError(index, "entry_changed", "the entry's bytes are not those that were appended")

    def _signed_at(self, index: int, leaf: bytes) -> bool:
        covering = next(iter(self.ledger.checkpoints(index + 1)), None)
        if covering is None:
            return False
        try:
            path = log.inclusion_proof(self.ledger, index, covering.size)
            verify_inclusion(index, covering.size, leaf, path, covering.root)
        except (EvidenceError, LedgerError):
            return False
        return True

    def _compare(self, level: int, index: int, subtree: bytes) -> None:
        tile_level, height = divmod(level, TILE_HEIGHT)
        if height or not tile_level:
            return
        at = index % TILE_WIDTH * HASH_BYTES
        if self.ledger.tile(tile_level, index // TILE_WIDTH)[at : at + HASH_BYTES] != subtree:
            raise _FaultFoundError(index << level, "tree_changed", f"tile level {tile_level} differs from the entries")

    def _check_checkpoints(self, pending: deque[StoredCheckpoint], more: Iterator[StoredCheckpoint]) -> None:
        """Verify every checkpoint of exactly the current size."""
        while pending and pending[0].size == self.frontier.size:
            stored = pending.popleft()
            pending.extend(_take(more))
            try:
                checkpoint = verify_checkpoint(stored.note, self.origin, self.keys)
            except EvidenceError as error:
                raise _FaultFoundError(self.vouched, "checkpoint_signature", error.message) from None
            if (checkpoint.size, checkpoint.root) != (stored.size, stored.root):
                raise _FaultFoundError(self.vouched, "checkpoint_signature", "the row is not what its note says")
            if not hmac.compare_digest(self.frontier.root(), checkpoint.root):
                raise _FaultFoundError(
                    self.vouched,
                    "checkpoint_root",
                    f"entries {self.vouched} to {stored.size - 1} do not lead to the root signed at {stored.size}",
                )
            self.vouched = stored.size
            self.checked += 1


def _with_witness(
    ledger: LedgerReader, start: int, origin: str, keys: LogKeys, witness: Iterable[str]
) -> Iterator[StoredCheckpoint]:
    try:
        outside = _external(origin, keys, witness)
    except EvidenceError as error:
        raise _FaultFoundError(0, "checkpoint_signature", f"a witness note: {error.message}") from None
    yield from _merged(ledger.checkpoints(start), outside)


def _merged(stored: Iterator[StoredCheckpoint], outside: list[StoredCheckpoint]) -> Iterator[StoredCheckpoint]:
    waiting = deque(outside)
    for checkpoint in stored:
        while waiting and waiting[0].size <= checkpoint.size:
            yield waiting.popleft()
        yield checkpoint
    yield from waiting


def _external(origin: str, keys: LogKeys, notes: Iterable[str]) -> list[StoredCheckpoint]:
    verified = [(verify_checkpoint(note, origin, keys), note) for note in notes]
    known = [StoredCheckpoint(size=checkpoint.size, root=checkpoint.root, note=note) for checkpoint, note in verified]
    return sorted(known, key=lambda checkpoint: checkpoint.size)


def _take(checkpoints: Iterator[StoredCheckpoint]) -> list[StoredCheckpoint]:
    following = next(checkpoints, None)
    return [] if following is None else [following]


def _decoded(frontier: bytes) -> Frontier:
    try:
        return Frontier.decode(frontier)
    except LedgerError as error:
        raise _FaultFoundError(0, "tree_changed", error.message) from None


_decode: Callable[[Any], _Content] = msgspec.json.Decoder(_Content).decode
