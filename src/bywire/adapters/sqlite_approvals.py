"""Approvals on SQLite: pending packets, one verdict a person by compare-and-swap, uses left, revocations, reminders.

A row permits nothing by itself: the door verifies the signed verdicts each time it uses one. `approvals.verdict` says
whether the quorum of the packet is met; `approvals.envelope` is the verdict that settled it.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from bywire.adapters.sqlite_journal import remember_time
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.approvals.candidate import Candidate
from bywire.approvals.grant import Verdict, expires_at_ms, uses_of
from bywire.approvals.packet import Packet
from bywire.approvals.revocation import Revocation
from bywire.ledger.entry import leaf_bytes, record_entry, statement_entry
from bywire.model.errors import ConflictError
from bywire.seal import jcs
from bywire.seal.dsse import unverified_statement

CANDIDATES_MAX = 16
DECIDED_MAX = 64
_FIELDS = "id, packet, envelope, verdict, uses_left, revoked, expires_ms"


class ApprovalRow(msgspec.Struct, frozen=True):
    """One approval as stored. `verdict` is pending, approved or denied; times in ms since the epoch.

    `envelopes` are its verdicts, oldest first; `revocation` is the signed one, if any; `reminded` names the reminders
    that were given.
    """

    packet: Packet
    envelopes: tuple[bytes, ...]
    verdict: str
    uses_left: int
    revoked: bool
    expires_ms: int
    revocation: bytes | None = None
    reminded: tuple[str, ...] = ()

    @property
    def candidate(self) -> Candidate:
        """The row as the door sees it."""
        return Candidate(
            packet=self.packet,
            envelopes=self.envelopes,
            uses_left=self.uses_left,
            revoked=self.revoked,
            settled="" if self.verdict == "pending" else self.verdict,
        )


class SqliteApprovals:
    """`gateway.ports.ApprovalStore`, and what the `approvals` commands need."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    def pending(self, packet: Packet) -> int:
        """Store a packet that waits for people and log it; returns the ledger index."""
        encoded = msgspec.json.encode(packet.as_json())
        leaf = record_entry(
            "approval-request", packet.requested_at_ms, _about(packet), encoded, [packet.digest, packet.action_digest]
        )
        values = (packet.id, packet.action_digest, packet.plan_digest, encoded)
        times = (packet.requested_at_ms, packet.expires_at_ms)

        def work(tx: Transaction) -> int:
            tx.execute(
                "INSERT INTO approvals (id, action_digest, plan_digest, packet, verdict, uses_left, requested_ms,"
                " expires_ms) VALUES (?, ?, ?, ?, 'pending', 0, ?, ?) ON CONFLICT (id) DO NOTHING",
                (*values, *times),
            )
            return tx.append(leaf_bytes(leaf), [encoded])

        return self._writer.run(work)

    def find(self, *, action_digest: str, plan_digest: str) -> tuple[Candidate, ...]:
        """Candidates for an action: those bound to it, or to the plan it runs under; settled first, then newest first.

        What merely waits costs nobody a signature, so however much of it there is, it hides nothing that was settled.
        """
        found = self._rows(
            "WHERE action_digest = ? OR (plan_digest = ? AND plan_digest != '')"
            " ORDER BY verdict = 'pending', requested_ms DESC, rowid DESC LIMIT ?",
            (action_digest, plan_digest, CANDIDATES_MAX),
        )
        return tuple(row.candidate for row in found)

    def decided_before(self, packet: Packet) -> tuple[Candidate, ...]:
        """The newest settled request like this one, with whatever parameters, among the last ones; or nothing."""
        settled = self._rows(
            "WHERE envelope IS NOT NULL AND id != ? ORDER BY requested_ms DESC, rowid DESC LIMIT ?",
            (packet.id, DECIDED_MAX),
        )
        alike = [row.candidate for row in settled if _asks_for(row.packet) == _asks_for(packet)]
        return tuple(alike[:1])

    def row(self, approval_id: str) -> ApprovalRow | None:
        """One approval by id."""
        return next(iter(self._rows("WHERE id = ?", (approval_id,))), None)

    def rows(self) -> list[ApprovalRow]:
        """Every approval, newest first."""
        return self._rows("ORDER BY requested_ms DESC, rowid DESC")

    def settle(self, verdict: Verdict, envelope: bytes, now_ms: int) -> int:
        """Record one person's verdict on the packet that waits under its id, once; returns the ledger index.

        A denial settles it, and so does the verdict that completes the quorum. ConflictError `approval_settled` when it
        was settled, revoked or answered by the same person before, has expired, or is another packet.
        """
        leaf = statement_entry(
            "approval", now_ms, _about(verdict.packet), envelope, unverified_statement(envelope), verdict.key_id
        )

        def work(tx: Transaction) -> int:
            _check_waits(tx, verdict)
            said = (verdict.verdict, verdict.approval.role, verdict.key_id, envelope)
            added = tx.execute(
                "INSERT INTO verdicts SELECT ?, ?, ?, ?, ?, ? FROM approvals WHERE id = ? AND verdict = 'pending'"
                " AND revoked = 0 AND expires_ms > ? ON CONFLICT DO NOTHING",
                (verdict.id, verdict.approver, *said, verdict.id, now_ms),
            )
            if added.rowcount != 1:
                raise _settled(_why_not(tx, verdict, now_ms), f"bywire approvals show {verdict.id}")
            _conclude(tx, verdict, envelope)
            remember_time(tx, now_ms)
            return tx.append(leaf_bytes(leaf), [envelope])

        return self._writer.run(work)

    def revoke(self, revocation: Revocation, envelope: bytes, now_ms: int) -> int:
        """Take an approval back, once: no intent uses it after this returns; returns the ledger index.

        ConflictError `approval_settled` when it was denied or revoked before, or is another packet.
        """
        about = revocation.approval
        statement = unverified_statement(envelope)

        def work(tx: Transaction) -> int:
            packet = _packet_of(tx, about)
            if packet is None or packet.digest != revocation.packet_digest:
                raise _settled(f"the revocation is not of the packet stored as {about}", "bywire approvals list")
            changed = tx.execute(
                "UPDATE approvals SET revoked = 1 WHERE id = ? AND revoked = 0 AND verdict != 'denied'", (about,)
            )
            if changed.rowcount != 1:
                raise _settled(f"approval {about} was denied or revoked before", f"bywire approvals show {about}")
            tx.execute("INSERT INTO revocations VALUES (?, ?, ?)", (about, revocation.person, envelope))
            remember_time(tx, now_ms)
            leaf = statement_entry(
                "approval-revocation", now_ms, _about(packet), envelope, statement, revocation.key_id
            )
            return tx.append(leaf_bytes(leaf), [envelope])

        # Taking back reduces exposure: it must work on a full disk, too.
        return self._writer.run(work, reducing=True)

    def remind(self, packet: Packet, name: str, document: dict[str, Any], now_ms: int) -> int | None:
        """Record that a reminder was given, once; the ledger index, or None when it was recorded before."""
        record = jcs.canonical(document)
        leaf = record_entry("approval-reminder", now_ms, _about(packet), record, [packet.digest])

        def work(tx: Transaction) -> int | None:
            added = tx.execute("INSERT INTO reminders VALUES (?, ?) ON CONFLICT DO NOTHING", (packet.id, name))
            return tx.append(leaf_bytes(leaf), [record]) if added.rowcount == 1 else None

        return self._writer.run(work)

    def _rows(self, where: str, values: Sequence[Any] = ()) -> list[ApprovalRow]:
        found = self._reader.rows(f"SELECT {_FIELDS} FROM approvals {where}", values)  # noqa: S608  our own constants
        return [self._row(row) for row in found]

    def _row(self, row: tuple[Any, ...]) -> ApprovalRow:
        about, packet, settling, verdict, uses_left, revoked, expires_ms = row
        said = self._reader.rows("SELECT envelope FROM verdicts WHERE approval_id = ? ORDER BY rowid", (about,))
        revocation = self._reader.row("SELECT envelope FROM revocations WHERE approval_id = ?", (about,))
        reminded = self._reader.rows("SELECT name FROM reminders WHERE approval_id = ? ORDER BY rowid", (about,))
        # A database of version 1 kept the one verdict that there could be in the row itself.
        kept = () if settling is None else (settling,)
        return ApprovalRow(
            packet=msgspec.json.decode(packet, type=Packet),
            envelopes=tuple(envelope for (envelope,) in said) or kept,
            verdict=verdict,
            uses_left=uses_left,
            revoked=bool(revoked),
            expires_ms=expires_ms,
            revocation=None if revocation is None else revocation[0],
            reminded=tuple(name for (name,) in reminded),
        )


