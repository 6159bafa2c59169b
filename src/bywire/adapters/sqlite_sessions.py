"""Where a session comes from, in SQL: the lowest integrity of its run and of its parent is its own (RULES 22)."""

from bywire.adapters.sqlite_writer import Transaction
from bywire.identity.session import Session
from bywire.model.errors import EvidenceError

_OPEN = """INSERT INTO sessions (id, principal, kind, owner, run, integrity, workspace, parent)
    SELECT ?1, ?2, ?3, ?4, ?5,
        CASE WHEN EXISTS (SELECT 1 FROM sessions WHERE integrity = 'tainted' AND (run = ?5 OR id = ?8))
        THEN 'tainted' ELSE ?6 END, ?7, ?8
    WHERE true ON CONFLICT (id) DO NOTHING"""

TAINT = """WITH RECURSIVE reached (id, run) AS (
        SELECT id, run FROM sessions WHERE id = ?1
        UNION
        SELECT sessions.id, sessions.run FROM reached JOIN sessions ON sessions.parent = reached.id
        UNION
        SELECT sessions.id, sessions.run FROM reached JOIN sessions ON sessions.run = reached.run
    )
    UPDATE sessions SET integrity = 'tainted' WHERE id IN (SELECT id FROM reached)"""


def open_session(tx: Transaction, session: Session) -> None:
    """Store a session.

    EvidenceError `session_refused` when its parent is unknown, revoked or of another workspace, or when the key that
    asked for it was retired since: revoking a key ends the sessions that are there, and this one was not yet.
    """
    if tx.execute("SELECT 1 FROM retired_keys WHERE key_id = ?", (session.key_id,)).fetchone():
        raise EvidenceError(
            "the key that asked for this session was revoked meanwhile",
            code="session_refused",
            next_step="open a new session with a key that is valid now: bywire keys list",
        )
    if session.parent:
        parent = tx.execute("SELECT workspace, revoked FROM sessions WHERE id = ?", (session.parent,)).fetchone()
        if parent is None or parent[1] or parent[0] != session.workspace:
            raise EvidenceError(
                f"the parent session {session.parent} is not open in this workspace",
                code="session_refused",
                next_step="open a session without a parent, or from one that is open",
            )
    principal = session.principal
    tx.execute(
        _OPEN,
        (
            session.id,
            principal.id,
            str(principal.kind),
            principal.owner,
            session.run,
            session.integrity,
            session.workspace,
            session.parent,
        ),
    )


def revoke_sessions(tx: Transaction, principal: str) -> int:
    """Revoke every session of a principal; returns how many were open. No intent of theirs commits any more."""
    return tx.execute("UPDATE sessions SET revoked = 1 WHERE principal = ? AND revoked = 0", (principal,)).rowcount


def revoke_all_sessions(tx: Transaction) -> int:
    """Revoke every session; returns how many were open."""
    return tx.execute("UPDATE sessions SET revoked = 1 WHERE revoked = 0").rowcount
