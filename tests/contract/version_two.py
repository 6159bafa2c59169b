"""A database as schema version 2 left it: one of version 1 that was migrated, with rows of the tables it added."""

import sqlite3
from contextlib import closing

import version_one

from bywire.adapters.sqlite_schema import MIGRATIONS


def build(path, origin, key):
    """As `version_one.build`, one step further."""
    version_one.build(path, origin, key)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for statement in MIGRATIONS[1]:
            connection.execute(statement)
        connection.execute("UPDATE meta SET value = 2 WHERE key = 'schema_version'")
        connection.execute(
            "INSERT INTO incidents (person, reason, opened_ms) VALUES ('person:dana', 'old', ?)", (version_one.NOW_MS,)
        )
        connection.execute("COMMIT")
