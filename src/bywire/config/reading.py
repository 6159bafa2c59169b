"""A cursor over untrusted JSON that remembers where it is, so that every refusal names one field and one way out.

`Node` wraps a value with its path. Each method either returns a checked value or raises `FieldError`, whose message
reads `<source>: <path>: expected ..., found ...`. Nothing is coerced: text is not a number and null is not absence.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from bywire.model.errors import ConfigError

T = TypeVar("T")
Path = tuple[str | int, ...]

TEXT_MAX = 1024
PATH_MAX = 512
SHOWN_MAX = 60


class FieldError(ConfigError):
    """A ConfigError about one field. `path` is its address in the document, for tools that know line numbers."""

    def __init__(self, message: str, *, path: Path, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.path = path


def describe(value: Any) -> str:
    """What `value` is, in words a person uses, bounded in length."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {shorten(repr(value))}"
    if isinstance(value, str):
        return f"the text {quote(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"a mapping of {len(value)}" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def shorten(text: str, most: int = SHOWN_MAX) -> str:
    """`text` cut to what fits on a line."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def printable(text: str, most: int = SHOWN_MAX) -> str:
    """`text` cut short, with everything escaped that could move a terminal's cursor."""
    cut = shorten(text, most)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)


def quote(text: str) -> str:
    """`text` between single quotes, safe to print."""
    return f"'{printable(text)}'"


