"""Tables of the envelope beside the log: intents, budgets, sessions, stops, approvals, machines, bundles, leases."""

ENVELOPE_SCHEMA = (
    """CREATE TABLE intents (
        key TEXT PRIMARY KEY,
        action_digest TEXT NOT NULL,
        principal TEXT NOT NULL,
        tool TEXT NOT NULL,
        service TEXT NOT NULL,
        environment TEXT NOT NULL,
        change_id TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('intended', 'committed', 'failed', 'unknown')),
        epoch INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        deadline_ms INTEGER NOT NULL,
        precondition BLOB NOT NULL,
        request BLOB NOT NULL,
        decision BLOB NOT NULL,
        outcome BLOB,
        entry INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX intents_open ON intents (state) WHERE state IN ('intended', 'unknown')",
    """CREATE TABLE budgets (
        principal TEXT NOT NULL,
        hour INTEGER NOT NULL,
        used INTEGER NOT NULL,
        PRIMARY KEY (principal, hour)
    ) STRICT""",
    """CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        principal TEXT NOT NULL,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,
        run TEXT NOT NULL,
        integrity TEXT NOT NULL CHECK (integrity IN ('trusted', 'tainted')),
        revoked INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    """CREATE TABLE stops (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        scope TEXT NOT NULL CHECK (scope IN ('all', 'agent', 'service', 'freeze_all')),
        target TEXT NOT NULL,
        person TEXT NOT NULL,
        reason TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        lifted_ms INTEGER
    ) STRICT""",
    """CREATE TABLE approvals (
        id TEXT PRIMARY KEY,
        action_digest TEXT NOT NULL,
        plan_digest TEXT NOT NULL,
        packet BLOB NOT NULL,
        envelope BLOB,
        verdict TEXT NOT NULL CHECK (verdict IN ('pending', 'approved', 'denied')),
        uses_left INTEGER NOT NULL,
        revoked INTEGER NOT NULL DEFAULT 0,
        requested_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX approvals_bound ON approvals (action_digest, plan_digest)",
    """CREATE TABLE machines (
        id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        state BLOB NOT NULL,
        outbox BLOB NOT NULL
    ) STRICT""",
    "CREATE TABLE work (key TEXT PRIMARY KEY, result BLOB NOT NULL) STRICT",
    """CREATE TABLE delivery_statements (
        change_id TEXT NOT NULL,
        entry INTEGER NOT NULL,
        kind TEXT NOT NULL,
        digest TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (change_id, entry)
    ) STRICT""",
    """CREATE TABLE bundles (
        digest TEXT PRIMARY KEY,
        revision INTEGER NOT NULL UNIQUE,
        active INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE UNIQUE INDEX bundles_active ON bundles (active) WHERE active = 1",
    "CREATE TABLE leases (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT",
)

# Budgets by scope (`principal:ID`, `tool:TOOL`, ...), incident mode, where a session came from.
ENVELOPE_V2: tuple[str, ...] = (
    """CREATE TABLE usage (
        scope TEXT NOT NULL,
        hour INTEGER NOT NULL,
        used INTEGER NOT NULL,
        PRIMARY KEY (scope, hour)
    ) STRICT""",
    "INSERT INTO usage SELECT 'principal:' || principal, hour, used FROM budgets",
    "DROP TABLE budgets",
    "ALTER TABLE intents ADD COLUMN sealed BLOB",
    "ALTER TABLE sessions ADD COLUMN workspace TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE sessions ADD COLUMN parent TEXT NOT NULL DEFAULT ''",
    """CREATE TABLE incidents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person TEXT NOT NULL,
        reason TEXT NOT NULL,
        opened_ms INTEGER NOT NULL,
        closed_ms INTEGER
    ) STRICT""",
)

# Where the newest decision of a name is, and which open intents are the door's own to settle.
ENVELOPE_V4: tuple[str, ...] = (
    # `name` is a decision's id, or the request for approval that a decision asks people for.
    "CREATE TABLE decided (name TEXT PRIMARY KEY, entry INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    # 0: its caller carries it out and reports. The request says so too, and is what counts.
    "ALTER TABLE intents ADD COLUMN mediated INTEGER NOT NULL DEFAULT 1",
    """UPDATE intents SET mediated = 0 WHERE CASE WHEN json_valid(CAST(request AS TEXT))
        THEN json_extract(CAST(request AS TEXT), '$.mediated') = 0 END""",
    "CREATE INDEX intents_ours ON intents (at_ms, entry) WHERE mediated = 1 AND state IN ('intended', 'unknown')",
)
