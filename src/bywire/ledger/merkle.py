"""The Merkle tree of RFC 6962 section 2.1: hashing, incremental append, proofs and their verification.

Verification follows RFC 9162 sections 2.1.3.2 and 2.1.4.2 and adds what those leave to the caller: hash lengths, size
and index bounds, and exact proof lengths. Nothing here reads storage; trees are seen through `hash_at(level, index)`,
which returns the hash of the perfect subtree over leaves [index << level, (index + 1) << level).
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from bywire.model.errors import EvidenceError, LedgerError

HASH_BYTES = 32
SIZE_MAX = 2**63 - 1
HashAt: TypeAlias = Callable[[int, int], bytes]
Emit: TypeAlias = Callable[[int, int, bytes], None]

_LEAF = b"\x00"
_NODE = b"\x01"
_REFUSED = "do not rely on this proof; ask for it again from the log itself"
_sha256 = hashlib.sha256

EMPTY_ROOT = _sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """MTH of one entry: SHA-256(0x00 || leaf)."""
    return _sha256(_LEAF + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return _sha256(_NODE + left + right).digest()


def perfect_root(hashes: bytes) -> bytes:
    """Root of a perfect tree over 2**k concatenated 32-byte hashes."""
    while len(hashes) > HASH_BYTES:
        hashes = b"".join(
            [_sha256(_NODE + hashes[at : at + 2 * HASH_BYTES]).digest() for at in range(0, len(hashes), 2 * HASH_BYTES)]
        )
    return hashes


class Frontier:
    """The right edge of a tree (a compact range from 0): enough to append and to know the root.

    `hashes` are the roots of the perfect subtrees that make up the first `size` leaves, left to right.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if not 0 <= size <= SIZE_MAX or len(hashes) != size.bit_count() or any(len(h) != HASH_BYTES for h in hashes):
            raise LedgerError(
                "the log's frontier does not fit its size",
                code="ledger_invalid",
                next_step="run `bywire audit verify`; restore the database from a backup if it is damaged",
            )
        self.size = size
        self.hashes = list(hashes)

    @classmethod
    def of(cls, size: int, hash_at: HashAt) -> "Frontier":
        """The frontier of the first `size` leaves of a stored tree."""
        return cls(size, [hash_at(level, index) for level, index in _perfect(0, size)])

    @classmethod
    def decode(cls, data: bytes) -> "Frontier":
        """Inverse of `encode`; empty bytes are the empty tree. LedgerError `ledger_invalid` when it does not fit."""
        hashes = [data[at : at + HASH_BYTES] for at in range(8, len(data), HASH_BYTES)]
        return cls(int.from_bytes(data[:8], "big"), hashes)

    def encode(self) -> bytes:
        """8 bytes of size (big-endian), then the hashes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    def append(self, subtree: bytes, level: int = 0, emit: Emit | None = None) -> None:
        """Append a perfect subtree of 2**level leaves; `size` must be a multiple of that.

        `emit(level, index, hash)` is told of the appended subtree and of each perfect subtree it completes.
        """
        if self.size & ((1 << level) - 1):
            raise ValueError("a subtree must be appended at a multiple of its own size")
        position = self.size >> level
        hashes = self.hashes
        self.size += 1 << level
        if emit is not None:
            emit(level, position, subtree)
        while position & 1:
            subtree = _sha256(_NODE + hashes.pop() + subtree).digest()
            position >>= 1
            level += 1
            if emit is not None:
                emit(level, position, subtree)
        hashes.append(subtree)

    def root(self) -> bytes:
        """The root hash of the tree so far."""
        return _fold(self.hashes)


def root_of(size: int, hash_at: HashAt) -> bytes:
    """Root of the first `size` leaves."""
    return Frontier.of(size, hash_at).root()


def inclusion_path(index: int, size: int, hash_at: HashAt) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 2.1.1, leaf to root. ValueError when index is outside the tree."""
    if not 0 <= index < size:
        raise ValueError(f"entry {index} is not in a tree of size {size}")
    start, end = 0, size
    path: list[bytes] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_hash(middle, end, hash_at))
            end = middle
        else:
            path.append(_range_hash(start, middle, hash_at))
            start = middle
    path.reverse()
    return path


