"""Tables of identities beyond the first schema version: retired keys, and the lineage of sessions.

`to_index` is the first log index that a key may not have signed any more; the ledger refuses such an entry whoever
appends it, also a process that read the trust root before the key was retired.
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
