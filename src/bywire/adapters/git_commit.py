"""Makes a commit from a parent and a few files with a temporary index; the user's own is never touched."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bywire.adapters.git_command import GitCommand
from bywire.config.reading import path_problem, quote
from bywire.model.change import Author
from bywire.model.errors import ConfigError

OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
COMMIT_FILES_MAX = 200


class IndexRow(msgspec.Struct, frozen=True):
    """One path to write: `data` None deletes it, `mode` is git's octal text."""

    path: str
    mode: str
    data: bytes | None


def object_id(commit: str) -> str:
    """`commit`, checked to be a full object id: an abbreviation or a name could mean something else tomorrow."""
    if OBJECT_ID.fullmatch(commit) is None:
        raise ConfigError(
            f"{quote(commit)} is not a full commit id", code="commit_id", next_step="resolve the name first"
        )
    return commit


def identity(author: Author, now_ms: int) -> dict[str, str]:
    """Who and when, for author and committer alike, so that equal arguments give an equal commit."""
    name = re.sub(r"[<>\x00-\x1f]", "", author.name).strip() or "bywire"
    email = re.sub(r"[<>\s\x00-\x1f]", "", author.email)
    date = f"@{now_ms // 1000} +0000"
    return {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", email), ("DATE", date))
    }


def make_commit(
    git: GitCommand, parent: str, rows: Sequence[IndexRow], message: str, author: Author, now_ms: int
) -> str:
    """Write blobs, tree and commit objects; returns the commit's id. No ref is touched."""
    if not 0 < len(rows) <= COMMIT_FILES_MAX:
        raise ConfigError(f"a commit takes 1 to {COMMIT_FILES_MAX} files", code="commit_size", next_step="split it")
    lines = b"".join(_line(git, parent, row) for row in rows)
    with tempfile.TemporaryDirectory(prefix="bywire-index-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git.run(["read-tree", parent], extra=index)
        git.run(["update-index", "-z", "--index-info"], stdin=lines, extra=index)
        tree = git.run(["write-tree"], extra=index).decode("ascii").strip()
    asked = ["commit-tree", "--no-gpg-sign", "-p", parent, "-F", "-", tree]
    return git.run(asked, stdin=message.encode(), extra=identity(author, now_ms)).decode("ascii").strip()


def _line(git: GitCommand, parent: str, row: IndexRow) -> bytes:
    problem = path_problem(row.path)
    if problem:
        raise ConfigError(f"{quote(row.path)} {problem}", code="unsafe_path", next_step="write inside the repository")
    if row.data is None:
        return f"0 {'0' * len(parent)}\t{row.path}\x00".encode()
    oid = git.run(["hash-object", "-w", "--no-filters", "--stdin"], stdin=row.data).decode("ascii").strip()
    return f"{row.mode} {oid}\t{row.path}\x00".encode()
