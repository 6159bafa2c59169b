"""Erasing what is old: data keys destroyed, a statement that says so, copies outside the log scrubbed (RULES 26).

What somebody still depends on is never erased: entries of deliveries, intents and approvals that are open, and every
kind that trust or a later verification rests on. Backups made before keep what they hold until they are destroyed.
"""

from collections.abc import Callable, Collection
from itertools import groupby

import msgspec

from bywire.adapters.blob_keys import BlobKeys
from bywire.adapters.sqlite_database import compact
from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.sqlite_retention import Erased, Erasing, live_packets, open_intents, scrub_rows
from bywire.adapters.sqlite_writer import Transaction
from bywire.delivery.state import TERMINAL
from bywire.ledger import log
from bywire.ledger.entry import Entry, leaf_bytes, statement_entry
from bywire.ledger.erasure import eraser_keys, erasures
from bywire.ledger.retention import (
    DAY_MS,
    ERASABLE,
    KIND,
    DataKey,
    Erasure,
    first_day_kept,
    iso_day,
    retention_statement,
)
from bywire.model.errors import ConfigError
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import Signer
from bywire.wiring.approving import principal_of, refuse_secrets, roles_of
from bywire.wiring.delivering import deliveries
from bywire.wiring.workspace import DATABASE_FILE, Workspace

RETENTION_LOCK = "retention"
_COPIES = (f"{DATABASE_FILE}.backup-*", "replaced-*")


class Retained(msgspec.Struct, frozen=True):
    """What an erasure did. `copies` are files and directories here that still hold what was erased."""

    entry: int
    before: str
    classes: tuple[str, ...]
    entries: int
    others: int
    kept: int
    keys: int
    rows: int
    copies: tuple[str, ...]


class Held(msgspec.Struct, frozen=True):
    """The data keys of one class: how many days, from which to which (YYYY-MM-DD, empty for `keep`)."""

    retention_class: str
    days: int
    oldest: str
    newest: str


class _Wanted(msgspec.Struct, frozen=True):
    before: str
    first_day: int
    classes: tuple[str, ...]
    principal: str
    reason: str
    now_ms: int


def apply_retention(
    workspace: Workspace,
    before: str,
    classes: Collection[str],
    person: str,
    reason: str,
    sign_with: Callable[[str], Signer],
) -> Retained:
    """Erase what is older than the day `before` (YYYY-MM-DD, UTC), signed by a person. Hold RETENTION_LOCK around it.

    1. Finish what an earlier run recorded and did not complete. 2. In one transaction: erase, seal again what is still
    needed, scrub rows outside the log, record the signed statement. 3. Only then destroy the keys. 4. Write the
    database anew: deleted rows leave traces in its pages. Cut short anywhere, it is finished by running it again.

    Raises ConfigError `retention_date`, `retention_class`, `key_missing`, `not_a_person`; EvidenceError `secret_found`.
    """
    principal, chosen = principal_of(person), tuple(sorted(set(classes or ERASABLE)))
    _check(workspace, principal, chosen, reason)
    now_ms, database = workspace.clock.now_ms(), workspace.directory.path / DATABASE_FILE
    wanted = _Wanted(before, first_day_kept(before, now_ms), chosen, principal, reason, now_ms)
    signer, keys = sign_with(principal), BlobKeys.beside(database)
    finish_erasures(workspace, keys)
    open_ids = frozenset(state.id for state in deliveries(workspace) if state.phase not in TERMINAL)
    doomed = tuple(key for key in keys.existing() if key.retention_class in chosen and key.day < wanted.first_day)
    names = tuple(key.name for key in doomed)
    origin = workspace.trust.origin
    erased, rows, entry = workspace.writer.run(lambda tx: _erase(tx, wanted, keys, names, open_ids, origin, signer))
    keys.destroy(doomed)
    compact(database)
    return Retained(
        entry=entry,
        before=before,
        classes=chosen,
        entries=erased.entries,
        others=erased.others,
        kept=len(erased.kept),
        keys=len(doomed),
        rows=rows,
        copies=_copies(workspace),
    )


