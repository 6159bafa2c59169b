"""Making names durable: what was created, renamed or removed is so after a crash once its directory is synced."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Fsync a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
