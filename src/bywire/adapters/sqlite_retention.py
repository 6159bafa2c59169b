"""Retention in SQL: what is erased, what is sealed again because something still needs it, and copies outside blobs.

Everything here happens inside the transaction that also records the retention statement.
"""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from bywire.adapters.blob_keys import BlobKeys
from bywire.adapters.sqlite_writer import Transaction
from bywire.approvals.packet import Packet
from bywire.ledger.entry import Entry, parse_leaf
from bywire.ledger.retention import CLASSES, DAY_MS, EVIDENCE, NUMBERS_A_DAY, DataKey, class_of, key_number

GONE = "erased"
_DOOMED = (
    f"length(b.bytes) > 0 AND (b.key IS NULL OR (b.key / {NUMBERS_A_DAY} < ?1 AND b.key % {NUMBERS_A_DAY} IN (?2, ?3)))"
)
_REFERENCED = f"""SELECT e.idx, e.leaf, b.id FROM entries e JOIN blobs b ON b.id = e.blob
    WHERE {_DOOMED} ORDER BY e.idx"""  # noqa: S608  our own constants
# Files and other bytes that came with an entry and that no entry of their own names.
_BESIDE = f"""SELECT b.id, b.key FROM blobs b
    WHERE {_DOOMED} AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.blob = b.id)"""  # noqa: S608
_LIVE = "(verdict = 'pending' OR uses_left > 0) AND revoked = 0 AND expires_ms > ?"
_OLD_APPROVALS = f"(SELECT id FROM approvals WHERE requested_ms < ? AND NOT ({_LIVE}))"  # noqa: S608
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Fields that hold a name of ours; every other text may be somebody's.
_NAMES = frozenset({"approval_id", "code", "effect", "engine", "entrypoint", "id", "kind", "rule", "status"})
_NAME = re.compile(r"[\w.:/ -]{1,128}")


class Erased(msgspec.Struct, frozen=True):
    """How many entries and other blobs lost their bytes; `kept` are indexes of entries old enough that did not."""

    entries: int
    others: int
    kept: tuple[int, ...]


