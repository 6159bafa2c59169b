"""The host as `bywire doctor` sees it: places, names and modes. Every part can be made up, so that tests need no host.

Values of environment variables and contents of credential files never leave this module's callers: only names do.
"""

import grp
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

CONNECT_SECONDS = 0.3
SUDO_SECONDS = 2.0
TEXT_BYTES_MAX = 262_144


class WayAround(msgspec.Struct, frozen=True):
    """One way past the door that this host offers to processes of this user, and how to close it."""

    what: str
    where: str
    fix: str


class Surroundings(msgspec.Struct, frozen=True):
    """What one process can see around itself.

    `root` is where absolute places are looked up. `connects` (host, port) and `sudoes` are asked only when the user
    wants a probe: None means that nothing is tried.
    """

    home: Path
    environment: Mapping[str, str]
    root: Path
    uid: int
    process: int
    groups: frozenset[str] = frozenset()
    connects: Callable[[str, int], bool] | None = None
    sudoes: Callable[[], bool] | None = None

    def place(self, absolute: str) -> Path:
        """Where an absolute path of the host is found."""
        return self.root / absolute.lstrip("/")

    def set_names(self) -> tuple[str, ...]:
        """Names of environment variables with a value, sorted."""
        return tuple(sorted(name for name, value in self.environment.items() if value))


def host(*, probe: bool = False) -> Surroundings:
    """The real host; with `probe` it may also be asked whether it lets a connection out and sudo in."""
    return Surroundings(
        home=Path(os.environ.get("HOME") or "/nonexistent"),
        environment=dict(os.environ),
        root=Path("/"),
        uid=os.geteuid(),
        process=os.getpid(),
        groups=frozenset(filter(None, map(_group_name, os.getgroups()))),
        connects=_connects if probe else None,
        sudoes=_sudoes if probe else None,
    )


def exists(path: Path) -> bool:
    """Whether something is there; what may not be looked at counts as not there."""
    try:
        path.lstat()
    except OSError:
        return False
    return True


def is_writable_socket(path: Path) -> bool:
    """Whether this user could talk to a socket."""
    try:
        return stat.S_ISSOCK(path.stat().st_mode) and os.access(path, os.W_OK)
    except OSError:
        return False


def text(path: Path) -> str:
    """The beginning of a regular file; empty when it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(TEXT_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""


def mode_of(path: Path) -> int:
    """Permission bits of a path."""
    return stat.S_IMODE(path.stat().st_mode)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _sudoes() -> bool:
    """Whether sudo would run a command without asking; a refusal may be noted in the host's log, hence only a probe."""
    try:
        asked = ["sudo", "-n", "-k", "true"]
        done = subprocess.run(asked, check=False, capture_output=True, timeout=SUDO_SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
