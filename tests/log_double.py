"""A log in memory for tests of what is made from a log: leaves, the tree over them, signed checkpoints."""

from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.ledger import merkle
from bywire.ledger.checkpoint import sign_checkpoint
from bywire.ledger.ports import StoredCheckpoint
from bywire.model.principal import KeyRole
from bywire.seal.keys import SigningKey

ORIGIN = "log.example/workspace"
LOG = SigningKey.from_seed(b"l" * 32)
STRANGER = SigningKey.from_seed(b"s" * 32)
WITNESS = SigningKey.from_seed(b"w" * 32)
TRUST = TrustRoot(
    version=1,
    origin=ORIGIN,
    keys=(
        TrustedKey(key_id=LOG.key_id, role=KeyRole.LOG, principal="workload:log", public=LOG.public.raw_public.hex()),
    ),
)


def keys(_size):
    return (LOG.public,)


class Tree:
    """`leaves` are the entries; `published` the sizes that checkpoints were signed for."""

    def __init__(self, leaves, published=()):
        self.leaves = list(leaves)
        self.hashes = [merkle.leaf_hash(leaf) for leaf in self.leaves]
        self.published = list(published)

    def note(self, size=None, key=LOG, origin=ORIGIN):
        size = len(self.leaves) if size is None else size
        return sign_checkpoint(origin, size, self.root(size), key)

    def root(self, size=None):
        return merkle.root_of(len(self.leaves) if size is None else size, self.hash_at)

    def consistency(self, size1, size2):
        return tuple(merkle.consistency_path(size1, size2, self.hash_at)) if size1 else ()

    def inclusion(self, index, size=None):
        return tuple(merkle.inclusion_path(index, len(self.leaves) if size is None else size, self.hash_at))

    def hash_at(self, level, index):
        return merkle.perfect_root(b"".join(self.hashes[index << level : (index + 1) << level]))

    def entry_count(self):
        return len(self.leaves)

    def leaf(self, index):
        return self.leaves[index] if index < len(self.leaves) else None

    def tile(self, level, index):
        span = 256**level
        whole = len(self.leaves) // span
        first, last = index * 256, min((index + 1) * 256, whole)
        return b"".join(self.hash_at(8 * level, n) for n in range(first, last))

    def frontier(self):
        return merkle.Frontier.of(len(self.leaves), self.hash_at).encode()

    def checkpoints(self, start):
        return (StoredCheckpoint(size=n, root=self.root(n), note=self.note(n)) for n in self.published if n >= start)


def numbered(count, salt=b""):
    return [b"entry %d %s" % (n, salt) for n in range(count)]
