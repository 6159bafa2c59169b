r"""Regular expressions that operators write: a subset that RE2, Go and Rust read alike, and that takes linear time.

Text, `.`, classes, groups, `|`, `? * + {m,n}`, and `\d \w \s`, which are ASCII here (Rust takes them for Unicode, Go
for ASCII). A pattern always matches a whole value, so anchors say nothing and are left out. What has no place in all of
these engines is refused with its column.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

TEXT_CHARS_MAX = 256
REPEAT_MAX = 100
STATES_MAX = 2_000
DEPTH_MAX = 10
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": " \\t\\n\\r\\f"}
_SHORT = {"d": "0", "w": "a", "s": " "}
_CONTROL = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_COUNT = re.compile(r"\{([0-9]{1,3})(?:(,)([0-9]{1,3})?)?\}")
_SPECIAL = frozenset("\\^$.|?*+()[]{}")


class PatternError(Exception):
    """Why a text is no pattern, and what to write instead."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class Pattern(NamedTuple):
    """`anchored` is the expression for Rego's `regex.match`; `example` is a short value that it matches."""

    anchored: str
    example: str


class _Part(NamedTuple):
    """A piece of pattern: its text for the engines, a short match, and how many states it costs."""

    text: str
    example: str
    states: int


def parse_pattern(text: str) -> Pattern:
    """Read a pattern. Raises PatternError."""
    if not text or len(text) > TEXT_CHARS_MAX:
        raise PatternError(f"a pattern has 1 to {TEXT_CHARS_MAX} characters", "write a shorter one, or one_of")
    inner = text.removeprefix("^")
    escaped = len(inner) - len(inner.rstrip("\\")) if not inner.endswith("$") else _backslashes(inner[:-1])
    if inner.endswith("$") and escaped % 2 == 0:
        inner = inner[:-1]
    reader = _Reader(inner, offset=1 + len(text) - len(text.removeprefix("^")))
    part = reader.whole()
    return Pattern(f"^(?:{part.text})$", part.example)


def _backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))


