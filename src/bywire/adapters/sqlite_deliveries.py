"""What roles delivered, on SQLite: statements of a delivery in the log, and results by work key (never made twice)."""

from typing import Any

import msgspec

from bywire.adapters.sqlite_journal import remember_time
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.evidence.verification import SealedStatement
from bywire.ledger.entry import leaf_bytes, statement_entry
from bywire.ledger.retention import DAY_MS, EVIDENCE, DataKey
from bywire.seal.dsse import unverified_statement

ENDS_MAX = 100
NAMED_MAX = 512


class StatementRow(msgspec.Struct, frozen=True):
    """One statement of a delivery: its ledger index, kind, envelope digest and time in ms."""

    entry: int
    kind: str
    digest: str
    at_ms: int


class SqliteDeliveries:
    """Statements and work results of deliveries."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    def result(self, key: str) -> dict[str, Any] | None:
        """What the work under this key delivered, or None when it was never finished."""
        row = self._reader.row("SELECT result FROM work WHERE key = ?", (key,))
        return None if row is None else msgspec.json.decode(row[0])

    def deliver(
        self,
        key: str,
        change: str,
        statements: tuple[tuple[str, bytes, str], ...],
        result: dict[str, Any],
        now_ms: int,
        blobs: tuple[bytes, ...] = (),
        *,
        reducing: bool = False,
    ) -> dict[str, Any]:
        """Log (kind, envelope, signer key id) statements and keep the result under its key, in one transaction.

        Returns the result with `entries` added; the one already there when the work was finished before. `reducing`
        marks what a retreat has to record: on a full disk it may use the reserve.
        """

        def work(tx: Transaction) -> dict[str, Any]:
            known = tx.execute("SELECT result FROM work WHERE key = ?", (key,)).fetchone()
            if known is not None:
                kept: dict[str, Any] = msgspec.json.decode(known[0])
                return kept
            entries = [self._append(tx, change, *statement, now_ms) for statement in statements]
            for blob in blobs:
                tx.put_blob(blob, DataKey(EVIDENCE, now_ms // DAY_MS).number)
            remember_time(tx, now_ms)
            finished = {**result, "entries": entries}
            tx.execute("INSERT INTO work VALUES (?, ?)", (key, msgspec.json.encode(finished)))
            return finished

        return self._writer.run(work, reducing=reducing)

    def statements(self, change: str) -> list[StatementRow]:
        """The statements of a delivery, in ledger order."""
        rows = self._reader.rows(
            "SELECT entry, kind, digest, at_ms FROM delivery_statements WHERE change_id = ? ORDER BY entry", (change,)
        )
        return [StatementRow(*row) for row in rows]

    def named(self, digests: tuple[str, ...]) -> list[StatementRow]:
        """The statements of all deliveries under these envelope digests, in ledger order, at most NAMED_MAX."""
        marks = ", ".join("?" * len(digests))
        rows = self._reader.rows(
            f"SELECT entry, kind, digest, at_ms FROM delivery_statements WHERE digest IN ({marks})"  # noqa: S608 - marks
            " ORDER BY entry LIMIT ?",
            (*digests, NAMED_MAX),
        )
        return [StatementRow(*row) for row in rows]

    def ends(self, artifact: str) -> list[SealedStatement]:
        """The signed ends of deliveries whose statement names this artifact (sha256 hex), in ledger order."""
        rows = self._reader.rows(
            "SELECT unsealed(b.digest, b.key, b.bytes), s.entry, s.at_ms FROM delivery_statements s"
            " JOIN entries e ON e.idx = s.entry"
            " JOIN blobs b ON b.id = e.blob WHERE s.kind = 'delivery-end' ORDER BY s.entry DESC LIMIT ?",
            (ENDS_MAX,),
        )
        sealed = [SealedStatement(*row) for row in reversed(rows) if row[0] is not None]
        return [item for item in sealed if _names(item, artifact)]

    def envelope(self, digest: str) -> bytes | None:
        """The envelope stored under a digest."""
        row = self._reader.row(
            "SELECT unsealed(digest, key, bytes) FROM blobs WHERE digest = ?", (bytes.fromhex(digest),)
        )
        return None if row is None or row[0] is None else bytes(row[0])

    @staticmethod
    def _append(tx: Transaction, change: str, kind: str, envelope: bytes, signer: str, now_ms: int) -> int:
        entry = statement_entry(kind, now_ms, change, envelope, unverified_statement(envelope), signer)
        index = tx.append(leaf_bytes(entry), [envelope])
        tx.execute(
            "INSERT INTO delivery_statements VALUES (?, ?, ?, ?, ?)", (change, index, kind, entry.content, now_ms)
        )
        return index


def _names(sealed: SealedStatement, artifact: str) -> bool:
    return any(item.sha256 == artifact for item in unverified_statement(sealed.envelope).subject)
