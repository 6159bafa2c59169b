"""Named state on SQLite: sessions, stops, freezes, the active bundle, the writer's lease epoch."""

from collections.abc import Sequence
from typing import Any, Protocol

from bywire.adapters.sqlite_costs import summing
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_sessions import TAINT, open_session
from bywire.adapters.sqlite_windows import counted, reading
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.gateway.ports import Counted, StateSnapshot
from bywire.identity.session import Session
from bywire.model.errors import ConflictError, EvidenceError, PolicyError
from bywire.model.principal import Principal, PrincipalKind
from bywire.runtime.ports import Stored

SNAPSHOTS_CACHED_MAX = 4_096
_STOPPED = (
    "SELECT 1 FROM stops WHERE lifted_ms IS NULL AND (scope = 'all' OR (scope = 'agent' AND target = ?)"
    " OR (scope = 'service' AND target = ?)) LIMIT 1"
)
_FROZEN = "SELECT 1 FROM stops WHERE lifted_ms IS NULL AND scope = 'freeze_all' LIMIT 1"
_EPOCH = (
    "SELECT coalesce(max(id), 0) + count(lifted_ms) FROM stops WHERE scope IN ('all', 'freeze_all')"
    " OR (scope = 'agent' AND target = ?) OR (scope = 'service' AND target = ?)"
)
_BUDGET = "SELECT hour, used FROM usage WHERE scope = 'principal:' || ? ORDER BY hour DESC LIMIT 1"
_USED = "SELECT used FROM usage WHERE scope = ? AND hour = ?"
_INCIDENT = "SELECT 1 FROM incidents WHERE closed_ms IS NULL LIMIT 1"
_BUNDLE = "SELECT digest FROM bundles WHERE active = 1"


class _Connection(Protocol):
    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> Any: ...


def is_stopped(tx: _Connection, service: str, principal: str) -> bool:
    """Whether a stop covers this service or principal."""
    return tx.execute(_STOPPED, (principal, service)).fetchone() is not None


def is_frozen(tx: _Connection) -> bool:
    """Whether everything is frozen, retreats too."""
    return tx.execute(_FROZEN).fetchone() is not None


def stop_epoch(tx: _Connection, service: str, principal: str) -> int:
    """Grows with every stop that covers this service or principal, and again when it is lifted."""
    return int(tx.execute(_EPOCH, (principal, service)).fetchone()[0])


def active_bundle(tx: _Connection) -> str:
    """Digest of the active policy bundle; empty when there is none."""
    row = tx.execute(_BUNDLE).fetchone()
    return "" if row is None else str(row[0])