class _Reader:
    def __init__(self, text: str, offset: int) -> None:
        self._text = text
        self._offset = offset
        self._at = 0
        self._depth = 0

    def whole(self) -> _Part:
        """The pattern that all characters make."""
        part = self._either()
        if self._at < len(self._text):
            raise self._refuse(f"{self._now} is not expected here", f"write \\{self._now} for the character itself")
        return part

    @property
    def _now(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _refuse(self, problem: str, remedy: str) -> PatternError:
        return PatternError(f"column {self._at + self._offset}: {problem}", remedy)

    def _either(self) -> _Part:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._refuse(f"this nests deeper than {DEPTH_MAX}", "write it flat")
        parts = [self._row()]
        while self._now == "|":
            self._take()
            parts.append(self._row())
        self._depth -= 1
        return self._bounded(_Part("|".join(p.text for p in parts), parts[0].example, sum(p.states for p in parts)))

    def _row(self) -> _Part:
        parts = []
        while self._now and self._now not in "|)":
            parts.append(self._repeated(self._atom()))
        joined = "".join
        return self._bounded(
            _Part(joined(p.text for p in parts), joined(p.example for p in parts), 1 + sum(p.states for p in parts))
        )

    def _bounded(self, part: _Part) -> _Part:
        if part.states > STATES_MAX:
            raise self._refuse("this repeats too much", "use smaller counts, or * and +")
        return part

    def _repeated(self, atom: _Part) -> _Part:
        sign = self._now
        if sign in {"?", "*", "+"}:
            self._take()
            least, states = int(sign == "+"), atom.states + 1
        elif sign == "{":
            match = _COUNT.match(self._text, self._at)
            if match is None:
                raise self._refuse("{ begins a count such as {2,5}", "write \\{ for the character itself")
            least = int(match[1])
            most = least if not match[2] else int(match[3]) if match[3] else least
            if most > REPEAT_MAX or most < least:
                raise self._refuse(f"a count goes up to {REPEAT_MAX}", "use a smaller count, or * and +")
            self._at, sign, states = match.end(), match[0], atom.states * max(most, 1) + 1
        else:
            return atom
        if self._now and self._now in "?*+{":
            raise self._refuse("a repetition is not repeated", "put the inner one into ( )")
        return self._bounded(_Part(f"{atom.text}{sign}", atom.example * least, states))

    def _atom(self) -> _Part:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == ".":
            return _Part("[^\\n]", "a", 1)
        if char == "\\":
            return self._escape()
        if char in _SPECIAL:
            self._at -= 1
            remedy = "a pattern matches the whole value anyway: leave it out" if char in "^$" else f"write \\{char}"
            raise self._refuse(f"{char} is not expected here", remedy)
        return _Part(_quoted(char), char, 1)

    def _group(self) -> _Part:
        if self._now == "?" and not self._text.startswith("?:", self._at):
            raise self._refuse("(? is only for (?:", "leave flags, names and look-arounds out")
        if self._now == "?":
            self._at += 2
        part = self._either()
        if self._now != ")":
            raise self._refuse(") is missing", "close the group")
        self._take()
        return _Part(f"(?:{part.text})", part.example, part.states)

    def _escape(self) -> _Part:
        char = self._now
        if not char:
            raise self._refuse("\\ stands at the end", "write \\\\ for the character itself")
        self._take()
        if char in _CLASSES:
            return _Part(f"[{_CLASSES[char]}]", _SHORT[char], 1)
        if char in _CONTROL:
            return _Part(f"\\{char}", _CONTROL[char], 1)
        if char.isalnum() or not char.isascii() or not char.isprintable():
            self._at -= 1
            raise self._refuse(f"\\{char} is not known to every engine", "use \\d, \\w, \\s or a class such as [a-z]")
        return _Part(_quoted(char), char, 1)

    def _class(self) -> _Part:
        negated = self._now == "^"
        if negated:
            self._take()
        items: list[str] = []
        ranges: list[tuple[int, int]] = []
        while self._now != "]" or not items:
            if not self._now or self._now == "]":
                raise self._refuse("] is missing, or the class is empty", "close the class")
            low, text = self._member()
            if self._now == "-" and low and self._text[self._at + 1 : self._at + 2] not in {"", "]"}:
                self._take()
                high, end = self._member()
                if not high or high < low:
                    raise self._refuse("this range has no order", "write it from low to high")
                text, high_code = f"{text}-{end}", ord(high)
            else:
                high_code = ord(low) if low else 0
            items.append(text)
            ranges += [(ord(low), high_code)] if low else [(ord(a), ord(b)) for a, b in _RANGES[text]]
        self._take()
        example = _outside(ranges) if negated else chr(ranges[0][0])
        return _Part(f"[{'^' if negated else ''}{''.join(items)}]", example, 1)

    def _member(self) -> tuple[str, str]:
        """(the character, or empty for a class such as digits; its text inside a class)."""
        char = self._take()
        if char != "\\":
            if char in "[&~" or not char.isprintable():
                raise self._refuse(f"{char!r} in a class is read differently by engines", f"write \\{char}")
            return char, _quoted(char, inside=True)
        char = self._now
        if not char:
            raise self._refuse("\\ stands at the end", "write \\\\ for the character itself")
        self._take()
        if char in _CLASSES:
            return "", _CLASSES[char]
        if char in _CONTROL:
            return _CONTROL[char], f"\\{char}"
        if char.isalnum() or not char.isascii() or not char.isprintable():
            raise self._refuse(f"\\{char} is not known to every engine", "use \\d, \\w, \\s or a class such as [a-z]")
        return char, _quoted(char, inside=True)


_RANGES: dict[str, Sequence[tuple[str, str]]] = {
    _CLASSES["d"]: (("0", "9"),),
    _CLASSES["w"]: (("a", "z"), ("0", "9"), ("A", "Z"), ("_", "_")),
    _CLASSES["s"]: ((" ", " "), ("\t", "\t"), ("\n", "\n"), ("\r", "\r"), ("\f", "\f")),
}


def _quoted(char: str, *, inside: bool = False) -> str:
    """A character as every engine reads it: itself, or after a backslash."""
    special = "\\]^-[&~" if inside else "".join(_SPECIAL)
    return f"\\{char}" if char in special else char


def _outside(ranges: list[tuple[int, int]]) -> str:
    """A printable character that no range holds; a rare one when all of ASCII is taken."""
    is_free: Callable[[int], bool] = lambda code: not any(low <= code <= high for low, high in ranges)  # noqa: E731
    return next(
        (chr(code) for code in (*range(97, 127), *range(32, 97), *range(161, 1_000)) if is_free(code)), "\u4e00"
    )
