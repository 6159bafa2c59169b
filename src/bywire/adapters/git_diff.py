"""Reads git's raw listing and zero-context patch into `ChangedFile` values. Pure: bytes in, values out."""

import re
from collections.abc import Sequence

import msgspec

from bywire.model.change import Author, ChangedFile
from bywire.model.errors import ConfigError

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPE = re.compile(rb'\\([0-3][0-7]{2}|[abtnvfr"\\])')
_LETTERS = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
# No two quantifiers may share what they match: a message may hold a megabyte of blanks.
_PERSON = re.compile(r"([^<>\n]*)<([^<>\n]*)>")
_CO_AUTHOR = re.compile(r"^co-authored-by:(.*)$", re.IGNORECASE | re.MULTILINE)


class RawEntry(msgspec.Struct, frozen=True):
    """One line of `git diff-tree --raw -z`: modes and object ids before and after; `old_path` differs for a rename."""

    old_mode: str
    new_mode: str
    old_object: str
    new_object: str
    status: str
    old_path: str
    path: str


class LineChanges(msgspec.Struct):
    """Line numbers added to a file (1-based, new file) and the count of lines removed from it.

    `ambiguous`: an added line holds a carriage return, which ends a line for compilers and coverage but not for git.
    """

    added: list[int] = []
    removed: int = 0
    ambiguous: bool = False


def decode_path(raw: bytes) -> str:
    """A path of a tree as text. Raises ConfigError `path_not_utf8`: evidence could not name such a file."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the path {raw!a} is not UTF-8", code="path_not_utf8", next_step="rename the file"
        ) from error


def parse_raw(output: bytes) -> list[RawEntry]:
    """Parse `git diff-tree -r -z --raw --abbrev=64` output. A type change (T) counts as a modification."""
    fields = output.split(b"\x00")
    entries = []
    position = 0
    while position < len(fields) and fields[position].startswith(b":"):
        old_mode, new_mode, old_object, new_object, status = fields[position][1:].decode("ascii").split(" ")
        old_path = path = decode_path(fields[position + 1])
        position += 2
        if status[0] in "RC":
            path = decode_path(fields[position])
            position += 1
        kind = "M" if status[0] == "T" else status[0]
        entries.append(RawEntry(old_mode, new_mode, old_object, new_object, kind, old_path, path))
    return entries


def parse_patch(patch: bytes) -> dict[str, LineChanges]:
    """Parse `git diff-tree -p --unified=0` into line changes by path (the new path, the old one of a deletion)."""
    found: dict[str, LineChanges] = {}
    lines = patch.split(b"\n")
    old = ""
    current = LineChanges()
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith(b"--- "):
            old = _unquote(line[4:])
        elif line.startswith(b"+++ "):
            new = _unquote(line[4:])
            current = found.setdefault(new[2:] if new != "/dev/null" else old[2:], LineChanges([], 0))
        elif (hunk := _HUNK.match(line)) is not None:
            # A header may say any number; a patch holds no more lines than it has.
            most = len(lines) - position
            removed = min(int(hunk[1] or 1), most)
            start, count = int(hunk[2]), min(int(hunk[3] or 1), most)
            current.removed += removed
            current.added.extend(range(start, start + count))
            # Content lines may look like headers: they are skipped by count.
            following = _skip(lines, position, removed + count)
            current.ambiguous |= any(map(_is_ambiguous, lines[position:following]))
            position = following
    return found


def _skip(lines: Sequence[bytes], position: int, count: int) -> int:
    while position < len(lines) and (count > 0 or lines[position].startswith(b"\\")):
        if not lines[position].startswith(b"\\"):
            count -= 1
        position += 1
    return position


def _is_ambiguous(line: bytes) -> bool:
    return b"\r" in line and line.startswith(b"+") and b"\r" in line.removesuffix(b"\r")


def _unquote(name: bytes) -> str:
    """Undo git's C-style quoting of a path in a patch header (core.quotePath=true)."""
    if not name.startswith(b'"'):
        return decode_path(name.removesuffix(b"\t"))
    inside = name.removesuffix(b"\t")[1:-1]
    return decode_path(_ESCAPE.sub(lambda found: bytes((_LETTERS.get(found[1]) or int(found[1], 8),)), inside))


def changed_file(entry: RawEntry, lines: LineChanges | None) -> ChangedFile:
    """Join a raw entry with its line changes; None, or ambiguous ones, make it binary: nothing is known of lines."""
    if lines is not None and lines.ambiguous:
        lines = None
    return ChangedFile(
        path=entry.path,
        status=entry.status,
        added_lines=tuple(lines.added) if lines else (),
        removed_lines=lines.removed if lines else 0,
        binary=lines is None,
        renamed_from=entry.old_path if entry.status == "R" else "",
    )


def parse_commit(raw: bytes) -> tuple[tuple[Author, ...], str]:
    """(author and co-authors, message) of a raw commit object."""
    headers, _, body = raw.partition(b"\n\n")
    message = body.decode("utf-8", "replace")
    authors = []
    for line in headers.split(b"\n"):
        if line.startswith(b"author "):
            authors.append(parse_person(line[7:].decode("utf-8", "replace")))
    authors.extend(parse_person(found) for found in _CO_AUTHOR.findall(message))
    return tuple(author for author in authors if author is not None), message


def parse_person(text: str) -> Author | None:
    """`Name <email> ...` as an Author with the address in lower case; None when there is no address."""
    found = _PERSON.match(text)
    return Author(found[1].strip()[:200], found[2].strip().lower()[:254]) if found else None