class SqliteState:
    """`gateway.ports.NamedState`, and the writes that change it."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self._version = -1
        self._snapshots: dict[tuple[str, str], StateSnapshot] = {}

    def snapshot(self, session_id: str, service: str) -> StateSnapshot:
        """State for one session and service. Cached until any connection commits.

        Raises EvidenceError `session_refused` for an unknown or revoked session.
        """
        version = self._reader.data_version()
        if version != self._version or len(self._snapshots) > SNAPSHOTS_CACHED_MAX:
            self._snapshots = {}
            self._version = version
        # Taken before reading: what is read meanwhile must not land in the cache of a later version.
        cache = self._snapshots
        found = cache.get((session_id, service))
        if found is None:
            found = cache[session_id, service] = self._read(session_id, service)
        return found

    def _read(self, session_id: str, service: str) -> StateSnapshot:
        row = self._reader.row(
            "SELECT id, principal, kind, owner, run, integrity, workspace, parent FROM sessions"
            " WHERE id = ? AND revoked = 0",
            (session_id,),
        )
        if row is None:
            raise EvidenceError("the session is unknown or revoked", code="session_refused", next_step="open a new one")
        principal = Principal(id=row[1], kind=PrincipalKind(row[2]), owner=row[3])
        bundle = self._reader.row(_BUNDLE)
        epoch = self._reader.row(_EPOCH, (principal.id, service))
        budget = self._reader.row(_BUDGET, (principal.id,)) or (0, 0)
        return StateSnapshot(
            stop_epoch=int(epoch[0]) if epoch else 0,
            stopped=self._reader.row(_STOPPED, (principal.id, service)) is not None,
            freeze_all=self._reader.row(_FROZEN) is not None,
            bundle_digest=str(bundle[0]) if bundle else "",
            incident_mode=self._reader.row(_INCIDENT) is not None,
            session=Session(row[0], principal, *row[4:]),
            budget_hour=budget[0],
            budget_used=budget[1],
        )

    def used(self, scope: str, hour: int) -> int:
        """How much of a scope's count for this hour (since the epoch) is used."""
        row = self._reader.row(_USED, (scope, hour))
        return 0 if row is None else int(row[0])

    def spent(self, scope: str, unit: str, period: str, at: int) -> int:
        """What a scope cost in `unit` in an hour or on a day, number `at` since the epoch, in thousandths."""
        row = self._reader.row(*summing(scope, unit, period, at))
        return 0 if row is None else int(row[0])

    def recent(self, scopes: Sequence[str], now_ms: int) -> tuple[Counted, ...]:
        """What these scopes used in the last second and the last minute, where any of it is counted."""
        return counted(self._reader.rows(*reading(scopes, now_ms)))

    def frozen(self) -> bool:
        """Whether freeze-all is in force, as committed now."""
        return self._reader.row(_FROZEN) is not None

    def stopped(self, service: str, principal: str) -> bool:
        """Whether a stop is in force, as committed now."""
        return self._reader.row(_STOPPED, (principal, service)) is not None

    def open_session(self, session: Session) -> None:
        """Store an authenticated session. Opening the same one again changes nothing.

        A session of a run that is tainted, or from a parent that is, is born tainted (RULES 22). Raises EvidenceError
        `session_refused` for a parent that is unknown or revoked.
        """
        self._writer.run(lambda tx: open_session(tx, session), reducing=True)

    def taint(self, session_id: str) -> None:
        """Lower the integrity of a session, of its whole run, and of every session that came from those (RULES 22)."""
        self._writer.run(lambda tx: tx.execute(TAINT, (session_id,)))

    def stop(self, tx: Transaction, scope: str, target: str, person: str, reason: str, now_ms: int) -> int:
        """Insert a stop inside the caller's transaction; no intent commits after it."""
        cursor = tx.execute(
            "INSERT INTO stops (scope, target, person, reason, at_ms) VALUES (?, ?, ?, ?, ?)",
            (scope, target, person, reason, now_ms),
        )
        return int(cursor.lastrowid or 0)

    def resume(self, tx: Transaction, now_ms: int) -> int:
        """Lift every stop inside the caller's transaction; returns how many there were."""
        return tx.execute("UPDATE stops SET lifted_ms = ? WHERE lifted_ms IS NULL", (now_ms,)).rowcount

    def stops(self) -> list[dict[str, Any]]:
        """Stops in force, oldest first."""
        rows = self._reader.rows(
            "SELECT id, scope, target, person, reason, at_ms FROM stops WHERE lifted_ms IS NULL ORDER BY id"
        )
        return [dict(zip(("id", "scope", "target", "person", "reason", "at_ms"), row, strict=True)) for row in rows]

    def open_incident(self, tx: Transaction, person: str, reason: str, now_ms: int) -> int:
        """Begin incident mode inside the caller's transaction."""
        cursor = tx.execute(
            "INSERT INTO incidents (person, reason, opened_ms) VALUES (?, ?, ?)", (person, reason, now_ms)
        )
        return int(cursor.lastrowid or 0)

    def close_incidents(self, tx: Transaction, now_ms: int) -> int:
        """End incident mode inside the caller's transaction; returns how many incidents were open."""
        return tx.execute("UPDATE incidents SET closed_ms = ? WHERE closed_ms IS NULL", (now_ms,)).rowcount

    def incidents(self) -> list[dict[str, Any]]:
        """Incidents that are open, oldest first."""
        rows = self._reader.rows(
            "SELECT id, person, reason, opened_ms FROM incidents WHERE closed_ms IS NULL ORDER BY id"
        )
        return [dict(zip(("id", "person", "reason", "opened_ms"), row, strict=True)) for row in rows]

    def activate_bundle(self, tx: Transaction, digest: str, revision: int, now_ms: int) -> None:
        """Make a bundle the active one. Its revision must grow, unless it is the active one already."""
        if active_bundle(tx) == digest:
            return
        newest = tx.execute("SELECT coalesce(max(revision), 0) FROM bundles").fetchone()[0]
        if revision <= newest:
            raise PolicyError(
                f"policy revision {revision} is not newer than {newest}, which was active before",
                code="bundle_not_newer",
                next_step=f"raise `revision` in the policy's manifest.json above {newest}",
            )
        tx.execute("UPDATE bundles SET active = 0 WHERE active = 1")
        tx.execute("INSERT INTO bundles VALUES (?, ?, 1, ?)", (digest, revision, now_ms))

    def active_bundle(self) -> str:
        """Digest of the active bundle; empty when there is none."""
        row = self._reader.row(_BUNDLE)
        return "" if row is None else str(row[0])

    def take_epoch(self) -> int:
        """Take the writer's lease: a new epoch that fences every earlier process (RULES 13)."""

        def work(tx: Transaction) -> int:
            tx.execute("INSERT INTO leases VALUES ('writer', 1) ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1")
            return int(tx.execute("SELECT epoch FROM leases WHERE name = 'writer'").fetchone()[0])

        # Who takes over on a full disk may have to retreat.
        return self._writer.run(work, reducing=True)

    def current_epoch(self) -> int:
        """The newest epoch anybody took."""
        row = self._reader.row("SELECT epoch FROM leases WHERE name = 'writer'")
        return 0 if row is None else int(row[0])

    def high_water_ms(self) -> int:
        """The persisted high-water mark of `now`."""
        row = self._reader.row("SELECT value FROM meta WHERE key = 'now_ms'")
        return 0 if row is None else int(row[0])


