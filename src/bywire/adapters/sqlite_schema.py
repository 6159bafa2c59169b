"""The tables of `bywire.db` and the forward-only steps from each version to the next.

`MIGRATIONS[n]` takes a database from version n to n + 1. A released step is never edited, only followed.
"""

from bywire.adapters.channel_schema import CHANNELS_V3
from bywire.adapters.sqlite_approvals_schema import APPROVALS_V2
from bywire.adapters.sqlite_costs_schema import COSTS_V3
from bywire.adapters.sqlite_envelope_schema import ENVELOPE_SCHEMA, ENVELOPE_V2, ENVELOPE_V4
from bywire.adapters.sqlite_identity_schema import IDENTITY_V2, IDENTITY_V3
from bywire.adapters.sqlite_ledger_schema import LEDGER_V2
from bywire.adapters.sqlite_policy_schema import POLICY_V2
from bywire.adapters.sqlite_windows_schema import WINDOWS_V4

LEDGER_TABLES: tuple[str, ...] = (
    "CREATE TABLE blobs (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL) STRICT",
    """CREATE TABLE entries (
        idx INTEGER PRIMARY KEY,
        hash BLOB NOT NULL,
        blob INTEGER NOT NULL REFERENCES blobs (id),
        leaf BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE tiles (
        level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, UNIQUE (level, idx)
    ) STRICT""",
    "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, root BLOB NOT NULL, note TEXT NOT NULL) STRICT",
)

# Tables of the other rooms, in the same first migration.
SCHEMA_EXTRA: tuple[str, ...] = ENVELOPE_SCHEMA

META_TABLE = "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (*LEDGER_TABLES, *SCHEMA_EXTRA),
    (*ENVELOPE_V2, *APPROVALS_V2, *IDENTITY_V2, *LEDGER_V2, *POLICY_V2),
    (*COSTS_V3, *IDENTITY_V3, *CHANNELS_V3),
    (*ENVELOPE_V4, *WINDOWS_V4),
)
