"""Whether files still say what they said: a stat each time, and a read within a bound only where that differs.

A stat that could hide a later change (the file changed within the last moments, as far as the clock of its file system
tells) is not trusted the next time. What cannot be read is a state of its own, and no error: whoever looks must be able
to say so and go on.
"""

import os
import stat
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import msgspec

SETTLED_NS = 2_000_000_000
ENTRIES_MAX = 1_024
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 65_536


class FileState(StrEnum):
    """How a file was found."""

    READ = "read"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"


class Found(msgspec.Struct, frozen=True):
    """One file: `digest` is the SHA-256 (hex) of its content where that was read."""

    state: FileState
    digest: str = ""


class Watched(msgspec.Struct, frozen=True):
    """A file to look at. `follow`: a link is followed; else one is unreadable, as it is for who reads the file.

    `readable` False: it is known already that nobody can read it.
    """

    path: Path
    bytes_max: int
    follow: bool = True
    readable: bool = True


class _Seen(msgspec.Struct, frozen=True):
    stamp: tuple[int, ...]
    found: Found
    settled: bool


class WatchedFiles:
    """Looks at the files that `which` names, each time anew. One thread at a time."""

    def __init__(self, which: Callable[[], Mapping[str, Watched]]) -> None:
        self._which = which
        self._seen: dict[str, _Seen] = {}

    def look(self) -> dict[str, Found]:
        """Every file by its name."""
        known, self._seen = self._seen, {}
        found = {}
        for name, file in self._which().items():
            seen = known.get(name)
            now = seen if seen is not None and seen.settled and _stamp_of(file) == seen.stamp else _looked(file)
            self._seen[name] = now
            found[name] = now.found
        return found


def listed(folder: Path, suffixes: tuple[str, ...], most: int) -> tuple[str, ...] | None:
    """The names in `folder` that end so, sorted; None when it is no directory that can be listed, or holds too much."""
    found: list[str] = []
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return None
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries, 1):
                if entry.name.endswith(suffixes):
                    found.append(entry.name)
                if count > ENTRIES_MAX or len(found) > most:
                    return None
    except FileNotFoundError:
        return ()
    except OSError:
        return None
    return tuple(sorted(found))


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _stamp_of(file: Watched) -> tuple[int, ...]:
    try:
        return _stamp(file.path.stat(follow_symlinks=file.follow))
    except OSError:
        return ()


def _looked(file: Watched) -> _Seen:
    """What is there now. The stamp is the opened file's own, so that nothing is swapped between looking and reading."""
    if not file.readable:
        return _Seen((), Found(FileState.UNREADABLE), settled=False)
    try:
        descriptor = os.open(file.path, _FLAGS | (0 if file.follow else os.O_NOFOLLOW))
    except FileNotFoundError:
        return _Seen((), Found(FileState.MISSING), settled=False)
    except OSError:
        return _Seen((), Found(FileState.UNREADABLE), settled=False)
    try:
        about = os.fstat(descriptor)
        recent = time.time_ns() - max(about.st_ctime_ns, about.st_mtime_ns) < SETTLED_NS
        return _Seen(_stamp(about), _content(descriptor, about, file.bytes_max), settled=not recent)
    except OSError:
        return _Seen((), Found(FileState.UNREADABLE), settled=False)
    finally:
        os.close(descriptor)


def _content(descriptor: int, about: os.stat_result, bytes_max: int) -> Found:
    """Never more than `bytes_max` and one chunk is read, whatever the file's size is said to be, or becomes."""
    if not stat.S_ISREG(about.st_mode):
        return Found(FileState.UNREADABLE)
    digest, size = sha256(), 0
    while part := os.read(descriptor, _CHUNK_BYTES):
        size += len(part)
        if size > bytes_max:
            return Found(FileState.TOO_LARGE)
        digest.update(part)
    return Found(FileState.READ, digest.hexdigest())
