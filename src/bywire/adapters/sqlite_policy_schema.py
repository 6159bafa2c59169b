"""Tables of policies beyond the first schema version: where an active bundle came from, what was refused, shadows."""

POLICY_V2: tuple[str, ...] = (
    # `content` is the digest of the ledger record that holds the files; `signer` is empty for an unsigned bundle.
    """CREATE TABLE bundle_records (
        digest TEXT PRIMARY KEY REFERENCES bundles (digest),
        entry INTEGER NOT NULL,
        content TEXT NOT NULL,
        source TEXT NOT NULL,
        signer TEXT NOT NULL,
        linted_by TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE bundle_refusals (
        content TEXT PRIMARY KEY,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        next_step TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE shadow_rules (
        id TEXT PRIMARY KEY,
        rule TEXT NOT NULL,
        envelope BLOB NOT NULL,
        expires_ms INTEGER NOT NULL,
        entry INTEGER NOT NULL,
        ended_ms INTEGER
    ) STRICT""",
)
