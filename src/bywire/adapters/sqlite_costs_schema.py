"""The table of what effects cost, by hour and by whom; budgets are sums over it."""

COSTS_V3: tuple[str, ...] = (
    # `amount` in thousandths of `unit`; `calls` counts the effects that it adds up.
    """CREATE TABLE costs (
        principal TEXT NOT NULL,
        unit TEXT NOT NULL,
        hour INTEGER NOT NULL,
        team TEXT NOT NULL,
        tool TEXT NOT NULL,
        environment TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (amount >= 0),
        calls INTEGER NOT NULL,
        PRIMARY KEY (principal, unit, hour, team, tool, environment)
    ) STRICT, WITHOUT ROWID""",
    # They hold the amounts too: a budget is summed from an index alone.
    "CREATE INDEX costs_of_team ON costs (team, unit, hour, amount)",
    "CREATE INDEX costs_of_tool ON costs (tool, unit, hour, amount)",
    "CREATE INDEX costs_of_environment ON costs (environment, unit, hour, amount)",
)
