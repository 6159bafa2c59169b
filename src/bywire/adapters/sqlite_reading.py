"""One read-only connection shared by the stores of a process, with a cheap way to see that nothing changed."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bywire.adapters.sqlite_database import SQLITE_ERRORS, connect, explain


class OneMoment(threading.local):
    """Inside it, this thread asks once whether anything was committed. For pure questions: not to be nested."""

    def __init__(self) -> None:
        self.is_open = False
        self.version: int | None = None

    def __enter__(self) -> None:
        self.is_open = True

    def __exit__(self, *_: object) -> None:
        self.is_open = False
        self.version = None


class Reader:
    """Serialised reads of committed state. Within `one_moment`, what is cached by `data_version` is of one version."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path, read_only=True)
        self._lock = threading.Lock()
        self.one_moment = OneMoment()

    # Plain try blocks: every read through the door passes here, and `explained()` would double its cost.
    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except SQLITE_ERRORS as error:
                raise explain(error) from error

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        with self._lock:
            try:
                found: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
            except SQLITE_ERRORS as error:
                raise explain(error) from error
            return found

    def data_version(self) -> int:
        """A number that changes whenever any other connection, of any process, has committed."""
        moment = self.one_moment
        if moment.version is not None:
            return moment.version
        row = self.row("PRAGMA data_version")
        version = -1 if row is None else int(row[0])
        if moment.is_open:
            moment.version = version
        return version

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
