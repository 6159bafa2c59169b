"""Clean exports of one commit in a temporary directory, gone when the work is done."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bywire.adapters.git_repository import GitRepository
from bywire.adapters.removal import remove_tree
from bywire.agents.ports import Worktree, WorktreeFile
from bywire.model.errors import WorkError

FILES_MAX = 50_000
DEPTH_MAX = 100
FILE_BYTES_MAX = 64 * 1024 * 1024


class ExportedWorktree:
    """`agents.ports.Worktree`: reads never follow a link that what ran here may have left."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read_file(self, relative: str) -> bytes | None:
        """The bytes of a regular file below the root, or None; every component must be real, not a link."""
        path = Path(relative)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            return None
        directory = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in path.parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
                os.close(directory)
                directory = inner
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(path.parts[-1], flags, dir_fd=directory), "rb") as file:
                info = os.fstat(file.fileno())
                if not stat.S_ISREG(info.st_mode):
                    return None
                if info.st_size > FILE_BYTES_MAX:
                    raise WorkError(
                        f"{relative} is larger than {FILE_BYTES_MAX} bytes",
                        code="file_too_large",
                        next_step="keep large files out of the service's artifact",
                    )
                return file.read(FILE_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link where a file was expected
                return None
            raise
        finally:
            os.close(directory)

    def files(self) -> tuple[WorktreeFile, ...]:
        """Every regular file, sorted by path. Raises WorkError `too_many_files`, `too_deep`."""
        found: list[WorktreeFile] = []
        waiting = [(self.root, 0)]
        while waiting:
            directory, depth = waiting.pop()
            if depth > DEPTH_MAX:
                raise WorkError(
                    f"directories in the worktree nest more than {DEPTH_MAX} deep",
                    code="too_deep",
                    next_step="correct the command that makes them",
                )
            for entry in _entries(directory):
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    waiting.append((Path(entry.path), depth + 1))
                elif stat.S_ISREG(info.st_mode):
                    relative = Path(entry.path).relative_to(self.root).as_posix()
                    found.append(WorktreeFile(relative, bool(info.st_mode & stat.S_IXUSR), info.st_size))
            if len(found) > FILES_MAX:
                raise WorkError(
                    f"more than {FILES_MAX} files in the worktree",
                    code="too_many_files",
                    next_step="deliver one service of the repository at a time",
                )
        return tuple(sorted(found, key=lambda item: item.path))


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    """What a directory holds; nothing when it may not be read."""
    try:
        with os.scandir(directory) as found:
            return list(found)
    except PermissionError:
        return []


class GitWorktrees:
    """`agents.ports.Worktrees` over a git repository."""

    def __init__(self, repository: GitRepository) -> None:
        self._repository = repository

    @contextmanager
    def __call__(self, commit: str) -> Iterator[Worktree]:
        """Export `commit` and remove the export afterwards, whatever happened in it."""
        top = Path(tempfile.mkdtemp(prefix="bywire-work-"))
        try:
            root = top / "tree"
            root.mkdir()
            self._repository.export(commit, root)
            yield ExportedWorktree(root)
        finally:
            remove_tree(top)
