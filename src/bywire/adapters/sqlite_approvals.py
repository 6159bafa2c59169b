"""Approvals on SQLite: pending packets, verdicts by compare-and-swap, uses left.

A row permits nothing by itself: the door verifies the signed verdict each time it uses one.
"""

from typing import Any

import msgspec

from bywire.adapters.sqlite_journal import remember_time
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.approvals.grant import Grant
from bywire.approvals.packet import Packet
from bywire.ledger.entry import leaf_bytes, record_entry, statement_entry
from bywire.model.errors import ConflictError
from bywire.seal.dsse import unverified_statement

CANDIDATES_MAX = 16
DECIDED_MAX = 64


class ApprovalRow(msgspec.Struct, frozen=True):
    """One approval as stored. `verdict` is pending, approved or denied; times in ms since the epoch."""

    packet: Packet
    envelope: bytes | None
    verdict: str
    uses_left: int
    revoked: bool


class SqliteApprovals:
    """`gateway.ports.ApprovalStore`, and what the `approvals` commands need."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    def pending(self, packet: Packet) -> int:
        """Store a packet that waits for a person and log it; returns the ledger index."""
        encoded = msgspec.json.encode(packet)
        leaf = record_entry(
            "approval-request", packet.requested_at_ms, _about(packet), encoded, [packet.digest, packet.action_digest]
        )

        def work(tx: Transaction) -> int:
            tx.execute(
                "INSERT INTO approvals (id, action_digest, plan_digest, packet, verdict, uses_left, requested_ms,"
                " expires_ms) VALUES (?, ?, ?, ?, 'pending', 0, ?, ?) ON CONFLICT (id) DO NOTHING",
                (
                    packet.id,
                    packet.action_digest,
                    packet.plan_digest,
                    encoded,
                    packet.requested_at_ms,
                    packet.expires_at_ms,
                ),
            )
            return tx.append(leaf_bytes(leaf), [encoded])

        return self._writer.run(work)

    def find(self, *, action_digest: str, plan_digest: str) -> tuple[tuple[Packet, bytes | None, int, bool], ...]:
        """Candidates for an action: those bound to it, or to the plan it runs under; newest first."""
        rows = self._reader.rows(
            "SELECT packet, envelope, uses_left, revoked FROM approvals WHERE action_digest = ?"
            " OR (plan_digest = ? AND plan_digest != '') ORDER BY requested_ms DESC, rowid DESC LIMIT ?",
            (action_digest, plan_digest, CANDIDATES_MAX),
        )
        return tuple((msgspec.json.decode(row[0], type=Packet), row[1], row[2], bool(row[3])) for row in rows)

    def decided_before(self, packet: Packet) -> bytes | None:
        """The newest verdict on what the same requester asked for, with whatever parameters, among the last ones."""
        rows = self._reader.rows(
            "SELECT packet, envelope FROM approvals WHERE envelope IS NOT NULL AND id != ?"
            " ORDER BY requested_ms DESC, rowid DESC LIMIT ?",
            (packet.id, DECIDED_MAX),
        )
        alike = (row[1] for row in rows if _asks_for(msgspec.json.decode(row[0], type=Packet)) == _asks_for(packet))
        return next(alike, None)

    def row(self, approval_id: str) -> ApprovalRow | None:
        """One approval by id."""
        found = self._reader.row(
            "SELECT packet, envelope, verdict, uses_left, revoked FROM approvals WHERE id = ?", (approval_id,)
        )
        return None if found is None else _approval_row(found)

    def rows(self) -> list[ApprovalRow]:
        """Every approval, newest first."""
        found = self._reader.rows(
            "SELECT packet, envelope, verdict, uses_left, revoked FROM approvals ORDER BY requested_ms DESC, rowid DESC"
        )
        return [_approval_row(row) for row in found]

    def settle(self, grant: Grant, envelope: bytes, now_ms: int) -> int:
        """Record a person's verdict on the packet that waits under its id, once.

        ConflictError `approval_settled` when it was decided before, has expired, or is another packet.
        """
        leaf = statement_entry(
            "approval", now_ms, _about(grant.packet), envelope, unverified_statement(envelope), grant.key_id
        )
        uses = grant.uses if grant.verdict == "approved" else 0

        def work(tx: Transaction) -> int:
            waiting = tx.execute("SELECT packet FROM approvals WHERE id = ?", (grant.id,)).fetchone()
            if waiting is None or msgspec.json.decode(waiting[0], type=Packet).digest != grant.packet.digest:
                raise ConflictError(
                    f"the verdict is not on the packet that waits as {grant.id}",
                    code="approval_settled",
                    next_step="bywire approvals list",
                )
            changed = tx.execute(
                "UPDATE approvals SET verdict = ?, envelope = ?, uses_left = ? WHERE id = ? AND verdict = 'pending'"
                " AND expires_ms > ?",
                (grant.verdict, envelope, uses, grant.id, now_ms),
            )
            if changed.rowcount != 1:
                raise ConflictError(
                    f"approval {grant.id} was already decided or has expired",
                    code="approval_settled",
                    next_step=f"bywire approvals show {grant.id}",
                )
            remember_time(tx, now_ms)
            return tx.append(leaf_bytes(leaf), [envelope])

        return self._writer.run(work)


def _asks_for(packet: Packet) -> tuple[Any, ...]:
    """What makes two requests alike: the same artifact where there is one, whatever plan it is to go out by."""
    action = packet.action
    about = action.get("parameters", {}).get("artifact") or action.get("change")
    return packet.requester, packet.service, packet.environment, action.get("tool"), about


def _about(packet: Packet) -> str:
    return str(packet.action.get("change") or "workspace")


def _approval_row(row: tuple[Any, ...]) -> ApprovalRow:
    return ApprovalRow(
        packet=msgspec.json.decode(row[0], type=Packet),
        envelope=row[1],
        verdict=row[2],
        uses_left=row[3],
        revoked=bool(row[4]),
    )