class Erasing:
    """One erasure inside a transaction: classes, and the first UTC day (as a number) that is kept."""

    def __init__(self, tx: Transaction, keys: BlobKeys, classes: Collection[str], first_day: int, today: int) -> None:
        self._tx = tx
        self._keys = keys
        self._classes = frozenset(classes)
        self._first_day = first_day
        self._today = today
        self._existing = frozenset(keys.existing())
        numbers = [CLASSES.index(name) for name in sorted(self._classes)]
        self._doomed = (first_day, numbers[0], numbers[-1])

    def erase(self, needed: Callable[[int, Entry], bool], first_open: int | None) -> Erased:
        """Erase what is old enough and not `needed`; seal again what else lies under a key that is to go.

        `first_open` is the first entry of the oldest delivery that is still open: what came with it or later, and is
        named by no entry, stays.
        """
        going: dict[int, int] = {}
        staying: dict[int, DataKey] = {}
        covered: list[tuple[int, int]] = []
        for index, leaf, blob in self._tx.execute(_REFERENCED, self._doomed).fetchall():
            entry = parse_leaf(bytes(leaf))
            old = class_of(entry) in self._classes and entry.at_ms < self._first_day * DAY_MS
            if old:
                covered.append((index, blob))
            if old and not needed(index, entry):
                going[blob] = DataKey(class_of(entry), entry.at_ms // DAY_MS).number
            else:
                staying[blob] = self._next_key(entry, old=old)
        kept = tuple(index for index, blob in covered if blob in staying)
        self._reseal(staying)
        self._empty((number, blob) for blob, number in going.items() if blob not in staying)
        return Erased(entries=len(covered) - len(kept), others=self._erase_beside(first_open), kept=kept)

    def _next_key(self, entry: Entry, *, old: bool) -> DataKey:
        """The key of the entry's own day, or today's when that one is to go or went: its name is destroyed again."""
        own = DataKey.of_number(key_number(entry))
        return own if own in self._existing and not old else DataKey(own.retention_class, self._today if own.day else 0)

    def _erase_beside(self, first_open: int | None) -> int:
        if EVIDENCE not in self._classes:
            return 0
        opened = self._least("SELECT blob FROM entries WHERE idx = ?", first_open)
        # Rows of schema version 1 have no key that says their day, but blobs are numbered in the order they came.
        young = self._least(
            "SELECT min(blob) FROM entries WHERE json_extract(CAST(leaf AS TEXT), '$.at_ms') >= ?",
            self._first_day * DAY_MS,
        )
        found = self._tx.execute(_BESIDE, self._doomed).fetchall()
        going = [(blob, key) for blob, key in found if blob < opened and (key is not None or blob < young)]
        self._reseal({blob: DataKey(EVIDENCE, self._today) for blob, key in set(found) - set(going)})
        self._empty((key or DataKey(EVIDENCE, 0).number, blob) for blob, key in going)
        return len(going)

    def _least(self, sql: str, value: int | None) -> float:
        row = self._tx.execute(sql, (value,)).fetchone()
        return float("inf") if row is None or row[0] is None else row[0]

    def _reseal(self, blobs: dict[int, DataKey]) -> None:
        """Plain rows stay as they are: no key of theirs is destroyed."""
        for blob, key in blobs.items():
            digest, number, content = self._tx.execute(
                "SELECT digest, key, unsealed(digest, key, bytes) FROM blobs WHERE id = ?", (blob,)
            ).fetchone()
            if number is not None and content is not None:
                sealed = self._keys.seal(key.number, digest, content)
                self._tx.execute("UPDATE blobs SET bytes = ?, key = ? WHERE id = ?", (sealed, key.number, blob))

    def _empty(self, rows: Iterable[tuple[int, int]]) -> None:
        for row in list(rows):
            self._tx.execute("UPDATE blobs SET bytes = zeroblob(0), key = coalesce(key, ?) WHERE id = ?", row)


def scrub_rows(tx: Transaction, before_ms: int, now_ms: int) -> int:
    """Take the text out of old rows outside the log; returns how many rows changed.

    Settled intents keep key, digests, numbers and outcome, so that a repeated call still finds them. Requests for
    approval that permit nothing any more go, with their verdicts.
    """
    for table in ("verdicts", "revocations", "reminders"):
        tx.execute(f"DELETE FROM {table} WHERE approval_id IN {_OLD_APPROVALS}", (before_ms, now_ms))  # noqa: S608
    changed = tx.execute(f"DELETE FROM approvals WHERE id IN {_OLD_APPROVALS}", (before_ms, now_ms)).rowcount  # noqa: S608
    for key, *row in tx.execute(
        "SELECT key, request, decision, outcome FROM intents WHERE state IN ('committed', 'failed') AND at_ms < ?",
        (before_ms,),
    ).fetchall():
        scrubbed = [None if column is None else _scrubbed(column) for column in row]
        if scrubbed != row:
            tx.execute(
                "UPDATE intents SET request = ?, decision = ?, outcome = ?, sealed = NULL WHERE key = ?",
                (*scrubbed, key),
            )
            changed += 1
    return changed


def open_intents(tx: Transaction) -> frozenset[int]:
    """Entries of intents whose outcome is not known: the decision, and the intent's record after it."""
    rows = tx.execute("SELECT entry FROM intents WHERE state IN ('intended', 'unknown')").fetchall()
    return frozenset(index for row in rows for index in (row[0], row[0] + 1))


def live_packets(tx: Transaction, now_ms: int) -> frozenset[str]:
    """Digests of the packets that wait for an answer or may still be used."""
    rows = tx.execute(f"SELECT packet FROM approvals WHERE {_LIVE}", (now_ms,)).fetchall()  # noqa: S608
    return frozenset(msgspec.json.decode(row[0], type=Packet).digest for row in rows)


def _scrubbed(column: bytes) -> bytes:
    return msgspec.json.encode(without_text(msgspec.json.decode(column)))


def without_text(value: Any, name: str = "") -> Any:
    """A JSON value with every text replaced but digests and names of ours."""
    if isinstance(value, dict):
        return {key: without_text(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [without_text(item, name) for item in value]
    if not isinstance(value, str) or not value or _DIGEST.fullmatch(value):
        return value
    return value if name in _NAMES and _NAME.fullmatch(value) else GONE
