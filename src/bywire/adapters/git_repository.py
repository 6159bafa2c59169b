"""The service's repository as the envelope sees it: commits, trees and changes, read and written by plumbing only.

Nothing here touches the user's work tree or index, runs a program named by the repository, or follows a ref that was
spelt as an option. A branch is moved only by compare-and-swap. Commits are full object ids throughout.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bywire.adapters.git_change import empty_tree, read_change
from bywire.adapters.git_command import GitCommand, GitFailedError
from bywire.adapters.git_commit import OBJECT_ID, IndexRow, identity, make_commit, object_id
from bywire.adapters.git_diff import decode_path
from bywire.adapters.git_export import (
    REGULAR,
    SUBMODULE,
    SYMLINK,
    TreeEntry,
    check_tree,
    probe_blob,
    read_blobs,
    write_tree,
)
from bywire.adapters.git_history import Commit, commits_beyond
from bywire.config.reading import nearest, path_problem, quote
from bywire.model.change import Author, Change
from bywire.model.errors import ConfigError, ConflictError

READ_BYTES_MAX = 8 * 2**20
REF_CHARACTERS_MAX = 200
BRANCHES_SHOWN = 12

_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|\.$|/$|^/|^\.|^@$")


class GitRepository:
    """One git repository, found from any path inside it. Raises ConfigError `not_a_repository`."""

    def __init__(self, path: Path) -> None:
        self.root, git_directory, work_tree = _locate(path)
        self._bare = work_tree is None
        self._git = GitCommand(git_directory, work_tree)

    def branches(self) -> tuple[str, ...]:
        """Local branch names, sorted."""
        output = self._git.run(["for-each-ref", "--format=%(refname)", "refs/heads/"])
        return tuple(
            sorted(line.removeprefix("refs/heads/") for line in output.decode("utf-8", "replace").split("\n") if line)
        )

    def current_branch(self) -> str:
        """The branch that is checked out. Raises ConfigError `detached_head`."""
        try:
            name = self._git.run(["symbolic-ref", "--quiet", "HEAD"]).decode("utf-8", "replace").strip()
        except GitFailedError as error:
            raise ConfigError(
                "no branch is checked out (detached HEAD)",
                code="detached_head",
                next_step="name the branch: --change BRANCH, or 'git switch BRANCH'",
            ) from error
        return name.removeprefix("refs/heads/")

    def resolve(self, ref: str) -> str:
        """The commit that `ref` names: a branch, then a remote branch, a tag, `HEAD` or a full object id.

        Raises ConfigError `branch_missing`, naming the branches that exist.
        """
        if OBJECT_ID.fullmatch(ref):
            found = self._peel(ref)
        else:
            found = next(filter(None, map(self._exact, _candidates(ref))), "")
        if found:
            return found
        known = self.branches()
        close = nearest(ref, known)
        shown = ", ".join(known[:BRANCHES_SHOWN]) + (", ..." if len(known) > BRANCHES_SHOWN else "")
        raise ConfigError(
            f"there is no branch or commit {quote(ref)}; branches here: {shown or 'none yet'}",
            code="branch_missing",
            next_step=f"did you mean '{close}'?" if close else "name one of them, or commit first",
        )

    def _exact(self, name: str) -> str:
        # show-ref --verify takes the name as it is; rev-parse would also try it below refs/tags and elsewhere.
        try:
            held = self._git.run(["show-ref", "--verify", "--hash", name])
        except GitFailedError:
            return ""
        return self._peel(held.decode("ascii").strip())

    def _peel(self, oid: str) -> str:
        """The commit an object id leads to, or empty."""
        try:
            return self._git.run(["rev-parse", "--verify", "--quiet", f"{oid}^{{commit}}"]).decode("ascii").strip()
        except GitFailedError:
            return ""

    def merge_base(self, left: str, right: str) -> str:
        """The best common ancestor of two commits. Raises ConfigError `no_common_history`."""
        try:
            output = self._git.run(["merge-base", object_id(left), object_id(right)])
        except GitFailedError as error:
            raise ConfigError(
                f"{left[:12]} and {right[:12]} have no common history",
                code="no_common_history",
                next_step="fetch the whole history (git fetch --unshallow), or rebase the branch",
            ) from error
        return output.decode("ascii").split("\n")[0]

    def change(self, base_branch: str, branch: str) -> Change:
        """What `branch` changes against the tip of the protected `base_branch`.

        The branch must contain that tip, else deploying it would silently undo work: ConfigError `branch_behind`.
        Bounded in commits, files and bytes (`change_too_large`). Submodules and files with a NUL byte are binary.
        """
        base, head = self.resolve(base_branch), self.resolve(branch)
        if self.merge_base(base, head) != base:
            raise ConfigError(
                f"{branch} does not contain the tip of {base_branch}; deploying it would undo what it lacks",
                code="branch_behind",
                next_step=f"git switch {branch} && git merge {base_branch}",
            )
        return read_change(self._git, branch=branch, base_branch=base_branch, base=base, head=head)

    def change_since(self, branch: str, base_commit: str) -> Change:
        """What the protected `branch` itself gained since `base_commit`; all of it when that is empty.

        Raises ConfigError `branch_behind` when `base_commit` is no ancestor, `change_too_large`.
        """
        head = self.resolve(branch)
        base = base_commit or empty_tree(self._git)
        if base_commit and self.merge_base(base, head) != base:
            raise ConfigError(
                f"{branch} does not contain {base[:12]}, which was delivered before; deploying it would undo that",
                code="branch_behind",
                next_step="bywire rollback, or merge what was delivered",
            )
        return read_change(self._git, branch=branch, base_branch=branch, base=base, head=head)

    def commits_beyond(self, head: str, known: Sequence[str], limit: int) -> tuple[Commit, ...]:
        """At most `limit` commits of `head` that none of `known` contains, newest first; unknown ids are left out."""
        return commits_beyond(self._git, head, [commit for commit in known if self._peel(commit)], limit)

    def tree(self, commit: str) -> str:
        """The object id of a commit's tree; empty when the commit is not here."""
        try:
            return (
                self._git.run(["rev-parse", "--verify", "--quiet", f"{object_id(commit)}^{{tree}}"])
                .decode("ascii")
                .strip()
            )
        except GitFailedError:
            return ""

    def read(self, commit: str, path: str, *, bytes_max: int = READ_BYTES_MAX) -> bytes | None:
        """The bytes of a regular file at a commit; None when there is none, or it is a link, directory or submodule.

        Raises ConfigError `file_too_large`.
        """
        found = next((entry for entry in self.list(commit, path) if entry.path == path), None)
        if found is None or found.mode in (SYMLINK, SUBMODULE):
            return None
        (data,) = read_blobs(self._git, [found.oid], bytes_max)
        return data

    def list(self, commit: str, prefix: str = "") -> tuple[TreeEntry, ...]:
        """Files, links and submodules at a commit, sorted by path; `prefix` is a path or a directory."""
        bare = prefix.rstrip("/")
        if bare and path_problem(bare):
            return ()
        paths = ["--", bare] if bare else []
        output = self._git.run(["ls-tree", "-r", "-z", "--full-tree", object_id(commit), *paths])
        entries = []
        for record in output.split(b"\x00")[:-1]:
            meta, _, name = record.partition(b"\t")
            mode, _, oid = meta.decode("ascii").split(" ")
            entries.append(TreeEntry(decode_path(name), mode, oid))
        return tuple(sorted(entries))

    def beginnings(self, entries: Sequence[TreeEntry], bytes_max: int) -> tuple[bytes, ...]:
        """The first `bytes_max` bytes of each of these files, in order."""
        ids = "".join(f"{entry.oid}\n" for entry in entries)
        with self._git.stream(["cat-file", "--batch"], stdin=ids.encode()) as output:
            return tuple(probe_blob(output, bytes_max, entry.path) for entry in entries)

    def export(self, commit: str, into: Path) -> None:
        """Write the commit's tree into `into` (absent or empty), without .git and without filters.

        Raises ConfigError `unsafe_tree`, `file_too_large`, `export_not_empty`.
        """
        entries = self.list(commit)
        check_tree(entries)
        ids = "".join(f"{entry.oid}\n" for entry in entries if not entry.is_submodule)
        with self._git.stream(["cat-file", "--batch"], stdin=ids.encode(), bytes_max=2**30) as output:
            write_tree(entries, output, into)

    def is_dirty(self) -> bool:
        """Whether the work tree holds what no commit has, untracked files included; content filters stay off."""
        if self._bare:
            return False
        asked = ["status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=all"]
        return bool(self._git.run(asked, settings=self._git.filters_off()))

    def user(self) -> Author | None:
        """Who the user's own git configuration says they are, or None."""
        own = {"GIT_CONFIG_GLOBAL": _user_configuration()}
        found = []
        for key in ("user.name", "user.email"):
            try:
                found.append(self._git.run(["config", "--get", key], extra=own).decode("utf-8", "replace").strip())
            except GitFailedError:
                found.append("")
        return Author(found[0][:200], found[1].lower()[:254]) if any(found) else None

    def commit_files(
        self,
        branch: str,
        parent_commit: str,
        files: Mapping[str, bytes | None],
        message: str,
        author: Author,
        now_ms: int,
    ) -> str:
        """Commit `files` (None deletes) on top of `parent_commit` and point `branch` at it; returns the commit.

        The same arguments give the same commit, so a repetition is harmless. The branch is created, or moved from
        `parent_commit`; anything else is ConflictError `branch_moved`, and a checked-out branch `branch_checked_out`.
        """
        if _REF_FORBIDDEN.search(branch) or branch.startswith("-") or not 0 < len(branch) <= REF_CHARACTERS_MAX:
            raise ConfigError(
                f"{quote(branch)} cannot name a branch", code="branch_name", next_step="use a-z, 0-9, / and -"
            )
        ref = f"refs/heads/{branch}"
        rows = [self._index_row(parent_commit, path, data) for path, data in sorted(files.items())]
        commit = make_commit(self._git, object_id(parent_commit), rows, message, author, now_ms)
        held = self._holder(ref)
        if held.commit == commit:
            return commit
        if held.work_tree:
            raise ConflictError(
                f"{branch} is checked out in {held.work_tree}; bywire does not move a branch under a work tree",
                code="branch_checked_out",
                next_step=f"switch to another branch, or take another name than {branch}",
            )
        if held.commit not in ("", parent_commit):
            raise _moved(branch)
        expected = held.commit or "0" * len(commit)
        try:
            self._git.run(["update-ref", "-m", "bywire", ref, commit, expected], extra=identity(author, now_ms))
        except GitFailedError as error:
            raise _moved(branch) from error
        return commit

    def _holder(self, ref: str) -> "_Held":
        """What a branch points at and where it is checked out; empty when it does not exist."""
        output = self._git.run(["for-each-ref", "--format=%(refname)%00%(objectname)%00%(worktreepath)", ref])
        for line in output.decode("utf-8", "replace").split("\n"):
            name, _, rest = line.partition("\x00")
            if name == ref:
                commit, _, work_tree = rest.partition("\x00")
                return _Held(commit, work_tree)
        return _Held("", "")

    def _index_row(self, parent: str, path: str, data: bytes | None) -> IndexRow:
        mode = next((entry.mode for entry in self.list(parent, path) if entry.path == path), REGULAR)
        return IndexRow(path, REGULAR if mode in (SYMLINK, SUBMODULE) else mode, data)


