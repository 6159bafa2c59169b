"""Tables of the ledger beyond the first schema version."""

LEDGER_V2: tuple[str, ...] = ()