def consistency_path(size1: int, size2: int, hash_at: HashAt) -> list[bytes]:
    """PROOF(size1, D[size2]) of RFC 6962 2.1.2. ValueError unless 0 < size1 <= size2."""
    if not 0 < size1 <= size2:
        raise ValueError(f"no consistency proof from size {size1} to size {size2}")
    start, end = 0, size2
    path: list[bytes] = []
    while end != size1:
        middle = start + _split(end - start)
        if size1 <= middle:
            path.append(_range_hash(middle, end, hash_at))
            end = middle
        else:
            path.append(_range_hash(start, middle, hash_at))
            start = middle
    if start:
        path.append(_range_hash(start, end, hash_at))
    path.reverse()
    return path


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Check that the entry whose leaf hash is `leaf` is number `index` of the tree (`size`, `root`).

    RFC 9162 2.1.3.2. Raises EvidenceError `inclusion_invalid`.
    """
    if not 0 <= index < size <= SIZE_MAX or not _all_hashes(leaf, root, *path):
        raise _invalid("inclusion_invalid", "the inclusion proof has wrong sizes")
    inner = (index ^ (size - 1)).bit_length()
    if len(path) != inner + (index >> inner).bit_count():
        raise _invalid("inclusion_invalid", "the inclusion proof has the wrong length")
    first, last, computed = index, size - 1, leaf
    for sibling in path:
        if first & 1 or first == last:
            computed = node_hash(sibling, computed)
            first, last = _climb_border(first, last)
        else:
            computed = node_hash(computed, sibling)
        first, last = first >> 1, last >> 1
    if last != 0 or not hmac.compare_digest(computed, root):
        raise _invalid("inclusion_invalid", "the inclusion proof does not lead to the root")


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree (size2, root2) extends the tree (size1, root1).

    RFC 9162 2.1.4.2. An empty first tree proves nothing and is refused. Raises EvidenceError `consistency_invalid`.
    """
    if not 0 < size1 <= size2 <= SIZE_MAX or not _all_hashes(root1, root2, *path):
        raise _invalid("consistency_invalid", "the consistency proof has wrong sizes")
    if size1 == size2:
        if path or not hmac.compare_digest(root1, root2):
            raise _invalid("consistency_invalid", "two trees of one size differ")
        return
    hashes = list(path) if size1 & (size1 - 1) else [root1, *path]
    if not path:
        raise _invalid("consistency_invalid", "the consistency proof is empty")
    # Skip the levels at which the old tree's last subtree is whole: the lowest bits of size1 that are zero.
    whole = (size1 & -size1).bit_length() - 1
    first, last = (size1 - 1) >> whole, (size2 - 1) >> whole
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise _invalid("consistency_invalid", "the consistency proof has the wrong length")
        if first & 1 or first == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            first, last = _climb_border(first, last)
        else:
            new = node_hash(new, sibling)
        first, last = first >> 1, last >> 1
    if last != 0 or not hmac.compare_digest(old, root1) or not hmac.compare_digest(new, root2):
        raise _invalid("consistency_invalid", "the consistency proof does not join the two trees")


def _climb_border(first: int, last: int) -> tuple[int, int]:
    """Go up while the node is a left child without a sibling."""
    while first and not first & 1:
        first, last = first >> 1, last >> 1
    return first, last


def _invalid(code: str, message: str) -> EvidenceError:
    return EvidenceError(message, code=code, next_step=_REFUSED)


def _all_hashes(*hashes: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in hashes)


def _split(count: int) -> int:
    """Largest power of two strictly smaller than `count` (count > 1)."""
    return 1 << ((count - 1).bit_length() - 1)


def _perfect(start: int, end: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the perfect subtrees of leaves [start, end), left to right."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def _range_hash(start: int, end: int, hash_at: HashAt) -> bytes:
    return _fold([hash_at(level, index) for level, index in _perfect(start, end)])


def _fold(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = _sha256(_NODE + left + root).digest()
    return root
