"""What people did with what was asked of them, counted from the database: verdicts, waiting times, broken glass.

These are totals since the workspace began, whichever process wrote them. A row is believed here for a number only.
"""

import threading
from collections import Counter

import msgspec

from bywire.adapters.metrics_counts import WAIT_BUCKETS, Histogram
from bywire.adapters.sqlite_reading import Reader
from bywire.model.errors import BywireError
from bywire.seal.dsse import unverified_statement

# How many verdicts one scrape reads; what is left is read by the next.
READ_MAX = 2_000
_VERDICTS = (
    "SELECT v.rowid, v.verdict, v.envelope, a.requested_ms, a.envelope = v.envelope FROM verdicts v"
    " JOIN approvals a ON a.id = v.approval_id WHERE v.rowid > ? ORDER BY v.rowid LIMIT ?"
)
_PENDING = "SELECT count(*) FROM approvals WHERE verdict = 'pending' AND revoked = 0 AND expires_ms > ?"
_GLASS = "SELECT count(*), coalesce(sum(closed_ms IS NULL AND uses_left > 0 AND expires_ms > ?), 0) FROM break_glass"
KEY, CHANNEL = "key", "channel"


class _Said(msgspec.Struct, frozen=True):
    at_ms: int = 0
    asserted_by: str = ""


class Reviews:
    """Read under `lock` after `refresh`."""

    def __init__(self, reader: Reader) -> None:
        self.lock = threading.Lock()
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.wait = Histogram(WAIT_BUCKETS)
        self.pending = 0
        self.glass = 0
        self.glass_open = 0
        self._reader = reader
        self._seen = 0

    def refresh(self, now_ms: int) -> None:
        """Read what is new."""
        for row, verdict, envelope, requested_ms, settles in self._reader.rows(_VERDICTS, (self._seen, READ_MAX)):
            self._seen = row
            said = _said(envelope)
            self.verdicts[CHANNEL if said.asserted_by else KEY, verdict] += 1
            if settles and said.at_ms:
                self.wait.observe(max(0.0, (said.at_ms - requested_ms) / 1_000))
        pending, glass = self._reader.row(_PENDING, (now_ms,)), self._reader.row(_GLASS, (now_ms,))
        self.pending = int(pending[0]) if pending else 0
        self.glass, self.glass_open = (int(glass[0]), int(glass[1])) if glass else (0, 0)


def _said(envelope: bytes) -> _Said:
    try:
        return msgspec.convert(unverified_statement(envelope).predicate, _Said)
    except (BywireError, msgspec.ValidationError):
        return _Said()
