"""Commits on a branch that some other commits do not contain: what came there by another way."""

from collections.abc import Sequence

import msgspec

from bywire.adapters.git_command import GitCommand
from bywire.adapters.git_commit import object_id
from bywire.config.reading import printable

_FORMAT = "%H%x1f%T%x1f%an%x1f%s"
TEXT_CHARACTERS_MAX = 120


class Commit(msgspec.Struct, frozen=True):
    """One commit, its tree, and what it says of itself: who and what are claims, bounded and printable."""

    id: str
    tree: str
    author: str
    says: str


def commits_beyond(git: GitCommand, head: str, known: Sequence[str], limit: int) -> tuple[Commit, ...]:
    """At most `limit` commits that `head` reaches and none of `known` does, newest first."""
    without = [f"^{object_id(commit)}" for commit in known]
    asked = ["log", "-z", "--no-decorate", "--no-show-signature", f"--max-count={limit}", f"--format=tformat:{_FORMAT}"]
    output = git.run([*asked, object_id(head), *without, "--"])
    return tuple(_commit(row) for row in output.decode("utf-8", "replace").split("\x00") if row)


def _commit(row: str) -> Commit:
    commit, tree, author, says = (*row.split("\x1f", 3), "", "", "")[:4]
    return Commit(commit, tree, printable(author, TEXT_CHARACTERS_MAX), printable(says, TEXT_CHARACTERS_MAX))
