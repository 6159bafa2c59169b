"""The in-memory double of the ledger's ports: what a perfect store would do, for the contract suite."""

from bywire.ledger import log
from bywire.model.errors import LedgerError
from bywire.seal.digest import sha256_hex


class MemoryLedger:
    """Dictionaries; every method is the shortest thing that keeps the port's promise."""

    def __init__(self):
        self.entries = {}
        self.contents = {}
        self.tiles = {}
        self.notes = {}
        self.meta = {}
        self.retentions = []
        self.retired = {}

    def append(self, leaf, blobs=()):
        return log.append(self, leaf, blobs)

    def entry_count(self):
        return max(self.entries, default=-1) + 1

    def leaf(self, index):
        row = self.entries.get(index)
        return row[0] if row else None

    def leaf_hashes(self, start):
        return ((index, hashed) for index, (_, hashed, _) in sorted(self.entries.items()) if index >= start)

    def rows(self, start):
        return (
            (index, leaf, self.contents.get(content))
            for index, (leaf, _, content) in sorted(self.entries.items())
            if index >= start
        )

    def blob(self, digest):
        return self.contents.get(digest)

    def tile(self, level, index):
        if level or (level, index) in self.tiles:
            return self.tiles.get((level, index), b"")
        return b"".join(hashed for at, hashed in self.leaf_hashes(index * 256) if at < (index + 1) * 256)

    def frontier(self):
        return self.meta.get("frontier", b"")

    def last_checkpoint(self):
        return self.notes[max(self.notes)] if self.notes else None

    def checkpoints(self, start):
        return (self.notes[size] for size in sorted(self.notes) if size >= start)

    def verified_size(self):
        return self.meta.get("verified_size", 0)

    def retention_entries(self):
        return iter(sorted(self.retentions))

    def put_blob(self, content, key_number=0):
        self.contents.setdefault(sha256_hex(content), content)
        return sha256_hex(content)

    def insert_entry(self, index, leaf, leaf_hash, content):
        if index in self.entries or content not in self.contents:
            raise LedgerError("refused", code="database_constraint")
        self.entries[index] = (leaf, leaf_hash, content)

    def retired_from(self, key_id):
        return self.retired.get(key_id)

    def note_retention(self, index):
        self.retentions.append(index)

    def put_tile(self, level, index, hashes):
        self.tiles[level, index] = hashes

    def put_frontier(self, frontier):
        self.meta["frontier"] = frontier

    def insert_checkpoint(self, checkpoint):
        if checkpoint.size in self.notes:
            raise LedgerError("refused", code="database_constraint")
        self.notes[checkpoint.size] = checkpoint

    def mark_verified(self, size):
        self.meta["verified_size"] = size
