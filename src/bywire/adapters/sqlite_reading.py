"""One read-only connection shared by the stores of a process, with a cheap way to see that nothing changed."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bywire.adapters.sqlite_database import connect, explained


class Reader:
    """Serialised reads of committed state."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path, read_only=True)
        self._lock = threading.Lock()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        with self._lock, explained():
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        with self._lock, explained():
            found: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
            return found

    def data_version(self) -> int:
        """A number that changes whenever any other connection, of any process, has committed."""
        with self._lock, explained():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
