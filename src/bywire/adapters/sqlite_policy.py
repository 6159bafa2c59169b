"""Policies on SQLite: where each active bundle came from, candidates that were refused, and shadowed rules."""

from typing import Any

import msgspec

from bywire.adapters.sqlite_envelope_state import SqliteState, active_bundle
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.ledger.entry import leaf_bytes, record_entry, statement_entry
from bywire.model.errors import PolicyError
from bywire.policy.bundle import Bundle
from bywire.policy.shadow import Shadow
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import unverified_statement

ABOUT = "workspace"
REFUSALS_MAX = 64
SHADOWS_READ_MAX = 256


class BundleRow(msgspec.Struct, frozen=True):
    """A bundle that is or was active. `content` is empty for one from before this was kept; `signer` when unsigned."""

    digest: str
    revision: int
    active: bool
    at_ms: int
    entry: int
    content: str
    source: str
    signer: str
    linted_by: str


class ShadowRow(msgspec.Struct, frozen=True):
    """A shadow as it was signed. `ended_ms` is None until somebody ended it."""

    id: str
    rule: str
    envelope: bytes
    expires_ms: int
    entry: int
    ended_ms: int | None


_BUNDLES = (
    "SELECT b.digest, b.revision, b.active, b.at_ms, coalesce(r.entry, -1), coalesce(r.content, ''),"
    " coalesce(r.source, ''), coalesce(r.signer, ''), coalesce(r.linted_by, '')"
    " FROM bundles b LEFT JOIN bundle_records r ON r.digest = b.digest"
)


class SqlitePolicies:
    """What is known of bundles and shadows."""

    def __init__(self, writer: Writer, reader: Reader, state: SqliteState) -> None:
        self._writer = writer
        self._reader = reader
        self._state = state

    def bundle(self, digest: str) -> BundleRow | None:
        """The bundle with this digest, if it ever was active."""
        row = self._reader.row(f"{_BUNDLES} WHERE b.digest = ?", (digest,))
        return None if row is None else _bundle_row(row)

    def bundles(self) -> tuple[BundleRow, ...]:
        """Every bundle that was ever active, oldest first."""
        return tuple(_bundle_row(row) for row in self._reader.rows(f"{_BUNDLES} ORDER BY b.revision"))

    def check_newer(self, revision: int) -> None:
        """Refuse early what `activate` would refuse: a revision that is not above all before. PolicyError."""
        newest = max((row.revision for row in self.bundles()), default=0)
        if revision <= newest:
            raise PolicyError(
                f"the policy has revision {revision}, and {newest} was active before",
                code="bundle_not_newer",
                next_step=f"raise `revision` in its manifest.json above {newest}",
            )

    def activate(self, bundle: Bundle, record: bytes, *, source: str, signer: str, linted_by: str, now_ms: int) -> int:
        """Log a bundle and put it in force, in one transaction; returns the ledger index, -1 when it was already.

        Raises PolicyError `bundle_not_newer`.
        """

        def work(tx: Transaction) -> int:
            if active_bundle(tx) == bundle.digest:
                return -1
            self._state.activate_bundle(tx, bundle.digest, bundle.manifest.revision, now_ms)
            entry = tx.append(leaf_bytes(record_entry("policy-bundle", now_ms, ABOUT, record)), [record])
            tx.execute(
                "INSERT INTO bundle_records VALUES (?, ?, ?, ?, ?, ?)",
                (bundle.digest, entry, sha256_hex(record), source, signer, linted_by),
            )
            return entry

        return self._writer.run(work)

    def endorse(self, digest: str, signer: str, envelope: bytes, key_id: str, now_ms: int) -> int:
        """Log a signature over a bundle that was in force before it was signed; returns the ledger index."""
        leaf = _statement_leaf("policy-endorsement", envelope, key_id, now_ms)

        def work(tx: Transaction) -> int:
            entry = tx.append(leaf, [envelope])
            tx.execute(
                "INSERT INTO bundle_records VALUES (?, ?, '', '', ?, '')"
                " ON CONFLICT (digest) DO UPDATE SET signer = excluded.signer",
                (digest, entry, signer),
            )
            return entry

        return self._writer.run(work)

    def refusal(self, content: str) -> PolicyError | None:
        """Why a candidate with exactly this content was refused before."""
        row = self._reader.row("SELECT code, message, next_step FROM bundle_refusals WHERE content = ?", (content,))
        return None if row is None else PolicyError(row[1], code=row[0], next_step=row[2])

    def refuse(self, content: str, error: PolicyError, now_ms: int) -> None:
        """Remember why, so that the next command need not find out again; the oldest are forgotten."""

        def work(tx: Transaction) -> None:
            tx.execute(
                "INSERT OR REPLACE INTO bundle_refusals VALUES (?, ?, ?, ?, ?)",
                (content, error.code, error.message, error.next_step, now_ms),
            )
            tx.execute(
                "DELETE FROM bundle_refusals WHERE content NOT IN"
                " (SELECT content FROM bundle_refusals ORDER BY at_ms DESC LIMIT ?)",
                (REFUSALS_MAX,),
            )

        self._writer.run(work)

    def add_shadow(self, shadow: Shadow, envelope: bytes, key_id: str, now_ms: int) -> int:
        """Log a signed shadow and keep it; returns the ledger index."""
        leaf = _statement_leaf("shadow-rule", envelope, key_id, now_ms)

        def work(tx: Transaction) -> int:
            entry = tx.append(leaf, [envelope])
            tx.execute(
                "INSERT INTO shadow_rules VALUES (?, ?, ?, ?, ?, NULL)",
                (sha256_hex(envelope), shadow.rule, envelope, shadow.expires_at_ms, entry),
            )
            return entry

        return self._writer.run(work)

    def end_shadow(self, rule: str, record: bytes, now_ms: int) -> tuple[int, int]:
        """End every shadow of a rule: (how many there were, ledger index). Enforcing again is never made to wait."""

        def work(tx: Transaction) -> tuple[int, int]:
            ended = tx.execute(
                "UPDATE shadow_rules SET ended_ms = ? WHERE rule = ? AND ended_ms IS NULL AND expires_ms > ?",
                (now_ms, rule, now_ms),
            ).rowcount
            return ended, tx.append(leaf_bytes(record_entry("shadow-ended", now_ms, ABOUT, record)), [record])

        return self._writer.run(work, reducing=True)

    def shadows(self, *, open_at_ms: int | None = None) -> tuple[ShadowRow, ...]:
        """Shadows as signed, newest first; only those neither ended nor expired at `open_at_ms`, when given."""
        where: str = ""
        values: tuple[int, ...] = ()
        if open_at_ms is not None:
            where, values = " WHERE ended_ms IS NULL AND expires_ms > ?", (open_at_ms,)
        rows = self._reader.rows(
            f"SELECT id, rule, envelope, expires_ms, entry, ended_ms FROM shadow_rules{where}"  # noqa: S608  our text
            " ORDER BY entry DESC LIMIT ?",
            (*values, SHADOWS_READ_MAX),
        )
        return tuple(ShadowRow(*row) for row in rows)


def _statement_leaf(kind: str, envelope: bytes, key_id: str, now_ms: int) -> bytes:
    return leaf_bytes(statement_entry(kind, now_ms, ABOUT, envelope, unverified_statement(envelope), key_id))


def _bundle_row(row: tuple[Any, ...]) -> BundleRow:
    digest, revision, active, *more = row
    return BundleRow(digest, revision, bool(active), *more)
