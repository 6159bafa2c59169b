"""Files that appear whole or not at all, and stay: temporary file, fsync, rename; the directory is synced apart.

A reader never sees half a file; after `sync_directory` a crash cannot take the name back. A temporary file that a crash
left behind begins with SCRATCH and means nothing.
"""

import os
import secrets
import stat
from pathlib import Path

SCRATCH = ".new-"


def write_whole(place: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace or create `place`; its name is durable after `sync_directory(place.parent)`. Raises OSError."""
    scratch = place.with_name(f"{SCRATCH}{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(place)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_regular(place: Path, bytes_max: int) -> bytes | None:
    """The bytes of a regular file of at most `bytes_max`; None when it is not there. Raises OSError for anything else.

    Never follows a link and never waits on a pipe: what lies there may have been put by somebody else.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError("not a regular file")
        data = stream.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OSError(f"larger than {bytes_max} bytes")
    return data
