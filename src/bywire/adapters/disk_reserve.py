"""A file that holds disk space back, so that a retreat can still be recorded when the disk is full (RULES 16)."""

import os
from pathlib import Path

RESERVE_BYTES = 8 * 1024 * 1024
_CHUNK = b"\0" * 65_536
# Restoring must not itself fill the disk again.
_FREE_FACTOR = 2


class DiskReserve:
    """`<database>.reserve`: really allocated bytes that `release` gives back to the file system."""

    def __init__(self, path: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def held(self) -> bool:
        """Whether the whole reserve is there."""
        try:
            return self._path.stat().st_size >= self._size_bytes
        except FileNotFoundError:
            return False

    def hold(self) -> bool:
        """Allocate the reserve if there is ample room for it; whether it is there now."""
        if self.held():
            return True
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < _FREE_FACTOR * self._size_bytes:
            return False
        # Two processes may start at once: each fills a file of its own, and the last rename wins.
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # Written, not only sized: a sparse file would hold nothing back.
            for _ in range(0, self._size_bytes, len(_CHUNK)):
                os.write(descriptor, _CHUNK)
            os.fsync(descriptor)
        except OSError:
            partial.unlink()
            return False
        finally:
            os.close(descriptor)
        partial.replace(self._path)
        return True

    def release(self) -> bool:
        """Give the space back; whether there was any."""
        held = self._path.exists()
        self._path.unlink(missing_ok=True)
        return held
