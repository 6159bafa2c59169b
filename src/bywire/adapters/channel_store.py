"""What was told on which channel, and what was heard there, on SQLite: nothing is told or heard twice.

A message is claimed before it is sent, so that two processes of one workspace do not both send it. One that was sent by
a process which then died is sent again: a person reads it twice rather than never.
"""

import msgspec

from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Transaction, Writer

CLAIM_MS = 60_000
ATTEMPTS_MAX = 8
BACKOFF_MS, BACKOFF_MS_MAX = 1_000, 300_000
WAITING, SENT, DEAD = "waiting", "sent", "dead"
_OPEN = (
    "SELECT id FROM approvals WHERE (verdict = 'pending' AND revoked = 0 AND expires_ms > ?)"
    " OR id IN (SELECT asked.approval_id FROM channel_messages asked"
    " WHERE asked.channel = ? AND asked.event = 'requested' AND asked.state = 'sent'"
    " AND NOT EXISTS (SELECT 1 FROM channel_messages done WHERE done.approval_id = asked.approval_id"
    " AND done.channel = asked.channel AND done.event = 'ended' AND done.state != 'waiting'))"
    " ORDER BY requested_ms, rowid LIMIT ?"
)


class Told(msgspec.Struct, frozen=True):
    """One message: `reference` is what the platform calls it. Times in ms since the epoch."""

    event: str
    state: str
    reference: str
    next_ms: int


class ChannelStore:
    """Messages and what was heard."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    def heard_first(self, what: str, now_ms: int, until_ms: int) -> bool:
        """Whether this is heard for the first time; remembered until then."""

        def work(tx: Transaction) -> bool:
            tx.execute("DELETE FROM channel_heard WHERE until_ms < ?", (now_ms,))
            added = tx.execute("INSERT INTO channel_heard VALUES (?, ?) ON CONFLICT DO NOTHING", (what, until_ms))
            return bool(added.rowcount == 1)

        return self._writer.run(work)

    def told(self, approval_id: str, channel: str) -> dict[str, Told]:
        """Every message about one request on one channel, by event."""
        rows = self._reader.rows(
            "SELECT event, state, reference, next_ms FROM channel_messages WHERE approval_id = ? AND channel = ?",
            (approval_id, channel),
        )
        return {row[0]: Told(*row) for row in rows}

    def claim(self, approval_id: str, channel: str, event: str, now_ms: int) -> bool:
        """Take one message for this process to send now; False when it is not due, or another took it."""

        def work(tx: Transaction) -> bool:
            tx.execute(
                "INSERT INTO channel_messages VALUES (?, ?, ?, 'waiting', '', 0, 0) ON CONFLICT DO NOTHING",
                (approval_id, channel, event),
            )
            claimed = tx.execute(
                "UPDATE channel_messages SET attempts = attempts + 1, next_ms = ?"
                " WHERE approval_id = ? AND channel = ? AND event = ? AND state = 'waiting' AND next_ms <= ?",
                (now_ms + CLAIM_MS, approval_id, channel, event, now_ms),
            )
            return bool(claimed.rowcount == 1)

        return self._writer.run(work)

    def sent(self, approval_id: str, channel: str, event: str, reference: str) -> None:
        """It arrived; `reference` is what the platform calls it."""
        self._writer.run(
            lambda tx: tx.execute(
                "UPDATE channel_messages SET state = 'sent', reference = ?"
                " WHERE approval_id = ? AND channel = ? AND event = ?",
                (reference, approval_id, channel, event),
            )
        )

    def failed(self, approval_id: str, channel: str, event: str, now_ms: int, *, final: bool) -> None:
        """It did not: try again after twice the time, up to `ATTEMPTS_MAX`; then it is dead, and counted."""
        about = (approval_id, channel, event)

        def work(tx: Transaction) -> None:
            row = tx.execute(
                "SELECT attempts FROM channel_messages WHERE approval_id = ? AND channel = ? AND event = ?", about
            ).fetchone()
            state = DEAD if final or row[0] >= ATTEMPTS_MAX else WAITING
            pause = min(BACKOFF_MS * 2 ** (row[0] - 1), BACKOFF_MS_MAX)
            tx.execute(
                "UPDATE channel_messages SET state = ?, next_ms = ?"
                " WHERE approval_id = ? AND channel = ? AND event = ?",
                (state, now_ms + pause, *about),
            )

        self._writer.run(work)

    def open_requests(self, channel: str, now_ms: int, most: int) -> list[str]:
        """Ids of the requests that wait, and of those whose end this channel was not told, oldest first."""
        rows = self._reader.rows(_OPEN, (now_ms, channel, most))
        return [str(row[0]) for row in rows]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many messages are waiting, sent and dead, by channel."""
        found: dict[str, dict[str, int]] = {}
        for channel, state, count in self._reader.rows(
            "SELECT channel, state, count(*) FROM channel_messages GROUP BY 1, 2 ORDER BY 1, 2"
        ):
            found.setdefault(channel, {})[state] = count
        return found
