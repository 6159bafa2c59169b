"""A backup on disk: a directory, or one tar file of it. It appears whole or not at all, and is read without trust.

Names inside are relative paths of regular files; nothing else is looked at, and nothing is written outside the place
that the caller gives.
"""

import errno
import os
import secrets
import stat
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from bywire.adapters.directory_sync import sync_directory
from bywire.adapters.removal import remove_tree
from bywire.config.reading import path_problem, quote
from bywire.model.errors import BywireError, ConfigError, LedgerError

FILES_MAX = 20_000
DEPTH_MAX = 8
TAR_SUFFIX = ".tar"
_CHUNK_BYTES = 1 << 20
_AGAIN = "make another backup, or restore an older one that is whole"


class StoredFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of a backup must be: its size and sha256 hex."""

    bytes: int
    sha256: str


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """A private directory to fill; it becomes `destination` (a tar file when named *.tar) when the block ends well.

    Raises ConfigError `backup_exists`: a backup never overwrites anything.
    """
    if os.path.lexists(destination):
        raise ConfigError(
            f"{destination} exists already", code="backup_exists", next_step="name a place that does not exist yet"
        )
    if not destination.parent.is_dir():
        raise ConfigError(
            f"{destination.parent} is not a directory", code="backup_place", next_step="make it first, or name another"
        )
    place = destination.with_name(f".{destination.name}.{secrets.token_hex(8)}")
    place.mkdir(mode=0o700)
    try:
        yield place
        if destination.suffix == TAR_SUFFIX:
            _become_tar(place, destination)
        else:
            _sync_tree(place)
            # Renaming a directory onto an empty one would replace it: checked once more, right before.
            if os.path.lexists(destination):
                raise ConfigError(f"{destination} exists already", code="backup_exists", next_step="name another place")
            place.rename(destination)
        sync_directory(destination.parent)
    finally:
        remove_tree(place)


@contextmanager
def opened(source: Path, scratch: Path) -> Iterator[Path]:
    """The directory of a backup; a tar file is unpacked below `scratch` for as long as the block lasts."""
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise ConfigError(f"there is no backup at {source}", code="backup_missing", next_step="name a backup")
    place = scratch / f".unpacked.{secrets.token_hex(8)}"
    place.mkdir(mode=0o700)
    try:
        _unpack(source, place)
        yield place
    finally:
        remove_tree(place)


def copy_in(source: Path, target: Path, *, bytes_max: int = sys.maxsize - 1) -> None:
    """Copy a regular file (no link) to a new private one, durably. OSError when there is one.

    Of a file that is longer than `bytes_max`, one byte more than that is copied.
    """
    left = bytes_max + 1
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # O_NONBLOCK: opening a named pipe must not wait for somebody to write to it.
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(reading, "rb") as before:
        if not stat.S_ISREG(os.fstat(reading).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(source))
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(writing, "wb") as after:
            while left > 0 and (chunk := before.read(min(_CHUNK_BYTES, left))):
                after.write(chunk)
                left -= len(chunk)
            after.flush()
            os.fsync(after.fileno())


def write_new(target: Path, data: bytes) -> None:
    """Write a new private file, durably. OSError when there is one."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def described(place: Path) -> dict[str, StoredFile]:
    """Every regular file below a directory, by relative name."""
    files = sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(place).as_posix(): _describe(path) for path in files}


def check_files(place: Path, files: dict[str, StoredFile]) -> None:
    """LedgerError `backup_damaged` unless every listed file is there, regular, and has its bytes."""
    if len(files) > FILES_MAX:
        raise LedgerError("the backup lists too many files", code="backup_damaged", next_step=_AGAIN)
    for name, wanted in files.items():
        path = place / name
        within = [path, *(parent for parent in path.parents if place in parent.parents)]
        if path_problem(name) or any(part.is_symlink() for part in within) or not path.is_file():
            raise LedgerError(f"{quote(name)} is not in the backup", code="backup_damaged", next_step=_AGAIN)
        if _describe(path) != wanted:
            raise LedgerError(f"{name} is not as it was backed up", code="backup_damaged", next_step=_AGAIN)


