"""The door's journal on SQLite: the intent transaction and the record of outcomes (RULES 11)."""

import threading
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from bywire.adapters.sqlite_break_glass import consume_break_glass
from bywire.adapters.sqlite_costs import charge, overspent
from bywire.adapters.sqlite_decisions import name_decision, name_entry, named
from bywire.adapters.sqlite_envelope_state import active_bundle, is_frozen, is_stopped, stop_epoch
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_windows import take
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.audit.replay import ADVISED
from bywire.gateway.inputs import HOUR_MS
from bywire.gateway.ports import INTENT_EXISTS, Debit, Intent, IntentRow, Miss
from bywire.ledger.entry import leaf_bytes, record_entry, statement_entry
from bywire.model.decision import Decision, Outcome, OutcomeStatus
from bywire.model.statement import DECISION
from bywire.model.windows import SLIDING, next_period_ms
from bywire.seal.dsse import unverified_statement
from bywire.seal.keys import SigningKey

READS_BUFFERED_MAX = 256
NO_CHANGE = "workspace"
_OPEN = "state IN ('intended', 'unknown') AND epoch <= ?"
# Left to itself SQLite walks every open intent, those of callers too.
_OURS = f"intents INDEXED BY intents_ours WHERE mediated = 1 AND {_OPEN}"
_FIELDS = (
    "key, action_digest, principal, tool, service, environment, change_id, state, epoch, at_ms, deadline_ms,"
    " precondition, request, decision, outcome, sealed"
)


