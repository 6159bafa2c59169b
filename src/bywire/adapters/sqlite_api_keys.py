"""API keys and exchanged tokens, on SQLite: keyed digests only, so that whoever reads the database can use neither."""

import msgspec

from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.model.errors import ConflictError

KEYS_MAX = 1_000
_COLUMNS = "id, mac, agent, note, created_ms, expires_ms, revoked_ms, reason"


class ApiKeyRow(msgspec.Struct, frozen=True):
    """One API key. Times in ms since the epoch; `revoked_ms` None: it was not revoked."""

    id: str
    mac: bytes
    agent: str
    note: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None
    reason: str

    def ended(self, now_ms: int) -> bool:
        """Whether it is good for nothing any more."""
        return self.revoked_ms is not None or now_ms >= self.expires_ms


class SqliteApiKeys:
    """What was handed out, and what was used up."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    def all(self) -> tuple[ApiKeyRow, ...]:
        """Every key ever made, oldest first."""
        rows = self._reader.rows(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_ms, id")  # noqa: S608  our columns
        return tuple(ApiKeyRow(*row) for row in rows)

    def find(self, key_id: str) -> ApiKeyRow | None:
        """The key with this id, as committed now."""
        row = self._reader.row(f"SELECT {_COLUMNS} FROM api_keys WHERE id = ?", (key_id,))  # noqa: S608  our columns
        return None if row is None else ApiKeyRow(*row)

    def spend(self, mac: bytes, until_ms: int, now_ms: int) -> bool:
        """Remember a token until it expires, durably; False when it was remembered already."""

        def work(tx: Transaction) -> bool:
            tx.execute("DELETE FROM exchanged WHERE until_ms < ?", (now_ms,))
            done = tx.execute("INSERT INTO exchanged VALUES (?, ?) ON CONFLICT (mac) DO NOTHING", (mac, until_ms))
            return done.rowcount == 1

        return self._writer.run(work)


def insert_api_key(tx: Transaction, key: ApiKeyRow) -> None:
    """Keep a new key. ConflictError `api_keys_many` when there are KEYS_MAX that have not ended."""
    count = tx.execute(
        "SELECT count(*) FROM api_keys WHERE revoked_ms IS NULL AND expires_ms > ?", (key.created_ms,)
    ).fetchone()[0]
    if count >= KEYS_MAX:
        raise ConflictError(
            f"there are {count} API keys already",
            code="api_keys_many",
            next_step="revoke those that nobody uses: bywire agents api-key list",
        )
    tx.execute(
        f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, NULL, '')",  # noqa: S608  our columns
        (key.id, key.mac, key.agent, key.note, key.created_ms, key.expires_ms),
    )


def revoke_api_keys(tx: Transaction, now_ms: int, reason: str, *, key_id: str = "", agent: str = "") -> int:
    """End one key, all of an agent's, or with neither named every one; returns how many had not been revoked."""
    done = tx.execute(
        "UPDATE api_keys SET revoked_ms = ?1, reason = ?2 WHERE revoked_ms IS NULL"
        " AND (?3 = '' OR id = ?3) AND (?4 = '' OR agent = ?4)",
        (now_ms, reason, key_id, agent),
    )
    return done.rowcount
