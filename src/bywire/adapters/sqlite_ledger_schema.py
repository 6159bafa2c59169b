"""Tables of the ledger beyond the first schema version."""

# `key` names the data key that `bytes` are sealed under (`ledger.retention.DataKey`); NULL means they are plain.
# `retentions` only says where to look: each statement is verified in the log before it accounts for anything.
LEDGER_V2: tuple[str, ...] = (
    "ALTER TABLE blobs ADD COLUMN key INTEGER",
    "CREATE TABLE retentions (entry INTEGER PRIMARY KEY) STRICT",
)