def take_files(source: Path, files: dict[str, StoredFile], target: Path) -> None:
    """Copy the listed files to a private place and check the copies: LedgerError `backup_damaged`.

    The copies, because what lies at the source may be changed while it is read.
    """
    if len(files) > FILES_MAX or any(path_problem(name) for name in files):
        raise LedgerError("the backup lists what cannot be in one", code="backup_damaged", next_step=_AGAIN)
    for name, wanted in files.items():
        try:
            copy_in(source / name, target / name, bytes_max=wanted.bytes)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise _disk_full(f"{source} was not copied") from error
            raise LedgerError(f"{quote(name)} is not in the backup", code="backup_damaged", next_step=_AGAIN) from error
    check_files(target, files)


def set_aside(directory: Path, names: Iterable[str], aside: Path) -> None:
    """Give files, and the files of directories, a second name below the new directory `aside`; nothing is copied."""
    aside.mkdir(mode=0o700)
    for name in names:
        source = directory / name
        if source.is_dir():
            (aside / name).mkdir(mode=0o700)
            for path in source.iterdir():
                os.link(path, aside / name / path.name, follow_symlinks=False)
            sync_directory(aside / name)
        elif source.is_file():
            os.link(source, aside / name, follow_symlinks=False)
    sync_directory(aside)
    sync_directory(directory)


def put_in_place(staging: Path, directory: Path, database: str, beside: str) -> None:
    """Move a staged database and the files of the directory `beside` it into a directory, the database last.

    A write-ahead log of the old one goes first: SQLite would replay it into the new one. It holds what its database
    alone does not, so that goes before it: cut short here, there is no database, rather than one that forgot something.
    """
    for path in sorted((staging / beside).rglob("*")):
        target = directory / path.relative_to(staging)
        if path.is_file():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.replace(target)
            sync_directory(target.parent)
    if (directory / f"{database}-wal").exists():
        (directory / database).unlink(missing_ok=True)
        sync_directory(directory)
    for suffix in ("-wal", "-shm"):
        (directory / f"{database}{suffix}").unlink(missing_ok=True)
    sync_directory(directory)
    (staging / database).replace(directory / database)
    sync_directory(directory)


def _describe(path: Path) -> StoredFile:
    hashed, size = sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            hashed.update(chunk)
            size += len(chunk)
    return StoredFile(bytes=size, sha256=hashed.hexdigest())


def _sync_tree(place: Path) -> None:
    for path in place.rglob("*"):
        if path.is_dir():
            sync_directory(path)
        else:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync_directory(place)


def _become_tar(place: Path, destination: Path) -> None:
    packed = place.with_name(f"{place.name}{TAR_SUFFIX}")
    descriptor = os.open(packed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for path in sorted(place.rglob("*")):
                    if path.is_file():
                        archive.add(path, path.relative_to(place).as_posix(), recursive=False)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(packed, destination)  # never over a file that came meanwhile
            return
        raise ConfigError(f"{destination} exists already", code="backup_exists", next_step="name another place")
    finally:
        packed.unlink()


def _unpack(source: Path, place: Path) -> None:
    """Nothing is believed yet, so it may take no more room than the file itself: no holes, no deep names."""
    left = source.stat().st_size
    try:
        with tarfile.open(source, "r:") as archive:
            for count, member in enumerate(archive):
                left -= member.size
                if count >= FILES_MAX or left < 0 or not _belongs(member):
                    raise LedgerError(
                        f"{quote(member.name)} does not belong in a backup", code="backup_damaged", next_step=_AGAIN
                    )
                target = place / member.name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                content = archive.extractfile(member)
                with target.open("xb") as written:
                    while content is not None and (chunk := content.read(_CHUNK_BYTES)):
                        written.write(chunk)
    except (tarfile.TarError, EOFError, OSError, ValueError, RecursionError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _disk_full(f"{source} was not unpacked") from error
        raise LedgerError(f"{source} is no backup: {error}", code="backup_damaged", next_step=_AGAIN) from error


def _disk_full(problem: str) -> BywireError:
    return BywireError(f"the disk is full; {problem}", code="disk_full", next_step="free some space and run it again")


def _belongs(member: tarfile.TarInfo) -> bool:
    plain = member.isreg() and not member.issparse() and member.size >= 0
    return plain and not path_problem(member.name) and member.name.count("/") <= DEPTH_MAX
