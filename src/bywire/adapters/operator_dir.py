"""The operator directory: keys, policy, limits and state of one service, always outside the repository it judges.

Promises: the directory belongs to this user and nobody else may write to it; files appear whole or not at all, with
mode 0600; one process at a time holds a named lock, and loses it when it dies.
"""

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bywire.adapters.durable_file import sync_directory, write_whole
from bywire.config.reading import path_problem, quote
from bywire.model.errors import BywireError, ConfigError, ConflictError

FILE_BYTES_MAX = 16 * 2**20
NAMES_MAX = 64
_LOCK_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def operator_path(repository_root: Path, service: str = "", given: Path | None = None) -> Path:
    """Where the operator directory of a repository is; it need not exist yet.

    First of: `given` (--operator DIR), $BYWIRE_OPERATOR_DIR, then below $XDG_STATE_HOME or ~/.local/state:
    bywire/<service or directory name>-<first 8 hex of sha256 of the repository's real path>.
    Raises ConfigError `operator_inside_repository`.
    """
    root = repository_root.resolve()
    chosen = given or _from_environment("BYWIRE_OPERATOR_DIR")
    if chosen is None:
        state = _from_environment("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        label = re.sub(r"[^a-z0-9-]+", "-", (service or root.name).lower()).strip("-") or "service"
        chosen = state / "bywire" / f"{label[:63]}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}"
    place = chosen.expanduser().resolve()
    if place == root or root in place.parents or place in root.parents:
        raise ConfigError(
            f"the operator directory {place} and the repository {root} must not contain one another",
            code="operator_inside_repository",
            next_step="choose a directory elsewhere: --operator DIR, or unset BYWIRE_OPERATOR_DIR",
        )
    return place


class OperatorDirectory:
    """An existing operator directory, checked when it is opened."""

    def __init__(self, path: Path) -> None:
        """Open `path`. Raises ConfigError `operator_missing` or `operator_unsafe`."""
        self.path = path
        self._base = str(path)
        try:
            found = path.stat()
        except FileNotFoundError as error:
            problem = f"there is no operator directory at {path}"
            raise ConfigError(problem, code="operator_missing", next_step="run 'bywire init'") from error
        if not stat.S_ISDIR(found.st_mode):
            raise _unsafe(f"{path} is not a directory", f"move {path} away and run 'bywire init'")
        _check_ownership(path, found)

    @classmethod
    def create(cls, path: Path) -> "OperatorDirectory":
        """Make the directory (mode 0700) unless it exists, and open it."""
        with _disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
        return cls(path)

    def write(self, name: str, data: bytes) -> Path:
        """Write a file atomically and durably: temporary file, fsync, rename, fsync of the directory."""
        place = self._place(name)
        with _disk(place):
            self._make_parents(place)
            write_whole(place, data)
            sync_directory(place.parent)
        return place

    def read(self, name: str, *, bytes_max: int = FILE_BYTES_MAX) -> bytes:
        """The bytes of a regular file. Raises ConfigError `operator_file_missing` or `operator_unsafe`."""
        place = self._place(name)
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            problem = f"{place} does not exist"
            raise ConfigError(problem, code="operator_file_missing", next_step="run 'bywire init'") from error
        except OSError as error:
            raise _unsafe(f"{place} cannot be opened: {error.strerror}", f"look at {place}") from error
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > bytes_max:
                raise _unsafe(f"{place} is not a regular file of at most {bytes_max} bytes", f"look at {place}")
            _check_ownership(place, found)
            return stream.read(bytes_max)

    def names(self, folder: str, suffixes: tuple[str, ...] = ("",), *, most: int = NAMES_MAX) -> tuple[str, ...]:
        """The names in `folder` that end so (by default all), sorted; none when there is no such folder.

        Raises ConfigError `operator_unsafe` for one that others may write to, or that holds more than `most`.
        """
        place = self._place(folder)
        try:
            found = place.lstat()
        except FileNotFoundError:
            return ()
        if not stat.S_ISDIR(found.st_mode):
            raise _unsafe(f"{place} is not a directory", f"look at {place}")
        _check_ownership(place, found)
        with _disk(place):
            names = sorted(entry.name for entry in place.iterdir() if entry.name.endswith(suffixes))
        if len(names) > most:
            raise _unsafe(f"{place} holds more than {most} files", f"remove what is not needed from {place}")
        return tuple(names)

    def stamp(self, name: str) -> tuple[int, int, int] | None:
        """Changes whenever a file that is only ever replaced whole does; None when it is not there."""
        try:
            found = os.stat(f"{self._base}/{name}")  # noqa: PTH116  asked before every decision
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the exclusive lock `name`. Raises ConflictError `workspace_busy` with the process id that holds it."""
        if _LOCK_NAME.fullmatch(name) is None:
            raise ConfigError(f"{quote(name)} cannot name a lock", code="lock_name", next_step="use a-z, 0-9 and '-'")
        place = self.path / f"{name}.lock"
        # The file stays when the lock is released: removing it would let two processes lock two different files.
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _acquire(descriptor, place)
            with suppress(OSError):  # on a full disk the lock is as good without the name of its holder
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _place(self, name: str) -> Path:
        problem = path_problem(name) if name else "is empty"
        if problem:
            raise ConfigError(
                f"{quote(name)} {problem}", code="operator_path", next_step="name a file in the directory"
            )
        return self.path / name

    def _make_parents(self, place: Path) -> None:
        for parent in reversed(place.relative_to(self.path).parents[:-1]):
            (self.path / parent).mkdir(mode=0o700, exist_ok=True)


def _acquire(descriptor: int, place: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "unknown"
        raise ConflictError(
            f"another bywire (process {holder}) works in {place.parent}",
            code="workspace_busy",
            next_step=f"wait for it to end, or look at it: ps -p {holder}",
        ) from error


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name, "")
    return Path(value) if value else None


def _check_ownership(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise _unsafe(
            f"{path} belongs to user {found.st_uid}, not to you", "choose a directory of your own: --operator DIR"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unsafe(f"others may write to {path}", f"chmod go-w {path}")


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """Turn what the disk says into an error a person understands."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            problem = f"the disk is full; {place} was not written"
            raise BywireError(problem, code="disk_full", next_step="free some space and run it again") from error
        raise _unsafe(f"{place} cannot be written: {error.strerror}", "check the directory's permissions") from error


def _unsafe(problem: str, next_step: str) -> ConfigError:
    return ConfigError(problem, code="operator_unsafe", next_step=next_step)
