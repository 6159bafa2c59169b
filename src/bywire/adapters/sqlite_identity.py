"""Keys that were retired, on SQLite, and the trust root as it is in force at this moment.

The database knows of a retired key first, in the transaction that logs it; the trust root's file follows. Whoever reads
both believes no key longer than that, however long ago the process started.
"""

import threading
from typing import Any

from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.adapters.sqlite_api_keys import revoke_api_keys
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_sessions import revoke_all_sessions, revoke_sessions
from bywire.adapters.sqlite_writer import Transaction
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.errors import LedgerError
from bywire.model.principal import KeyRole
from bywire.seal.dsse import unverified_statement

KEYS_LOCK = "keys"
_RETIRE = """INSERT INTO retired_keys VALUES (?, ?, ?, ?)
    ON CONFLICT (key_id) DO UPDATE SET to_index = min(to_index, excluded.to_index), reason = excluded.reason"""
_BLOCK_APPROVALS = """UPDATE approvals SET revoked = 1 WHERE revoked = 0
    AND id IN (SELECT approval_id FROM verdicts WHERE key_id = ?)"""


class FollowedTrust:
    """The trust root's file without the keys that were retired since; read again when either has changed."""

    def __init__(self, keys: KeyFiles, reader: Reader) -> None:
        self._keys = keys
        self._reader = reader
        self._lock = threading.Lock()
        self._seen: tuple[Any, ...] = ()
        self._file: tuple[Any, TrustRoot] | None = None
        self._root: TrustRoot | None = None

    def current(self) -> TrustRoot:
        """The root in force; the same object for as long as nothing changed. Raises as `KeyFiles.trust`."""
        seen = (self._keys.trust_stamp(), self._reader.data_version())
        with self._lock:
            if self._root is None or seen != self._seen:
                root = self._read(seen[0]).retired(self.retired())
                self._root = self._root if root == self._root else root
                self._seen = seen
            return self._root

    @property
    def seen(self) -> TrustRoot | None:
        """The root that `current` gave last."""
        return self._root

    def retired(self) -> dict[str, int]:
        """The first index that each retired key may not have signed."""
        return {str(row[0]): int(row[1]) for row in self._reader.rows("SELECT key_id, to_index FROM retired_keys")}

    def _read(self, stamp: tuple[int, int, int]) -> TrustRoot:
        if self._file is None or self._file[0] != stamp:
            self._file = (stamp, self._keys.trust())
        return self._file[1]


def finish_replacements(directory: OperatorDirectory, keys: KeyFiles, trust: FollowedTrust) -> None:
    """Bring the files to where the database is, when a replacement was cut short. ConflictError `workspace_busy`."""
    root = trust.current()
    if root == keys.trust() and not keys.unfinished(root):
        return
    with directory.lock(KEYS_LOCK):
        root = trust.current()
        keys.save_trust(root)
        for entry in keys.unfinished(root):
            keys.swap_in(entry)


def refuse_retired(tx: Transaction, key_id: str) -> None:
    """LedgerError `log_key_retired` when this key may sign nothing more."""
    if tx.execute("SELECT 1 FROM retired_keys WHERE key_id = ?", (key_id,)).fetchone():
        raise LedgerError(
            "the log's key was replaced while this command ran",
            code="log_key_retired",
            next_step="run the command again; what it had committed stands",
        )


def retire(tx: Transaction, key_id: str, to_index: int, reason: str, now_ms: int) -> None:
    """End a key at a log index. An earlier end stands."""
    tx.execute(_RETIRE, (key_id, to_index, reason, now_ms))


def end_what_it_opened(tx: Transaction, key: TrustedKey, now_ms: int) -> dict[str, int]:
    """Take back what a compromised key may have opened: sessions, approvals, broken glass. Returns how many of each.

    An agent's API keys end with it: they would open sessions again as soon as it has another key.
    """
    if key.role is KeyRole.APPROVER:
        glass = tx.execute(
            "UPDATE break_glass SET uses_left = 0, closed_ms = ? WHERE person = ? AND closed_ms IS NULL",
            (now_ms, key.principal),
        )
        return {"approvals": _block_approvals(tx, key), "break_glass": glass.rowcount}
    if key.role is KeyRole.CHANNEL:
        return {"approvals": _block_approvals(tx, key)}
    ended = {"sessions": revoke_sessions(tx, key.principal)}
    if key.role is KeyRole.AGENT:
        ended |= _some(api_keys=revoke_api_keys(tx, now_ms, "the agent's key was revoked", agent=key.principal))
    return ended


def end_all_sessions(tx: Transaction, now_ms: int) -> dict[str, int]:
    """Revoke every session and every API key, as after the loss of the workspace key, which both are checked with."""
    keys = revoke_api_keys(tx, now_ms, "the workspace key was replaced")
    return {"sessions": revoke_all_sessions(tx), **_some(api_keys=keys)}


def _some(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def _block_approvals(tx: Transaction, key: TrustedKey) -> int:
    blocked = tx.execute(_BLOCK_APPROVALS, (key.key_id,)).rowcount
    # In a database of schema version 1 the one verdict of a request lies beside it.
    old = tx.execute("SELECT id, envelope FROM approvals WHERE revoked = 0 AND envelope IS NOT NULL").fetchall()
    theirs = [(row[0],) for row in old if unverified_statement(row[1]).predicate.get("approver") == key.principal]
    for row in theirs:
        tx.execute("UPDATE approvals SET revoked = 1 WHERE id = ?", row)
    return blocked + len(theirs)


def remembered_registrations(tx: Transaction) -> str:
    """Digest of the registrations as they were last logged; empty when they never were."""
    row = tx.execute("SELECT value FROM meta WHERE key = 'registrations'").fetchone()
    return "" if row is None else str(row[0])


def remember_registrations(tx: Transaction, digest: str) -> None:
    """Keep the digest of the registrations that were logged."""
    tx.execute(
        "INSERT INTO meta VALUES ('registrations', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (digest,)
    )
