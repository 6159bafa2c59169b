"""A database as schema version 3 left it: one of version 2 that was migrated, with a permit that nobody reported."""

import json
import sqlite3
from contextlib import closing

import version_one
import version_two

from bywire.adapters.sqlite_schema import MIGRATIONS

# A parameter may be called as the mark of a permit is.
REQUESTS = {
    "old:permit": {"parameters": {}, "redacted": False, "mediated": False},
    "old:call": {"parameters": {"mediated": False}, "redacted": False},
}


def build(path, origin, key):
    """As `version_two.build`, one step further."""
    version_two.build(path, origin, key)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for statement in MIGRATIONS[2]:
            connection.execute(statement)
        connection.execute("UPDATE meta SET value = 3 WHERE key = 'schema_version'")
        for name, request in REQUESTS.items():
            connection.execute(
                "INSERT INTO intents SELECT ?, action_digest, principal, tool, service, environment, change_id,"
                " 'unknown', epoch, ?, deadline_ms, precondition, ?, decision, NULL, entry, sealed FROM intents"
                " WHERE key = 'old:open'",
                (name, version_one.NOW_MS + 1, json.dumps(request).encode()),
            )
        connection.execute("COMMIT")
