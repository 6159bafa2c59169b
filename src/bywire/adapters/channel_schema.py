"""Tables of approval channels: what was told where and how it went, and what was heard before."""

CHANNELS_V3: tuple[str, ...] = (
    """CREATE TABLE channel_messages (
        approval_id TEXT NOT NULL REFERENCES approvals (id),
        channel TEXT NOT NULL,
        event TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'dead')),
        reference TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        next_ms INTEGER NOT NULL,
        PRIMARY KEY (approval_id, channel, event)
    ) STRICT""",
    "CREATE TABLE channel_heard (id TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT",
)
