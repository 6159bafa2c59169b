"""Removes what untrusted commands left behind, however deep it nests, whatever its modes, and never through a link.

`shutil.rmtree` and `os.walk` recurse once a level on Python 3.11 and 3.12, so a thousand nested directories would end
the control plane in the middle of its work; their paths also grow past what the kernel takes.
"""

import contextlib
import secrets
import stat
from pathlib import Path


def remove_tree(root: Path) -> None:
    """Remove `root` and all below it; what the system refuses to remove stays.

    Directories below the first level are moved up to `root` before they are emptied: no path gets longer than three
    parts, and no call nests.
    """
    if root.is_symlink() or not root.is_dir():
        return
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        with contextlib.suppress(OSError):
            directory.chmod(0o700)
            for path in list(directory.iterdir()):
                _take(path, root, waiting)
        if directory != root:
            with contextlib.suppress(OSError):
                directory.rmdir()
    with contextlib.suppress(OSError):
        root.rmdir()


def _take(path: Path, root: Path, waiting: list[Path]) -> None:
    """Unlink a file; queue a directory, moved to the top unless it is there."""
    with contextlib.suppress(OSError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return
        if path.parent == root:
            waiting.append(path)
            return
        path.chmod(0o700)  # moving a directory needs leave to change its `..`
        moved = root / f".removed-{secrets.token_hex(8)}"
        path.rename(moved)
        waiting.append(moved)
