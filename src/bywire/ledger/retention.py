"""How long the bytes behind an entry are kept, and the statement that says which were erased (RULES 26).

Every blob is sealed under the data key of its class and UTC day; erasing a day means destroying its keys. What other
entries, live grants or trust depend on is of class `keep`, whose key is never destroyed. Leaves, tree and proofs hold
digests of the plain bytes, so they stay valid. Bytes that are gone without a retention statement stay a fault.
"""

from datetime import date, timedelta

import msgspec

from bywire.ledger.entry import Entry
from bywire.model.errors import ConfigError, EvidenceError
from bywire.model.statement import RETENTION, Statement, subject

KIND = "retention"
DAY_MS = 86_400_000
KEEP, DECISIONS, EVIDENCE = "keep", "decisions", "evidence"
CLASSES = (KEEP, DECISIONS, EVIDENCE)
ERASABLE = CLASSES[1:]
# Assets are attested once and relied on by every later release.
_ASSETS = "assets"
_CLASS_OF_KIND = {
    **dict.fromkeys(("advised", "approval", "approval-request", "decision", "intent", "outcome", "reads"), DECISIONS),
    **dict.fromkeys(
        (
            "change-set",
            "evaluation",
            "plan",
            "provenance",
            "recourse",
            "sbom",
            "test-report",
            "verdict",
        ),
        EVIDENCE,
    ),
}
"""Kinds that may be erased. Every other one is kept, so that a kind nobody thought of is never lost."""

NUMBERS_A_DAY = 16
_EPOCH = date(1970, 1, 1)
_DAY_MAX = (date.max - _EPOCH).days


class DataKey(msgspec.Struct, frozen=True):
    """Names one data key: a class, and the UTC day (days since 1970-01-01; 0 for `keep`) of the entries under it."""

    retention_class: str
    day: int

    @property
    def number(self) -> int:
        """The name as the database holds it; grows with the day."""
        return self.day * NUMBERS_A_DAY + CLASSES.index(self.retention_class)

    @property
    def name(self) -> str:
        """The name as a file and a person have it: `keep`, `decisions-2026-01-05`."""
        return KEEP if self.retention_class == KEEP else f"{self.retention_class}-{iso_day(self.day)}"

    @classmethod
    def of_number(cls, number: int) -> "DataKey":
        """Inverse of `number`. ValueError when there is no such class or day."""
        day, place = divmod(number, NUMBERS_A_DAY)
        if not 0 <= place < len(CLASSES) or day < 0 or day > _DAY_MAX or (place == 0 and day):
            raise ValueError("no data key has this number")
        return cls(CLASSES[place], day)

    @classmethod
    def of_name(cls, name: str) -> "DataKey":
        """Inverse of `name`. ValueError."""
        retention_class, _, day = name.partition("-")
        key = cls(retention_class, _day_number(day) if day else 0)
        if retention_class not in CLASSES or key.name != name:
            raise ValueError("no data key has this name")
        return key


class Erasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The predicate of a retention statement.

    Erased is the content of entries below `end` whose class is in `classes` and whose day lies before `before`
    (YYYY-MM-DD), except those at the indexes `kept`: open deliveries, open intents and live grants needed them.
    `keys` names the data keys that were destroyed.
    """

    at_ms: int
    before: str
    by: str
    classes: tuple[str, ...]
    end: int
    kept: tuple[int, ...]
    keys: tuple[str, ...]
    reason: str

    def covers(self, index: int, entry: Entry) -> bool:
        """Whether this statement accounts for the bytes of `entry` being gone."""
        return (
            index < self.end
            and index not in self.kept
            and class_of(entry) in self.classes
            and entry.at_ms < _day_number(self.before) * DAY_MS
        )


def class_of(entry: Entry) -> str:
    """The retention class of an entry's content."""
    return KEEP if entry.object == _ASSETS else _CLASS_OF_KIND.get(entry.kind, KEEP)


def key_number(entry: Entry) -> int:
    """The number of the data key that an entry's content is sealed under; 0 is that of `keep`."""
    retention_class, day = class_of(entry), entry.at_ms // DAY_MS
    return 0 if retention_class == KEEP or day > _DAY_MAX else day * NUMBERS_A_DAY + CLASSES.index(retention_class)


def first_day_kept(before: str, now_ms: int) -> int:
    """The day number of YYYY-MM-DD. ConfigError `retention_date` when it is none, or later than yesterday (UTC).

    What is being written now is sealed under today's keys, or yesterday's around midnight: those are never destroyed.
    """
    try:
        day = _day_number(before)
    except ValueError as error:
        raise ConfigError(
            f"{before!r} is not a date", code="retention_date", next_step="write it as YYYY-MM-DD"
        ) from error
    newest = now_ms // DAY_MS - 1
    if day > newest:
        raise ConfigError(
            f"{before} is too late: what was written since {iso_day(newest)} cannot be erased yet",
            code="retention_date",
            next_step=f"--before {iso_day(newest)} or earlier",
        )
    return day


def iso_day(day: int) -> str:
    """A day number as YYYY-MM-DD."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def retention_statement(origin: str, root: bytes, erasure: Erasure) -> Statement:
    """What the person who erases signs; its subject is the log they erased from, at size `erasure.end`."""
    return Statement(
        subject=(subject(origin, root.hex()),), predicateType=RETENTION, predicate=msgspec.to_builtins(erasure)
    )


def parse_erasure(statement: Statement) -> Erasure:
    """What a statement says was erased; believed only once its signature was verified. EvidenceError."""
    try:
        erasure = msgspec.convert(statement.predicate, Erasure)
        _day_number(erasure.before)
    except (msgspec.ValidationError, ValueError) as error:
        raise EvidenceError("the retention statement is malformed", code="statement_malformed") from error
    if statement.predicateType != RETENTION or not set(erasure.classes) <= set(ERASABLE):
        raise EvidenceError("this is no retention statement", code="statement_malformed")
    return erasure


def _day_number(text: str) -> int:
    day = date.fromisoformat(text)
    if day.isoformat() != text or day < _EPOCH:
        raise ValueError("not a day of this epoch")
    return (day - _EPOCH).days
