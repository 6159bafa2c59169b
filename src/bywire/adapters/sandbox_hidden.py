"""What a sandboxed command must not see, and what it must still see to run at all.

All paths are resolved: a symlink hides nothing.
"""

import os
import pwd
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_HOME_SECRETS = (
    ".ssh", ".aws", ".kube", ".config/gcloud", ".config/gh", ".azure", ".gnupg", ".netrc", ".docker",
    ".git-credentials", ".npmrc", ".pypirc", ".config/bywire", ".vault-token", ".cargo/credentials.toml",
)  # fmt: skip
_SOCKETS = ("/var/run/docker.sock", "/run/containerd", "/run/podman")
_COVERS = ("/root", "/home", "/tmp", "/var/tmp", "/run", "/var/run")  # noqa: S108  covered, not used


def secret_paths(environ: dict[str, str]) -> tuple[Path, ...]:
    """Well-known places of credentials for the current user, whether or not they exist."""
    places = [home / name for home in _homes(environ) for name in _HOME_SECRETS]
    places += [Path(name) for name in _SOCKETS]
    if agent := environ.get("SSH_AUTH_SOCK"):
        places.append(Path(agent))
    return tuple(places)


def cover_paths(environ: dict[str, str]) -> tuple[str, ...]:
    """Directories replaced as a whole: homes, shared temporary directories and run-time sockets."""
    return _resolved([*_homes(environ), *(Path(name) for name in _COVERS)])


def tool_paths(search_path: str, covers: Iterable[str]) -> tuple[str, ...]:
    """Directories below a cover that the tools on `search_path` live in: the entries and their Python installations."""
    found: list[Path] = [Path(sys.prefix), Path(sys.base_prefix)]
    for entry in filter(None, search_path.split(os.pathsep)):
        found += [Path(entry), *_python_trees(Path(entry))]
    kept = [path for path in _resolved(found) if path != "/" and not any(_contains(path, cover) for cover in covers)]
    return tuple(kept)


def hidden_paths(paths: Iterable[Path]) -> tuple[str, ...]:
    """`paths`, resolved, those that exist."""
    return _resolved(paths)


def _python_trees(entry: Path) -> Iterator[Path]:
    """The environment that owns this bin directory, and the installation that it borrows its standard library from."""
    if (entry.parent / "pyvenv.cfg").is_file():
        yield entry.parent
    for name in ("python", "python3"):
        if (entry / name).exists():
            yield (entry / name).resolve().parents[1]


def _homes(environ: dict[str, str]) -> list[Path]:
    homes = [Path(environ["HOME"])] if environ.get("HOME", "").startswith("/") else []
    try:
        homes.append(Path(pwd.getpwuid(os.getuid()).pw_dir))
    except KeyError:
        return homes
    return homes


def _resolved(paths: Iterable[Path]) -> tuple[str, ...]:
    resolved = {os.path.realpath(path) for path in paths if os.path.lexists(path)}
    return tuple(sorted(path for path in resolved if path != "/" and os.path.lexists(path)))


def _contains(path: str, other: str) -> bool:
    return other == path or other.startswith(path.rstrip("/") + "/")
