"""What the workers need from outside: a repository, clean worktrees, a sandbox, and readers of a service's files."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bywire.evidence.ports import GovernedAsset


class TreeEntry(Protocol):
    """One path of a commit's tree: git mode in octal digits (`100644`, `100755`, `120000`, `160000`) and object id."""

    @property
    def path(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def oid(self) -> str: ...


class Repository(Protocol):
    """The repository at rest: nothing here runs its code."""

    def read(self, commit: str, path: str) -> bytes | None: ...
    def list(self, commit: str, prefix: str = "") -> Sequence[TreeEntry]: ...


class WorktreeFile(msgspec.Struct, frozen=True):
    """A regular file in a worktree; links and devices are not listed."""

    path: str
    executable: bool
    bytes: int


class Worktree(Protocol):
    """A clean export of one commit, without .git. Links that a command left in it are never followed."""

    @property
    def root(self) -> Path: ...
    def read_file(self, relative: str) -> bytes | None:
        """The bytes of a regular file, or None; bounded by the adapter."""
        ...

    def files(self) -> Sequence[WorktreeFile]:
        """Every regular file, sorted by path; bounded by the adapter."""
        ...


class Worktrees(Protocol):
    """Makes worktrees; each is removed when its context ends."""

    def __call__(self, commit: str) -> AbstractContextManager[Worktree]: ...


class RunResult(Protocol):
    """How a sandboxed command ended. Streams are bounded text; `isolation` is own_uid, namespaces or none."""

    @property
    def exit_code(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...
    @property
    def timed_out(self) -> bool: ...
    @property
    def duration_seconds(self) -> float: ...
    @property
    def isolation(self) -> str: ...


class Sandbox(Protocol):
    """Runs an argument list without keys, ledger or network (RULES 2)."""

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        timeout_seconds: float,
        env_allow: Mapping[str, str] | None = None,
    ) -> RunResult: ...


class Documents(Protocol):
    """Strict, bounded readers of the files a service writes. ConfigError names file, line and remedy."""

    def manifests(self, data: bytes, source: str) -> Sequence[Any]:
        """Every Kubernetes document of a file as plain JSON."""
        ...

    def assets(self, data: bytes, source: str) -> Sequence[GovernedAsset]:
        """The assets of one asset manifest."""
        ...
