"""A published log as a directory: what a static web server, or a stranger with a copy, reads.

Promises: one publisher at a time; files appear whole; a file that is there is never given other bytes; the checkpoint
is the only one that is ever replaced. Everything is world-readable: it is public by purpose and holds digests only.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bywire.adapters.durable_file import SCRATCH, read_regular, sync_directory, write_whole
from bywire.ledger.tiles import BUNDLE_BYTES_MAX, CHECKPOINT_PATH, Resource
from bywire.model.errors import BywireError, ConflictError, LedgerError

_LOCK = ".publishing.lock"
_FILE_MODE = 0o644
_LEFTOVER = re.compile(re.escape(SCRATCH) + "[0-9a-f]+")
_WIDTHS = frozenset(str(width) for width in range(1, 256))


class TileFiles:
    """`ledger.tiles.TileWriter` in `directory`; reading needs no lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._dirty: set[Path] = set()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Hold the directory for one publisher, creating it as needed. ConflictError `publishing_busy`."""
        with _disk(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            sync_directory(self._directory.parent)
            descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sweep()
            yield
        except BlockingIOError as error:
            raise ConflictError(
                f"another process publishes into {self._directory}",
                code="publishing_busy",
                next_step="wait for it to end, then run this again",
            ) from error
        finally:
            os.close(descriptor)

    def read(self, path: str, bytes_max: int) -> bytes | None:
        """The bytes of a published file."""
        with _disk(self._directory / path):
            return read_regular(self._directory / path, bytes_max)

    def widths(self, resource: Resource) -> list[int]:
        """The widths of the partial files kept for a tile or bundle."""
        with _disk(self._directory):
            names = _names(self._partials(resource))
        return sorted(int(name) for name in names if name in _WIDTHS)

    def exists(self, path: str) -> bool:
        """Whether a file of some size is there; an empty one counts as absent."""
        try:
            found = (self._directory / path).stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size > 0

    def put(self, path: str, content: bytes) -> None:
        """Write a file for good. LedgerError `tile_conflict` when one with other bytes is there."""
        place = self._directory / path
        with _disk(place):
            self._refuse_links(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            # Also for a file that is there: a publisher that was killed may not have made its name durable.
            self._dirty.update(self._directory / parent for parent in Path(path).parents)
            found = read_regular(place, BUNDLE_BYTES_MAX)
            if found:
                _refuse_other(place, found, content)
            else:
                write_whole(place, content, _FILE_MODE)

    def sync(self) -> None:
        """Make the names of everything that was put durable; their bytes are already."""
        with _disk(self._directory):
            for directory in sorted(self._dirty, reverse=True):
                sync_directory(directory)
            self._dirty.clear()

    def replace_checkpoint(self, note: str) -> None:
        """Replace the checkpoint; it is durable when this returns."""
        with _disk(self._directory):
            write_whole(self._directory / CHECKPOINT_PATH, note.encode(), _FILE_MODE)
            sync_directory(self._directory)

    def drop_partials(self, resource: Resource) -> None:
        """Remove the partial files of a tile or bundle that is whole, and nothing else that lies there."""
        place = self._partials(resource)
        with _disk(place):
            self._refuse_links(place / "1")
            names = _names(place)
            for name in _WIDTHS.intersection(names):
                (place / name).unlink()
            if names and _WIDTHS.issuperset(names):
                place.rmdir()

    def _partials(self, resource: Resource) -> Path:
        return self._directory / f"{resource.whole.path}.p"

    def _refuse_links(self, place: Path) -> None:
        """Whoever else may write here must not lead a publisher out of the directory. OSError."""
        for parent in place.relative_to(self._directory).parents:
            if (self._directory / parent).is_symlink() and parent != Path():
                raise OSError(f"{parent} is a link")

    def _sweep(self) -> None:
        """Remove what a killed publisher left half written; never through a link, and never anybody else's file."""
        for parent, _, names in os.walk(self._directory):
            for name in names:
                if _LEFTOVER.fullmatch(name):
                    (Path(parent) / name).unlink(missing_ok=True)


def _names(place: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(place))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _refuse_other(place: Path, found: bytes, content: bytes) -> None:
    if found != content:
        raise LedgerError(
            f"{place} is published with other bytes; a published tile never changes",
            code="tile_conflict",
            next_step="run `bywire log verify-tiles`; publish into an empty directory if this one is damaged",
        )


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """Turn what the disk says into an error a person understands."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            problem = f"the disk is full; {place} was not written"
            raise BywireError(problem, code="disk_full", next_step="free some space and run it again") from error
        raise LedgerError(
            f"{place} cannot be read or written: {error.strerror or error}",
            code="tiles_unavailable",
            next_step="check the directory and its permissions",
        ) from error
