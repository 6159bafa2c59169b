"""Tables of approvals beyond the first schema version.

One verdict for each packet and person, revocations, reminders that were given, and glass that was broken. In a database
of version 1 the only verdict of a request lies in `approvals.envelope`, where it stays.
"""

APPROVALS_V2: tuple[str, ...] = (
    """CREATE TABLE verdicts (
        approval_id TEXT NOT NULL REFERENCES approvals (id),
        person TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'denied')),
        role TEXT NOT NULL,
        key_id TEXT NOT NULL,
        envelope BLOB NOT NULL,
        PRIMARY KEY (approval_id, person)
    ) STRICT""",
    """CREATE TABLE revocations (
        approval_id TEXT PRIMARY KEY REFERENCES approvals (id),
        person TEXT NOT NULL,
        envelope BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE reminders (
        approval_id TEXT NOT NULL REFERENCES approvals (id),
        name TEXT NOT NULL,
        PRIMARY KEY (approval_id, name)
    ) STRICT""",
    """CREATE TABLE break_glass (
        id TEXT PRIMARY KEY,
        person TEXT NOT NULL,
        envelope BLOB NOT NULL,
        entry INTEGER NOT NULL,
        uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
        opened_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        closed_ms INTEGER,
        postmortem BLOB,
        postmortem_entry INTEGER
    ) STRICT""",
    # One at a time: glass without its post-mortem keeps its person from breaking more.
    "CREATE UNIQUE INDEX break_glass_owed ON break_glass (person) WHERE postmortem IS NULL",
)
