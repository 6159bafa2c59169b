"""What each `bywire serve` of a workspace leaves on disk while it runs: where it answers, and what it has read.

Another process believes a note for as long as its writer holds the lock on it; what a killed server left is locked by
nobody, and counts for nothing.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from bywire.adapters.watched_files import ENTRIES_MAX, Found, listed

FOLDER = "serving"
NOTES_MAX = 32
NOTE_BYTES_MAX = 65_536


class Note(msgspec.Struct, frozen=True):
    """One server; `files` is what it read of its configuration when it started."""

    process: int
    url: str
    started_ms: int
    files: dict[str, Found]


class ServingNote:
    """This process's own note, there until `close` or the process's end. Raises OSError where it cannot be written."""

    def __init__(self, directory: Path, url: str, started_ms: int, files: dict[str, Found]) -> None:
        folder = directory / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        _remove_left(folder)
        note = Note(os.getpid(), url, started_ms, files)
        self._place = folder / f"{note.process}-{note.started_ms}.json"
        hidden = folder / f".{self._place.name}"
        self._descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        # Locked before it has its name: whoever finds it finds it held.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(self._descriptor, msgspec.json.encode(note))
        hidden.rename(self._place)

    def close(self) -> None:
        """Take it away. Idempotent."""
        if self._descriptor >= 0:
            self._place.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serving(directory: Path) -> tuple[Note, ...]:
    """The servers that run now, oldest first; at most NOTES_MAX."""
    found = []
    for _, descriptor in _opened(directory / FOLDER, NOTES_MAX):
        try:
            if _held(descriptor):
                found.append(msgspec.json.decode(os.read(descriptor, NOTE_BYTES_MAX), type=Note))
        except (OSError, msgspec.MsgspecError):
            continue
    return tuple(sorted(found, key=lambda note: note.started_ms))


def _opened(folder: Path, most: int) -> Iterator[tuple[Path, int]]:
    """Each note and a descriptor of it, which is open until the next one; none of more than `most`."""
    names = listed(folder, (".json",), most)
    for place in (folder / name for name in names or () if not name.startswith(".")):
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            yield place, descriptor
        finally:
            os.close(descriptor)


def _held(descriptor: int) -> bool:
    """Whether a server that runs has it."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove_left(folder: Path) -> None:
    """What servers left that were killed, also when that is more than anybody reads."""
    for place, descriptor in _opened(folder, ENTRIES_MAX):
        if not _held(descriptor):
            place.unlink(missing_ok=True)
