"""Who has a workspace open: any number of processes share it, and one that replaces its database has it alone."""

import fcntl
import os
from pathlib import Path
from typing import Self

from bywire.model.errors import ConflictError

LOCK_FILE = "workspace.lock"


class Presence:
    """A shared or exclusive hold on a workspace's database, let go by `close` or when the process ends."""

    _descriptor = -1

    def __init__(self, directory: Path, *, alone: bool = False) -> None:
        """Raises ConflictError `workspace_busy`: at once, never after waiting."""
        self._descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise ConflictError(
                f"another bywire {'works in' if alone else 'is restoring'} {directory}",
                code="workspace_busy",
                next_step="wait for it to end, then run this command again",
            ) from error

    def close(self) -> None:
        """Let go. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