def _erase(
    tx: Transaction,
    wanted: _Wanted,
    keys: BlobKeys,
    names: tuple[str, ...],
    open_ids: frozenset[str],
    origin: str,
    signer: Signer,
) -> tuple[Erased, int, int]:
    """Steps of one transaction: what was erased, rows scrubbed, ledger index of the statement."""
    size, root = tx.entry_count(), log.integrate(tx).root()
    intents, packets = open_intents(tx), live_packets(tx, wanted.now_ms)

    def needed(index: int, entry: Entry) -> bool:
        return entry.object in open_ids or index in intents or bool(packets & set(entry.subjects))

    erasing = Erasing(tx, keys, wanted.classes, wanted.first_day, wanted.now_ms // DAY_MS)
    erased = erasing.erase(needed, _first_entry(tx, open_ids))
    rows = scrub_rows(tx, wanted.first_day * DAY_MS, wanted.now_ms)
    erasure = Erasure(
        at_ms=wanted.now_ms,
        before=wanted.before,
        by=wanted.principal,
        classes=wanted.classes,
        end=size,
        kept=erased.kept,
        keys=names,
        reason=wanted.reason,
    )
    statement = retention_statement(origin, root, erasure)
    envelope = sign_statement(statement, signer)
    leaf = statement_entry(KIND, wanted.now_ms, "workspace", envelope, statement, signer.key_id)
    return erased, rows, tx.append(leaf_bytes(leaf), [envelope])


def finish_erasures(workspace: Workspace, keys: BlobKeys) -> int:
    """Destroy keys that a retention statement names and a crash left behind; returns how many."""
    named = {name for _, erasure in known_erasures(workspace) for name in erasure.keys}
    return keys.destroy(key for key in keys.existing() if key.name in named)


def known_erasures(workspace: Workspace) -> tuple[tuple[int, Erasure], ...]:
    """(ledger index, erasure) of every retention statement that verifies, oldest first."""
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            return tuple(erasures(reader, eraser_keys(workspace.trust)))
    finally:
        reader.close()


def held_keys(workspace: Workspace) -> tuple[Held, ...]:
    """What there is to erase, by class."""
    existing = BlobKeys.beside(workspace.directory.path / DATABASE_FILE).existing()
    found = []
    for name, group in groupby(sorted(existing, key=lambda key: (key.retention_class, key.day)), _class):
        days = [key.day for key in group]
        dated = name in ERASABLE
        found.append(Held(name, len(days), iso_day(days[0]) if dated else "", iso_day(days[-1]) if dated else ""))
    return tuple(found)


def _class(key: DataKey) -> str:
    return key.retention_class


def _check(workspace: Workspace, principal: str, classes: Collection[str], reason: str) -> None:
    unknown = sorted(set(classes) - set(ERASABLE))
    if unknown:
        raise ConfigError(
            f"{', '.join(unknown)} cannot be erased", code="retention_class", next_step=f"--class {ERASABLE[0]}"
        )
    if not roles_of(workspace.operator, principal):
        raise ConfigError(
            f"{principal} is not among the people of operator.yaml",
            code="not_a_person",
            next_step="name a person whom the operator lists: --as NAME",
        )
    refuse_secrets(workspace, reason)


def _first_entry(tx: Transaction, open_ids: Collection[str]) -> int | None:
    """The first statement of the oldest open delivery."""
    firsts = [
        tx.execute("SELECT min(entry) FROM delivery_statements WHERE change_id = ?", (change,)).fetchone()[0]
        for change in open_ids
    ]
    return min((first for first in firsts if first is not None), default=None)


def _copies(workspace: Workspace) -> tuple[str, ...]:
    return tuple(sorted(path.name for pattern in _COPIES for path in workspace.directory.path.glob(pattern)))
