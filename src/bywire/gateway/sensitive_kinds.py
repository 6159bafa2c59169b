"""What a kind of sensitive text is: a name, a class, a pattern, and the check that tells it from what looks like it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bywire.model.gateway_inspection import FindingClass


class Hit(NamedTuple):
    """Something sensitive at `start:end` of a text of bytes; `certain` when its form alone tells it."""

    start: int
    end: int
    kind: str
    family: FindingClass
    certain: bool


# (text, start, end) of what the pattern found -> start, end and certainty of what it is, or None when it is not.
Check = Callable[[bytes, int, int], tuple[int, int, bool] | None]


END = b"\n"


class Kind(NamedTuple):
    """`pattern` is RE2 over bytes without captures or look-around; what stands around it is the check's business.

    A check may refuse a piece only if the pattern bounds its length: the search goes on inside it, behind its first
    word or at `skip`, so that nothing hides behind what was refused. END skips the piece, whatever its length.
    """

    name: str
    family: FindingClass
    pattern: str
    check: Check
    skip: bytes = b""


def by_form(text: bytes, start: int, end: int) -> tuple[int, int, bool]:
    """The check of a kind that its pattern tells for certain. A pattern may begin with the `_` before it."""
    return start + (text[start] == 0x5F), end, True


def guessed(_: bytes, start: int, end: int) -> tuple[int, int, bool]:
    """The check of a kind that is told by what it is called: good enough to redact, not to refuse."""
    return start, end, False


def secrets(rows: Sequence[tuple[str, str]], check: Check = by_form) -> tuple[Kind, ...]:
    """Kinds of class `secret` from (name, pattern)."""
    return tuple(Kind(name, FindingClass.SECRET, pattern, check) for name, pattern in rows)


def before(text: bytes, start: int, count: int) -> str:
    """What stands before `start`, at most `count` bytes, in lower case."""
    return text[max(0, start - count) : start].decode("latin-1").lower()


def word_before(text: bytes, start: int, joined: bytes = b"") -> bool:
    """Whether a letter, a digit, `_` or one of `joined` stands directly before `start`."""
    return _in_word(text[max(0, start - 1) : start], joined)


def word_after(text: bytes, end: int, joined: bytes = b"") -> bool:
    """Whether one of them stands directly at `end`."""
    return _in_word(text[end : end + 1], joined)


def _in_word(char: bytes, joined: bytes) -> bool:
    return char != b"" and (char.isalnum() or char == b"_" or char in joined)
