"""Tables of identities beyond the first schema version: retired keys, the lineage of sessions, and token exchange.

`to_index` is the first log index that a key may not have signed any more; the ledger refuses such an entry whoever
appends it, also a process that read the trust root before the key was retired. Of API keys and of tokens that were
exchanged only keyed digests are kept.
"""

IDENTITY_V2: tuple[str, ...] = (
    """CREATE TABLE retired_keys (
        key_id TEXT PRIMARY KEY,
        to_index INTEGER NOT NULL,
        reason TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX sessions_run ON sessions (run)",
    "CREATE INDEX sessions_parent ON sessions (parent) WHERE parent <> ''",
)

IDENTITY_V3: tuple[str, ...] = (
    """CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        mac BLOB NOT NULL,
        agent TEXT NOT NULL,
        note TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        revoked_ms INTEGER,
        reason TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    "CREATE TABLE exchanged (mac BLOB PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT",
)