def spell(path: Path) -> str:
    """`("rollout", "steps", 1)` as `rollout.steps[1]`."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in path)
    return words.removeprefix(".") or "the document"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` was probably meant to be, or empty."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


class Node:
    """One value and its address.

    With `foreign` given, unknown keys are collected there (as spelled paths) instead of being refused.
    `reserved` explains, for a known wrong key, whose it is.
    """

    def __init__(
        self,
        value: Any,
        source: str,
        *,
        path: Path = (),
        foreign: list[str] | None = None,
        reserved: Mapping[str, str] | None = None,
    ) -> None:
        self.value = value
        self.source = source
        self.path = path
        self._foreign = foreign
        self._reserved = reserved or {}

    def refuse(self, problem: str, next_step: str = "") -> FieldError:
        """The error to raise about this field."""
        where = spell(self.path)
        return FieldError(
            f"{self.source}: {where}: {problem}",
            path=self.path,
            next_step=next_step or f"edit {where} in {self.source}",
        )

    def expected(self, what: str, next_step: str = "") -> FieldError:
        """The error for a value of the wrong kind or outside its bounds."""
        return self.refuse(f"expected {what}, found {describe(self.value)}", next_step)

    def at(self, key: str | int, value: Any) -> "Node":
        """The node of a child."""
        return Node(value, self.source, path=(*self.path, key), foreign=self._foreign, reserved=self._reserved)

    def fields(self, known: Collection[str], required: Collection[str] = ()) -> dict[str, "Node"]:
        """The children of a mapping; unknown keys are refused (or collected), required ones demanded."""
        if not isinstance(self.value, Mapping):
            raise self.expected(f"a mapping with {', '.join(sorted(known))}")
        found: dict[str, Node] = {}
        for key, value in self.value.items():
            if key in known:
                found[key] = self.at(key, value)
            else:
                self._meet_unknown(key, known)
        for key in required:
            if key not in found:
                raise self.refuse(f"'{key}' is missing", f"add '{key}:' to {spell(self.path)} in {self.source}")
        return found

    def _meet_unknown(self, key: Any, known: Collection[str]) -> None:
        if self._foreign is not None and isinstance(key, str):
            self._foreign.append(spell((*self.path, key)))
            return
        name = quote(str(key))
        where = f" in {spell(self.path)}" if self.path else ""
        close = nearest(str(key), known)
        if not self.path and key in self._reserved:
            meant, fix = f": {self._reserved[key]}", f"remove {name}"
        elif close:
            meant, fix = f"; did you mean '{close}'?", f"rename {name} to '{close}'"
        else:
            meant, fix = f"; known keys: {', '.join(sorted(known))}", f"remove {name}"
        problem = f"{self.source}: unknown key {name}{where}{meant}"
        raise FieldError(problem, path=(*self.path, str(key)), next_step=f"{fix} in {self.source}")

    def items(self, what: str, *, least: int, most: int, distinct: bool = False) -> list["Node"]:
        """The children of a list with `least` to `most` members; `what` names one member in the plural."""
        if not isinstance(self.value, list):
            raise self.expected(f"a list of {what}")
        if not least <= len(self.value) <= most:
            raise self.expected(f"{least} to {most} {what}")
        if distinct:
            seen: list[Any] = []
            for item in self.value:
                if item in seen:
                    raise self.refuse(f"{describe(item)} appears twice", "keep one of them")
                seen.append(item)
        return [self.at(index, item) for index, item in enumerate(self.value)]

    def mapping(self, what: str, *, pattern: str, most: int) -> dict[str, "Node"]:
        """The children of a mapping whose keys are names that `pattern` matches; at most `most` of them."""
        if not isinstance(self.value, Mapping) or len(self.value) > most:
            raise self.expected(f"a mapping of at most {most} {what}")
        for key in self.value:
            if not isinstance(key, str) or re.fullmatch(pattern, key) is None:
                raise self.refuse(f"{describe(key)} is no name for one of the {what}")
        return {key: self.at(key, value) for key, value in self.value.items()}

    def boolean(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.expected("true or false")
        return self.value

    def text(self, what: str = "text", *, pattern: str = "", least: int = 1, most: int = TEXT_MAX) -> str:
        """A string of bounded length without NUL; `pattern` must match all of it, `what` says it in words."""
        if not isinstance(self.value, str):
            hint = f'quote it: "{self.value}"' if isinstance(self.value, int | float) else ""
            raise self.expected(what, hint)
        if not least <= len(self.value) <= most:
            raise self.expected(f"{what} of {least} to {most} characters")
        if not _is_plain(self.value) or (pattern and re.fullmatch(pattern, self.value) is None):
            raise self.expected(what)
        return self.value

    def choice(self, options: Collection[str]) -> str:
        """One of a few words."""
        if not isinstance(self.value, str) or self.value not in options:
            close = nearest(str(self.value), options)
            raise self.expected(f"one of {', '.join(options)}", f"write '{close}'" if close else "")
        return self.value

    def integer(self, least: int, most: int, unit: str = "") -> int:
        """A whole number within bounds (20.0 is whole, as in JSON Schema; true is not a number)."""
        value = self.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.expected(f"a whole number{unit and ' of ' + unit} from {least} to {most}")
        return value

    def number(self, least: float, most: float, *, open_ends: bool = False) -> float:
        """A number within bounds; with `open_ends` the bounds themselves are refused."""
        value = self.value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and (least < value < most or (not open_ends and value in (least, most))):
            return float(value)
        how = "strictly between" if open_ends else "between"
        raise self.expected(f"a number {how} {least:g} and {most:g}")

    def relative_path(self, what: str = "a relative path") -> str:
        """A path inside the repository: relative, forward slashes, no `.`/`..`/empty part, never inside .git."""
        path = self.text(what, most=PATH_MAX)
        problem = path_problem(path)
        if problem:
            raise self.refuse(f"{quote(path)} {problem}", "write a path relative to the repository's root")
        return path

    def version(self, supported: int) -> None:
        """The document's `version`, which must be the one we read."""
        if isinstance(self.value, bool) or self.value != supported:
            raise self.refuse(
                f"expected {supported}, found {describe(self.value)}",
                f"write 'version: {supported}', or install a bywire that reads this version",
            )


def _is_plain(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def path_problem(path: str) -> str:
    """Why `path` may not be used inside a repository, or empty when it may."""
    parts = path.split("/")
    if path.startswith("/"):
        return "is an absolute path"
    if ".." in parts:
        return "leaves the repository"
    if "" in parts or "." in parts:
        return "has an empty or '.' part"
    if any(part.lower() == ".git" for part in parts):
        return "points into .git"
    if "\\" in path or any(ord(char) < 32 or ord(char) == 127 for char in path):
        return "has a backslash or a control character"
    return ""


def read_optional(fields: Mapping[str, Node], key: str, read: Callable[[Node], T], absent: T) -> T:
    """`read(fields[key])`, or `absent` when the key is not there."""
    return read(fields[key]) if key in fields else absent
