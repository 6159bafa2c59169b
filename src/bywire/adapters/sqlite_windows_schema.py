"""The table of what was counted lately: the last minute of each scope that a limit by the second or minute counts."""

WINDOWS_V4: tuple[str, ...] = (
    # `amount` in thousandths of `unit`; what falls in one millisecond is added up.
    """CREATE TABLE recent (
        scope TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        unit TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (amount >= 0),
        PRIMARY KEY (scope, at_ms, unit)
    ) STRICT, WITHOUT ROWID""",
)