class SqliteMachines:
    """`runtime.ports.ObjectStore`: state and outbox in one compare-and-swap (RULES 14)."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    def load(self, object_id: str) -> Stored | None:
        """The committed machine, or None."""
        row = self._reader.row("SELECT id, version, state, outbox FROM machines WHERE id = ?", (object_id,))
        return None if row is None else Stored(*row)

    def ids(self) -> list[str]:
        """Every machine, newest last."""
        return [str(row[0]) for row in self._reader.rows("SELECT id FROM machines ORDER BY rowid")]

    def commit(self, object_id: str, expected_version: int, state: bytes, outbox: bytes) -> int:
        """Store version expected + 1.

        ConflictError `lost_race` when somebody else moved first, `exists` when a new id is taken.
        """

        def work(tx: Transaction) -> int:
            if expected_version == 0:
                cursor = tx.execute(
                    "INSERT INTO machines VALUES (?, 1, ?, ?) ON CONFLICT (id) DO NOTHING", (object_id, state, outbox)
                )
            else:
                cursor = tx.execute(
                    "UPDATE machines SET version = version + 1, state = ?, outbox = ? WHERE id = ? AND version = ?",
                    (state, outbox, object_id, expected_version),
                )
            if cursor.rowcount != 1:
                raise ConflictError(
                    f"{object_id} was changed by another process",
                    code="lost_race" if expected_version else "exists",
                    next_step="run the command again; it continues from the newest state",
                )
            return expected_version + 1

        # What runs already may have to retreat, which must never wait for disk space; a new machine can wait.
        return self._writer.run(work, reducing=expected_version > 0)