def _packet_of(tx: Transaction, approval_id: str) -> Packet | None:
    stored = tx.execute("SELECT packet FROM approvals WHERE id = ?", (approval_id,)).fetchone()
    return None if stored is None else msgspec.json.decode(stored[0], type=Packet)


def _check_waits(tx: Transaction, verdict: Verdict) -> None:
    waiting = _packet_of(tx, verdict.id)
    if waiting is None or waiting.digest != verdict.packet.digest:
        raise _settled(f"the verdict is not on the packet that waits as {verdict.id}", "bywire approvals list")


def _why_not(tx: Transaction, verdict: Verdict, now_ms: int) -> str:
    """Why a request takes no verdict of this person any more."""
    state, revoked, expires_ms = tx.execute(
        "SELECT verdict, revoked, expires_ms FROM approvals WHERE id = ?", (verdict.id,)
    ).fetchone()
    if revoked:
        return f"approval {verdict.id} was revoked"
    if state != "pending":
        return f"approval {verdict.id} was {state} before"
    if expires_ms <= now_ms:
        return f"approval {verdict.id} has expired"
    return f"{verdict.approver} answered {verdict.id} before: one person is one verdict, whatever key or channel"


def _conclude(tx: Transaction, verdict: Verdict, envelope: bytes) -> None:
    """Settle the request when this verdict denies it or completes its quorum of persons in fitting roles."""
    packet = verdict.packet
    if verdict.verdict == "denied":
        _end(tx, packet, verdict.verdict, envelope, 0)
        return
    held = tx.execute("SELECT role FROM verdicts WHERE approval_id = ? AND verdict = 'approved'", (packet.id,))
    fitting = [role for (role,) in held.fetchall() if not packet.roles or role in packet.roles]
    if len(fitting) >= packet.quorum:
        _end(tx, packet, verdict.verdict, envelope, uses_of(packet))


def _end(tx: Transaction, packet: Packet, verdict: str, envelope: bytes, uses: int) -> None:
    tx.execute(
        "UPDATE approvals SET verdict = ?, envelope = ?, uses_left = ?, expires_ms = ? WHERE id = ?",
        (verdict, envelope, uses, expires_at_ms(packet), packet.id),
    )


def _settled(why: str, next_step: str) -> ConflictError:
    return ConflictError(why, code="approval_settled", next_step=next_step)


def _asks_for(packet: Packet) -> tuple[Any, ...]:
    """What makes two requests alike: the same artifact where there is one, whatever plan it is to go out by."""
    action = packet.action
    about = action.get("parameters", {}).get("artifact") or action.get("change")
    return packet.requester, packet.service, packet.environment, action.get("tool"), about


def _about(packet: Packet) -> str:
    return str(packet.action.get("change") or "workspace")
