"""A change as git tells it, without git: what planner, coder, tester and auditor reason about."""

import msgspec


class ChangedFile(msgspec.Struct, frozen=True):
    """One path of a diff. `status` is A, M, D or R; `added_lines` are 1-based line numbers in the new file.

    `renamed_from` is the old path of a rename (R), else empty.
    """

    path: str
    status: str
    added_lines: tuple[int, ...]
    removed_lines: int
    binary: bool = False
    renamed_from: str = ""


class Author(msgspec.Struct, frozen=True):
    """Who wrote a commit, as the commit says; identity comes from the operator's list of people."""

    name: str
    email: str


class Change(msgspec.Struct, frozen=True):
    """The difference between the protected base and a branch head. Commits are full git object ids."""

    branch: str
    base_branch: str
    base_commit: str
    head_commit: str
    files: tuple[ChangedFile, ...]
    authors: tuple[Author, ...]
    messages: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Changed paths, sorted; a rename counts under both names, so that nothing is moved out of sight."""
        return tuple(sorted({name for item in self.files for name in (item.path, item.renamed_from) if name}))