class _Held(NamedTuple):
    commit: str
    work_tree: str


def _locate(path: Path) -> tuple[Path, Path, Path | None]:
    """(root, git directory, work tree or None when bare) of the repository that holds `path`."""
    here = path.resolve()
    for directory in (here, *here.parents):
        if (directory / ".git").exists():
            return directory, directory / ".git", directory
        if (directory / "HEAD").is_file() and (directory / "objects").is_dir() and (directory / "refs").is_dir():
            return directory, directory, None
    raise ConfigError(
        f"{path} is not inside a git repository",
        code="not_a_repository",
        next_step="run this in the service's repository, or 'git init' one and commit",
    )


def _candidates(ref: str) -> tuple[str, ...]:
    if not 0 < len(ref) <= REF_CHARACTERS_MAX or _REF_FORBIDDEN.search(ref):
        return ()
    if ref == "HEAD" or ref.startswith("refs/"):
        return (ref,)
    # A tag comes last: fetching brings tags along, and one named like a remote branch must not stand for that branch.
    return (f"refs/heads/{ref}", f"refs/remotes/{ref}", f"refs/tags/{ref}")


def _user_configuration() -> str:
    """The user's own git configuration file, or the null device."""
    home = Path(os.environ.get("HOME", "/nonexistent"))
    choices = (
        os.environ.get("GIT_CONFIG_GLOBAL", ""),
        str(home / ".gitconfig"),
        str(Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git" / "config"),
    )
    return next((choice for choice in choices if choice and Path(choice).is_file()), os.devnull)


def _moved(branch: str) -> ConflictError:
    return ConflictError(
        f"{branch} moved while bywire was writing to it, or holds other work",
        code="branch_moved",
        next_step=f"look at 'git log {branch}', then delete the branch or start again",
    )