class SqliteJournal:
    """`gateway.ports.Journal`. `epoch` is this process's lease epoch: the fence every effect carries (RULES 13)."""

    def __init__(
        self, writer: Writer, reader: Reader, log_key: SigningKey, epoch: int, now_ms: Callable[[], int]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._log_key_id = log_key.key_id
        self._epoch = epoch
        self._now_ms = now_ms
        self._reads: list[tuple[bytes, int]] = []
        self._reads_lock = threading.Lock()

    def act_under(self, epoch: int) -> None:
        """Go on under a later lease epoch: the process lives longer than one."""
        self._epoch = max(self._epoch, epoch)

    def find(self, key: str) -> IntentRow | None:
        """The intent journalled under this key."""
        row = self._reader.row(f"SELECT {_FIELDS} FROM intents WHERE key = ?", (key,))  # noqa: S608  our own constant
        return None if row is None else _intent_row(row)

    def open_intents(self) -> tuple[IntentRow, ...]:
        """Intents without a known outcome, oldest first; never those of a process that took over from this one.

        They carry this process's epoch: it holds the lease now, and the target may have seen it already.
        """
        return self._open(f"intents WHERE {_OPEN}")

    def recoverable_intents(self) -> tuple[IntentRow, ...]:
        """As `open_intents`, without those that their callers carry out: no permit is looked at to settle another."""
        return self._open(_OURS)

    def has_recoverable(self) -> bool:
        """Whether `recoverable_intents` are any."""
        found = self._reader.row(f"SELECT EXISTS (SELECT 1 FROM {_OURS})", (self._epoch,))  # noqa: S608
        return found is None or bool(found[0])

    def decision_of(self, key: str) -> tuple[int, bytes] | None:
        """(ledger index, envelope) of the decision that an intent was committed with."""
        row = self._reader.row(
            "SELECT i.entry, unsealed(b.digest, b.key, b.bytes) FROM intents i JOIN entries e ON e.idx = i.entry"
            " JOIN blobs b ON b.id = e.blob WHERE i.key = ?",
            (key,),
        )
        return None if row is None or row[1] is None else (int(row[0]), bytes(row[1]))

    def decision_on(self, approval_id: str, action_digest: str) -> Decision | None:
        """What was recorded last on what this request for approval asks, if that was decided on this very action."""
        found = named(self._reader, approval_id)
        return found.decision if found is not None and found.action_digest == action_digest else None

    def withdrawn(self, row: IntentRow) -> bool:
        """Whether its session or its approval was revoked since."""
        found = self._reader.row(
            "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ? AND revoked != 0)"
            " OR EXISTS (SELECT 1 FROM approvals WHERE id = ? AND revoked != 0)",
            (row.request.get("session", ""), row.request.get("grant", "")),
        )
        return found is None or bool(found[0])

    def commit_intent(self, intent: Intent) -> IntentRow | Miss:
        """Check, consume, debit and insert in one transaction; any miss aborts all of it."""
        self.flush_reads()
        try:
            return self._writer.run(lambda tx: self._intend(tx, intent), reducing=intent.exposure_reducing)
        except _MissedError as missed:
            return missed.miss

    def settle(self, key: str, outcome: Outcome, envelope: bytes, now_ms: int) -> int:
        """Record how an intent ended; returns the ledger index of the outcome statement.

        Once an intent is known to be committed or failed, that stands: a late answer is logged and changes nothing.
        """
        state = {OutcomeStatus.COMMITTED: "committed", OutcomeStatus.FAILED: "failed"}.get(outcome.status, "unknown")

        def work(tx: Transaction) -> int:
            change = str(tx.execute("SELECT change_id FROM intents WHERE key = ?", (key,)).fetchone()[0])
            entry = self._append(tx, "outcome", envelope, change, now_ms)
            recorded = msgspec.json.encode(msgspec.structs.replace(outcome, entry=entry))
            tx.execute(
                "UPDATE intents SET state = ?, outcome = ?, sealed = iif(? = 'unknown', sealed, NULL) WHERE key = ?"
                " AND state IN ('intended', 'unknown')",
                (state, recorded, state, key),
            )
            return entry

        # An outcome only records what already happened, so it may use the reserve.
        return self._writer.run(work, reducing=True)

    def record(self, kind: str, envelope: bytes, change: str, now_ms: int, about: str = "") -> int:
        """Append one statement of the door to the log; `about` is the request for approval that a decision leads to."""
        self.flush_reads()

        def work(tx: Transaction) -> int:
            entry = self._append(tx, kind, envelope, change, now_ms)
            if about:
                name_entry(tx, about, entry)
            return entry

        return self._writer.run(work)

    def record_document(self, kind: str, document: dict[str, Any], change: str, now_ms: int) -> int:
        """Append one unsigned record of the door to the log."""
        self.flush_reads()
        record = msgspec.json.encode(document, order="sorted")
        leaf = leaf_bytes(record_entry(kind, now_ms, _about(change), record))

        def work(tx: Transaction) -> int:
            entry = tx.append(leaf, [record])
            if kind == ADVISED:
                name_decision(tx, document, entry)
            return entry

        return self._writer.run(work)

    def note_read(self, document: dict[str, Any], now_ms: int) -> None:
        """Keep a read's decision for the next batch: reads have no effect, so they may share a later commit."""
        encoded = msgspec.json.encode(document)  # at once: the document's many parts need not live until the flush
        with self._reads_lock:
            self._reads.append((encoded, now_ms))
            full = len(self._reads) >= READS_BUFFERED_MAX
        if full:
            self.flush_reads()

    def flush_reads(self) -> None:
        """Send the buffered reads to the log as one record, without waiting for the commit."""
        with self._reads_lock:
            reads, self._reads = self._reads, []
        if not reads:
            return
        record = b"[" + b",".join(document for document, _ in reads) + b"]"
        leaf = leaf_bytes(record_entry("reads", reads[-1][1], NO_CHANGE, record))
        self._writer.submit(lambda tx: tx.append(leaf, [record]))

    def _intend(self, tx: Transaction, intent: Intent) -> IntentRow:
        if tx.execute("SELECT 1 FROM intents WHERE key = ?", (intent.key,)).fetchone():
            raise _MissedError(INTENT_EXISTS, {"key": intent.key})
        self._check(tx, intent)
        self._consume(tx, intent)
        if intent.break_glass_id and not consume_break_glass(tx, intent.break_glass_id, intent.now_ms):
            raise _MissedError("break_glass.used_or_expired", {"break_glass": intent.break_glass_id})
        self._debit(tx, intent)
        entry = self._append(tx, "decision", intent.decision_envelope, intent.change, intent.now_ms)
        row = IntentRow(
            key=intent.key,
            action_digest=intent.action_digest,
            principal=intent.principal,
            tool=intent.tool,
            service=intent.service,
            environment=intent.environment,
            change=intent.change,
            state="intended",
            epoch=self._epoch,
            at_ms=intent.now_ms,
            deadline_ms=intent.deadline_ms,
            precondition=intent.precondition,
            request=intent.request,
            decision=intent.decision,
            outcome=None,
            sealed=intent.sealed,
        )
        marks = ", ".join("?" * 18)
        values = (*_columns(row), entry, row.mediated)
        tx.execute(f"INSERT INTO intents ({_FIELDS}, entry, mediated) VALUES ({marks})", values)  # noqa: S608
        record = msgspec.json.encode({"intent": row.key, "action": row.action_digest, "epoch": row.epoch})
        leaf = record_entry("intent", intent.now_ms, _about(intent.change), record, [intent.action_digest])
        tx.append(leaf_bytes(leaf), [record])
        return row

    def _check(self, tx: Transaction, intent: Intent) -> None:
        if is_frozen(tx):
            raise _MissedError("state.freeze_all", {"key": intent.key})
        # A stop that was lifted again counts too: what was decided before it is decided anew.
        epoch = stop_epoch(tx, intent.service, intent.principal)
        moved = is_stopped(tx, intent.service, intent.principal) or epoch != intent.stop_epoch
        if moved and not intent.exposure_reducing:
            raise _MissedError("state.stopped", {"epoch": epoch, "decided_at_epoch": intent.stop_epoch})
        if self._now_ms() > intent.deadline_ms:
            raise _MissedError("state.deadline_passed", {"deadline_ms": intent.deadline_ms})
        if active_bundle(tx) != intent.bundle_digest:
            raise _MissedError("state.bundle_changed", {"decided_with": intent.bundle_digest})
        session = tx.execute("SELECT integrity, revoked FROM sessions WHERE id = ?", (intent.session_id,)).fetchone()
        if session is None or session[1] or (session[0] != intent.integrity and not intent.exposure_reducing):
            raise _MissedError("state.session_changed", {"session": intent.session_id})
        if tx.execute("SELECT 1 FROM leases WHERE name = 'writer' AND epoch > ?", (self._epoch,)).fetchone():
            raise _MissedError("state.fenced", {"epoch": self._epoch})

    @staticmethod
    def _consume(tx: Transaction, intent: Intent) -> None:
        if not intent.grant_id:
            return
        consumed = tx.execute(
            "UPDATE approvals SET uses_left = uses_left - ? WHERE id = ? AND verdict = 'approved' AND revoked = 0"
            " AND uses_left > 0 AND expires_ms > ?",
            (intent.grant_uses, intent.grant_id, intent.now_ms),
        )
        if consumed.rowcount != 1:
            raise _MissedError("approval.used_or_expired", {"approval": intent.grant_id})

    def _debit(self, tx: Transaction, intent: Intent) -> None:
        hour, now_ms = intent.now_ms // HOUR_MS, self._now_ms()
        charge(tx, intent)
        full = take(tx, intent.debits, now_ms)
        if full is not None:
            _missed(full.debit, full.used, full.free_ms, now_ms)
        for debit in intent.debits:
            if debit.period in SLIDING:
                continue
            frees_at_ms = next_period_ms(debit.period, now_ms) if debit.amount <= debit.limit else None
            if debit.unit:
                over = overspent(tx, debit, intent.now_ms)
                if over is not None:
                    _missed(debit, over - debit.amount, frees_at_ms, now_ms)
                continue
            counted = tx.execute(
                "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT (scope, hour) DO UPDATE SET used = used + excluded.used"
                " RETURNING used",
                (debit.scope, hour, debit.amount),
            )
            used = counted.fetchone()[0]
            if used > debit.limit:
                _missed(debit, used - debit.amount, frees_at_ms, now_ms)

    def _append(self, tx: Transaction, kind: str, envelope: bytes, change: str, now_ms: int) -> int:
        statement = unverified_statement(envelope)
        leaf = statement_entry(kind, now_ms, _about(change), envelope, statement, self._log_key_id)
        remember_time(tx, now_ms)
        entry = tx.append(leaf_bytes(leaf), [envelope])
        if statement.predicateType == DECISION:
            name_decision(tx, statement.predicate, entry)
        return entry

    def _open(self, which: str) -> tuple[IntentRow, ...]:
        rows = self._reader.rows(
            f"SELECT {_FIELDS} FROM {which} ORDER BY at_ms, entry",  # noqa: S608  our constants
            (self._epoch,),
        )
        return tuple(msgspec.structs.replace(_intent_row(row), epoch=self._epoch) for row in rows)


class _MissedError(Exception):
    """Aborts the intent's savepoint; never leaves this module."""

    def __init__(self, rule: str, facts: dict[str, Any]) -> None:
        super().__init__(rule)
        self.miss = Miss(rule=rule, facts=facts)


def _missed(debit: Debit, used: int, frees_at_ms: int | None, now_ms: int) -> NoReturn:
    """There is no room for a debit; `retry_after_ms` where there will be."""
    facts: dict[str, Any] = {"of": debit.name, "used": used, "limit": debit.limit}
    facts |= {"asked": debit.amount} if debit.unit else {}
    facts |= {} if frees_at_ms is None else {"retry_after_ms": frees_at_ms - now_ms}
    raise _MissedError(f"state.{debit.period}_budget_spent" if debit.unit else "state.budget_spent", facts)


def remember_time(tx: Transaction, now_ms: int) -> None:
    """Persist the high-water mark of `now` (RULES 27)."""
    tx.execute(
        "INSERT INTO meta VALUES ('now_ms', ?) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
        (now_ms,),
    )


def _about(change: str) -> str:
    return change or NO_CHANGE


def _columns(row: IntentRow) -> tuple[Any, ...]:
    return (
        row.key,
        row.action_digest,
        row.principal,
        row.tool,
        row.service,
        row.environment,
        row.change,
        row.state,
        row.epoch,
        row.at_ms,
        row.deadline_ms,
        msgspec.json.encode(row.precondition),
        msgspec.json.encode(row.request),
        msgspec.json.encode(row.decision),
        None if row.outcome is None else msgspec.json.encode(row.outcome),
        row.sealed or None,
    )


def _intent_row(row: tuple[Any, ...]) -> IntentRow:
    names = [
        "key",
        "action_digest",
        "principal",
        "tool",
        "service",
        "environment",
        "change",
        "state",
        "epoch",
        "at_ms",
        "deadline_ms",
    ]
    precondition, request, decision, outcome, sealed = row[len(names) :]
    plain: dict[str, Any] = dict(zip(names, row[: len(names)], strict=True))
    return IntentRow(
        **plain,
        precondition=msgspec.json.decode(precondition),
        request=msgspec.json.decode(request),
        decision=msgspec.json.decode(decision, type=Decision),
        outcome=None if outcome is None else msgspec.json.decode(outcome, type=Outcome),
        sealed=sealed or b"",
    )
