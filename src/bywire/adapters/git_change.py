"""Reads what lies between two commits: files with their line numbers, people, messages. Bounded in every direction."""

from collections.abc import Sequence

from bywire.adapters.git_command import GitCommand
from bywire.adapters.git_diff import LineChanges, RawEntry, changed_file, parse_commit, parse_patch, parse_raw
from bywire.adapters.git_export import SUBMODULE, probe_blob, read_blobs
from bywire.config.reading import quote
from bywire.model.change import Author, Change, ChangedFile
from bywire.model.errors import ConfigError

COMMITS_MAX = 1000
COMMIT_BYTES_MAX = 2**20
CHANGED_FILES_MAX = 2000
MESSAGE_CHARACTERS_MAX = 8192
DIFF_BYTES_MAX = 32 * 2**20
PATHS_PER_DIFF = 200
BINARY_PROBE_BYTES = 8000
PROBED_BYTES_MAX = 2**30

_DIFF = ("diff-tree", "-r", "-l1000", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative")
_PATCH = (
    "-p", "--text", "--unified=0", "--inter-hunk-context=0", "--diff-algorithm=myers", "--src-prefix=a/",
    "--dst-prefix=b/", "-O/dev/null", "--submodule=short",
)  # fmt: skip


def read_change(git: GitCommand, *, branch: str, base_branch: str, base: str, head: str) -> Change:
    """The change base..head. `base` is an ancestor of `head`, or the empty tree: then all of `head` is new.

    Raises ConfigError `change_too_large`.
    """
    commits = _commits(git, base, head)
    people = {author: None for authors, _ in commits for author in authors}
    messages = tuple(message[:MESSAGE_CHARACTERS_MAX] for _, message in commits)
    return Change(branch, base_branch, base, head, _changed_files(git, base, head), tuple(people), messages)


def empty_tree(git: GitCommand) -> str:
    """The object id of the tree without files, in the repository's own hash."""
    return git.run(["hash-object", "-t", "tree", "--stdin"], stdin=b"").decode("ascii").strip()


def _commits(git: GitCommand, base: str, head: str) -> list[tuple[tuple[Author, ...], str]]:
    """(people, message) of each commit of base..head, oldest first."""
    since = [] if base == empty_tree(git) else [f"^{base}"]
    asked = ["rev-list", "--reverse", "--topo-order", f"--max-count={COMMITS_MAX + 1}", head, *since]
    ids = git.run(asked).decode("ascii").split()
    if len(ids) > COMMITS_MAX:
        raise _too_large(f"more than {COMMITS_MAX} commits")
    return [parse_commit(raw) for raw in read_blobs(git, ids, COMMIT_BYTES_MAX)]


def _changed_files(git: GitCommand, base: str, head: str) -> tuple[ChangedFile, ...]:
    entries = parse_raw(git.run([*_DIFF, "-M50%", "--raw", "-z", "--abbrev=64", base, head]))
    if len(entries) > CHANGED_FILES_MAX:
        raise _too_large(f"more than {CHANGED_FILES_MAX} files")
    binary = _binary_objects(git, entries)
    text = [entry for entry in entries if not {entry.old_object, entry.new_object} & binary]
    moved = [entry for entry in text if entry.status == "R"]
    stayed = [entry for entry in text if entry.status != "R"]
    lines = _line_changes(git, base, head, stayed, "--no-renames") | _line_changes(git, base, head, moved, "-M50%")
    for entry in text:
        if entry.status in "MR" and entry.old_object != entry.new_object and entry.path not in lines:
            raise ConfigError(f"git shows no lines for {quote(entry.path)}", code="git_failed", next_step="git fsck")
    return tuple(
        changed_file(entry, lines.get(entry.path, LineChanges()) if entry in text else None) for entry in entries
    )


def _line_changes(
    git: GitCommand, base: str, head: str, entries: Sequence[RawEntry], renames: str
) -> dict[str, LineChanges]:
    found: dict[str, LineChanges] = {}
    for start in range(0, len(entries), PATHS_PER_DIFF):
        some = entries[start : start + PATHS_PER_DIFF]
        paths = sorted({path for entry in some for path in (entry.old_path, entry.path)})
        # --text: a .gitattributes of the branch must not hide its lines by calling a source file binary.
        asked = [*_DIFF, renames, *_PATCH, base, head, "--", *paths]
        found |= parse_patch(git.run(asked, bytes_max=DIFF_BYTES_MAX))
    return found


def _binary_objects(git: GitCommand, entries: Sequence[RawEntry]) -> set[str]:
    """Ids of submodule commits and of blobs with a NUL byte near their start, as git itself tells binary files."""
    submodules = {entry.old_object for entry in entries if entry.old_mode == SUBMODULE}
    submodules |= {entry.new_object for entry in entries if entry.new_mode == SUBMODULE}
    ids = {oid for entry in entries for oid in (entry.old_object, entry.new_object) if oid.strip("0")}
    ids -= submodules
    asked = "".join(f"{oid}\n" for oid in sorted(ids)).encode()
    with git.stream(["cat-file", "--batch"], stdin=asked, bytes_max=PROBED_BYTES_MAX) as output:
        return submodules | {oid for oid in sorted(ids) if b"\x00" in probe_blob(output, BINARY_PROBE_BYTES, oid)}


def _too_large(what: str) -> ConfigError:
    return ConfigError(f"the change has {what}", code="change_too_large", next_step="split it into smaller changes")
