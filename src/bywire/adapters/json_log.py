"""Lines to a file that only its owner reads, turned over before it grows too large, or to standard error."""

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from bywire.adapters.json_log_lines import line_of
from bywire.adapters.otel_fields import Shown
from bywire.model.ask import CallRecord
from bywire.model.errors import ConfigError
from bywire.model.gateway_telemetry import JsonLogSettings

STDERR_FD = 2
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class JsonLog:
    """Writes batches. Opens its file at once: ConfigError `log_unwritable` where that cannot be."""

    def __init__(self, settings: JsonLogSettings, shown: Shown) -> None:
        self._settings = settings
        self._shown = shown
        self._path = Path(settings.file) if settings.file else None
        self._fd, self._size = self._opened() if self._path is not None else (STDERR_FD, 0)

    def send(self, batch: Sequence[CallRecord]) -> None:
        """Whole lines. Raises OSError when there is no room."""
        for record in batch:
            line = line_of(record, self._shown) + b"\n"
            if self._path is not None and self._size and self._size + len(line) > self._settings.bytes_max:
                self._turn_over(self._path)
            rest = memoryview(line)
            while rest:
                written = os.write(self._fd, rest)
                rest = rest[written:]
                self._size += written

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._fd)

    def _turn_over(self, path: Path) -> None:
        for number in range(self._settings.files_max, 0, -1):
            older = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
            with contextlib.suppress(FileNotFoundError):
                older.replace(path.with_name(f"{path.name}.{number}"))
        replaced = self._fd
        self._fd, self._size = self._opened()
        os.close(replaced)

    def _opened(self) -> tuple[int, int]:
        try:
            fd = os.open(str(self._path), _FLAGS, 0o600)
        except OSError as error:
            raise _unwritable(self._path, error.strerror or "cannot be opened") from error
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise _unwritable(self._path, "is no regular file")
        return fd, found.st_size


def _unwritable(path: Path | None, why: str) -> ConfigError:
    return ConfigError(
        f"{path}: {why}", code="log_unwritable", next_step="name a file in a directory of yours: telemetry.json_log"
    )
