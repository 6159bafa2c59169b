"""Ending every descendant where no process namespace does it: through /proc on Linux, by process group elsewhere."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_ROUNDS_MAX = 200
_PAUSE_SECONDS = 0.01


def kill_descendants(command: int) -> None:
    """Kill all descendants of this process and reap them.

    On Linux this process is their subreaper, so a daemonised grandchild shows up as a child. Bounded: a fork bomb
    faster than `_ROUNDS_MAX` rounds is stopped only by its process limit.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(command, signal.SIGKILL)
    for _ in range(_ROUNDS_MAX):
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not _reap():
            return
        time.sleep(_PAUSE_SECONDS)


def _reap() -> bool:
    """Reap what is dead. Returns whether any child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _descendants() -> list[int]:
    if sys.platform != "linux":
        return []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
