"""Writes a commit's tree into an empty directory with a writer of our own: no checkout, no filters, nothing outside.

A tree object is untrusted bytes. Paths are checked as a set before anything is written, files are created exclusively
and without following links, symbolic links come last and are kept only when they resolve inside the directory.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bywire.adapters.git_command import GitCommand, GitOutput
from bywire.config.reading import path_problem, quote
from bywire.model.errors import ConfigError

FILES_MAX = 50_000
FILE_BYTES_MAX = 64 * 2**20
TREE_BYTES_MAX = 512 * 2**20
LINK_BYTES_MAX = 4096
SKIP_BYTES = 65_536

REGULAR, EXECUTABLE, SYMLINK, SUBMODULE = "100644", "100755", "120000", "160000"


class TreeEntry(NamedTuple):
    """One entry of a tree: `mode` in git's octal text, `oid` the object's id."""

    path: str
    mode: str
    oid: str

    @property
    def is_symlink(self) -> bool:
        """The blob holds the target of a symbolic link."""
        return self.mode == SYMLINK

    @property
    def is_submodule(self) -> bool:
        """The id names a commit of another repository."""
        return self.mode == SUBMODULE


def check_tree(entries: Sequence[TreeEntry]) -> None:
    """Refuse a tree that could write outside its directory or through a link of its own. Raises `unsafe_tree`."""
    if len(entries) > FILES_MAX:
        raise _unsafe(f"the commit has more than {FILES_MAX} files")
    paths = {entry.path for entry in entries}
    if len(paths) != len(entries):
        raise _unsafe("the commit's tree names one path twice")
    for entry in entries:
        # A backslash or a newline is an odd but harmless name on POSIX; only what redirects a write is refused.
        problem = path_problem("".join("_" if char == "\\" or ord(char) < 32 else char for char in entry.path))
        if problem or "\x00" in entry.path:
            raise _unsafe(f"{quote(entry.path)} {problem}")
        parents = entry.path.split("/")[:-1]
        if any("/".join(parents[: depth + 1]) in paths for depth in range(len(parents))):
            raise _unsafe(f"{quote(entry.path)} lies under a path that is a file or a link")


def write_tree(entries: Sequence[TreeEntry], blobs: GitOutput, into: Path) -> None:
    """Write `entries` below `into` (absent or empty); `blobs` is the output of `cat-file --batch` in their order.

    On any error the directory is emptied again. File modes keep their execute bit; submodules become empty directories.
    """
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise ConfigError(f"{into} is not empty", code="export_not_empty", next_step="export into an empty directory")
    root = into.resolve()
    try:
        _write(entries, blobs, root)
    except BaseException:
        _empty(root)
        raise


def _write(entries: Sequence[TreeEntry], blobs: GitOutput, root: Path) -> None:
    links: list[tuple[Path, bytes]] = []
    left = TREE_BYTES_MAX
    for entry in entries:
        place = root / entry.path
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if entry.is_submodule:
            place.mkdir(mode=0o755)
            continue
        data = read_blob(blobs, min(left, LINK_BYTES_MAX if entry.is_symlink else FILE_BYTES_MAX), entry.path)
        left -= len(data)
        if entry.is_symlink:
            links.append((place, data))
        else:
            _create(place, data, 0o755 if entry.mode == EXECUTABLE else 0o644)
    _link(links, root)


def _link(links: Iterable[tuple[Path, bytes]], root: Path) -> None:
    made = []
    for place, target in links:
        if target.startswith(b"/") or b"\x00" in target or not target:
            raise _unsafe(f"the link {quote(str(place.relative_to(root)))} points outside the repository")
        place.symlink_to(os.fsdecode(target))
        made.append(place)
    # Only now does the file system know every link, so only now can chains of them be resolved.
    for place in made:
        resolved = Path(os.path.realpath(place))
        if resolved != root and root not in resolved.parents:
            raise _unsafe(f"the link {quote(str(place.relative_to(root)))} points outside the repository")


def _create(place: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(place, flags, mode), "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)


def read_blob(blobs: GitOutput, bytes_max: int, name: str) -> bytes:
    """The next object of a `cat-file --batch` stream. Raises `file_too_large` before reading one over the limit."""
    size = _size(blobs, name)
    if size > bytes_max:
        raise ConfigError(
            f"{quote(name)} has {size} bytes; the limit here is {bytes_max}",
            code="file_too_large",
            next_step="keep large files out of the repository",
        )
    data = blobs.exactly(size)
    _finish(blobs, len(data) == size, name)
    return data


def read_blobs(git: GitCommand, ids: Sequence[str], bytes_max: int) -> Iterator[bytes]:
    """The contents of objects, in order, each at most `bytes_max`."""
    if not ids:
        return
    with git.stream(["cat-file", "--batch"], stdin="".join(f"{oid}\n" for oid in ids).encode()) as output:
        for oid in ids:
            yield read_blob(output, bytes_max, oid)


def probe_blob(blobs: GitOutput, count: int, name: str) -> bytes:
    """The first `count` bytes of the next object of a `cat-file --batch` stream; the rest is read and forgotten."""
    left = _size(blobs, name)
    first = blobs.exactly(min(count, left))
    left -= len(first)
    while left > 0:
        chunk = blobs.exactly(min(left, SKIP_BYTES))
        if not chunk:
            break
        left -= len(chunk)
    _finish(blobs, left == 0, name)
    return first


def _size(blobs: GitOutput, name: str) -> int:
    header = blobs.line().split(b" ")
    if len(header) != 3:
        raise ConfigError(
            f"git has no object for {quote(name)}", code="object_missing", next_step="git fetch --unshallow"
        )
    return int(header[2])


def _finish(blobs: GitOutput, whole: bool, name: str) -> None:
    if not whole or blobs.exactly(1) != b"\n":
        raise ConfigError(f"git ended within {quote(name)}", code="object_missing", next_step="run 'git fsck'")


def _empty(root: Path) -> None:
    for child in root.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _unsafe(problem: str) -> ConfigError:
    return ConfigError(problem, code="unsafe_tree", next_step="remove it from the branch; bywire will not write it")
