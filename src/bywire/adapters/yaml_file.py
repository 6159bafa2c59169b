"""The only YAML reader: a small, bounded, unambiguous subset that yields plain JSON values.

It builds values from parser events, so nothing of YAML's object construction is ever reached. Refused: duplicate keys,
tags, keys that are not text, values that JSON cannot carry, and plain words that one YAML reader takes for a truth
value and another for text (`yes`, `on`, ...): a manifest must not mean one thing here and another in the cluster.
Dates stay text. Aliases are allowed within limits on their number and on what they expand to.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from bywire.adapters.yaml_scalar import plain_scalar
from bywire.config.reading import FieldError, printable, shorten
from bywire.model.errors import ConfigError

T = TypeVar("T")
Place = tuple[int, int]

BYTES_MAX = 262_144
MANIFEST_BYTES_MAX = 1_048_576
DEPTH_MAX = 32
NODES_MAX = 100_000
ALIASES_MAX = 100
DOCUMENTS_MAX = 200


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, used for its parser events only; its constructors never run."""


class _Built(msgspec.Struct, frozen=True):
    """A finished value with what it costs when expanded."""

    value: Any
    nodes: int
    height: int


class _Open:
    """A mapping or list still being filled."""

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None, path: tuple[str | int, ...]) -> None:
        self.value = value
        self.anchor = anchor
        self.path = path
        self.key: str | None = None
        self.is_merging = False
        self.merged: list[dict[str, Any]] | None = None
        self.nodes = 1
        self.height = 1


def load(data: bytes, source: str, *, bytes_max: int = BYTES_MAX, aliases_max: int = ALIASES_MAX) -> Any:
    """The one document in `data`. Raises ConfigError `yaml_invalid` with line, column, what was expected and a fix."""
    documents = _read(data, source, bytes_max, 1, aliases_max)
    if not documents:
        raise _fail(source, (0, 0), "the file is empty", "write the file, or let 'bywire init' draft it")
    return documents[0].value


def load_documents(data: bytes, source: str, *, bytes_max: int = MANIFEST_BYTES_MAX) -> tuple[Any, ...]:
    """All documents in `data` (Kubernetes manifests), without the empty ones between separators."""
    return tuple(found.value for found in _read(data, source, bytes_max, DOCUMENTS_MAX) if found.value is not None)


def parse(
    data: bytes,
    source: str,
    reader: Callable[[Any, str], T],
    *,
    bytes_max: int = BYTES_MAX,
    aliases_max: int = ALIASES_MAX,
) -> T:
    """`reader(value, source)` over the one document, its field errors completed with line and column."""
    document = load(data, source, bytes_max=bytes_max, aliases_max=aliases_max)
    try:
        return reader(document, source)
    except FieldError as error:
        line, column = _place(_read(data, source, bytes_max, 1)[0].places, error.path)
        message = error.message.replace(f"{source}: ", f"{source}:{line + 1}:{column + 1}: ", 1)
        raise ConfigError(message, code=error.code, next_step=error.next_step) from error


def read_bytes(path: Path, *, bytes_max: int = BYTES_MAX) -> bytes:
    """The bytes of a regular file of bounded size. Raises ConfigError `file_missing` or `file_unreadable`."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write to it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ConfigError(f"{path} is not a regular file", code="file_unreadable", next_step=f"replace {path}")
            return stream.read(bytes_max + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist", code="file_missing", next_step="run 'bywire init'") from error
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
        raise ConfigError(problem, code="file_unreadable", next_step=f"check the permissions of {path}") from error


class _Document(msgspec.Struct, frozen=True):
    value: Any
    places: dict[tuple[str | int, ...], Place]


def _read(
    data: bytes, source: str, bytes_max: int, documents_max: int, aliases_max: int = ALIASES_MAX
) -> list[_Document]:
    if len(data) > bytes_max:
        problem = f"the file has more than {bytes_max} bytes"
        raise _fail(source, (0, 0), problem, "split the file or remove what is not needed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        raise _fail(source, (line, 0), "this is not UTF-8 text", "save the file as UTF-8") from error
    builder = _Builder(source, documents_max, aliases_max)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        problem = printable(", ".join(filter(None, (error.context, error.problem))), 200)
        hint = f"correct line {place[0] + 1}: check indentation, quotes, ':' and '-'"
        raise _fail(source, place, f"this is not YAML: {problem}", hint) from error
    except (yaml.YAMLError, RecursionError) as error:
        # The reader's error carries a position in characters instead of a mark.
        before = text[: getattr(error, "position", 0)]
        raise _fail(source, (before.count("\n"), 0), "this is not YAML text", "remove control characters") from error
    return builder.documents


class _Builder:
    """A stack machine from parser events to values; every limit is checked before memory is spent."""

    def __init__(self, source: str, documents_max: int, aliases_max: int) -> None:
        self.documents: list[_Document] = []
        self._aliases_max = aliases_max
        self._source = source
        self._documents_max = documents_max
        self._place: Place = (0, 0)
        self._start_document()

    def _start_document(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Built] = {}
        self._places: dict[tuple[str | int, ...], Place] = {}
        self._aliases = 0
        self._nodes = 0

    def take(self, event: yaml.Event) -> None:
        """Consume one event."""
        if event.start_mark is not None:
            self._place = (event.start_mark.line, event.start_mark.column)
        if isinstance(event, yaml.DocumentStartEvent):
            self._start_document()
            if len(self.documents) >= self._documents_max:
                expected = "one document" if self._documents_max == 1 else f"at most {self._documents_max} documents"
                raise self._error(f"expected {expected}, found another after '---'", "split the file")
        elif isinstance(event, yaml.NodeEvent):
            self._node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()

    def _node(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._error(f"the tag {printable(tag)} is not allowed", "remove the tag; quote text instead")
        if isinstance(event, yaml.AliasEvent):
            self._place_value(self._alias(event))
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        else:
            if len(self._stack) >= DEPTH_MAX:
                raise self._error(f"this nests deeper than {DEPTH_MAX}", "flatten the document")
            path = self._next_path()
            self._places.setdefault(path, self._place)
            empty: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._stack.append(_Open(empty, event.anchor, path))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if not event.value.isascii() and any("\ud800" <= char <= "\udfff" for char in event.value):
            raise self._error("this text holds half a character (a lone surrogate)", "write the character itself")
        parent = self._stack[-1] if self._stack else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._key(parent, event)
            return
        value = event.value
        if event.style is None:
            value, problem = plain_scalar(event.value)
            if problem:
                raise self._error(problem, f'write true or false, or quote it: "{shorten(event.value)}"')
        built = _Built(value, 1, 0)
        if event.anchor:
            self._anchors[event.anchor] = built
        self._place_value(built)

    def _key(self, parent: _Open, event: yaml.ScalarEvent) -> None:
        key = event.value
        parent.is_merging = key == "<<" and event.style is None
        if event.style is None and not parent.is_merging and not isinstance(plain_scalar(key)[0], str):
            raise self._error(f"the key {shorten(key)} is not text", f'quote it: "{shorten(key)}"')
        if key in parent.value or (parent.is_merging and parent.merged is not None):
            raise self._error(f"the key '{printable(key)}' appears twice in one mapping", "keep one of them")
        if event.anchor:
            self._anchors[event.anchor] = _Built(key, 1, 0)
        parent.key = key
        self._places[(*parent.path, key)] = self._place

    def _alias(self, event: yaml.AliasEvent) -> _Built:
        self._aliases += 1
        if self._aliases > self._aliases_max:
            most = f"more than {self._aliases_max} aliases" if self._aliases_max else "aliases are not read here"
            raise self._error(most, "write the values out")
        if event.anchor is None or event.anchor not in self._anchors:
            raise self._error(
                f"the alias *{printable(event.anchor or '')} has no finished anchor before it", "write the value"
            )
        built = self._anchors[event.anchor]
        if len(self._stack) + built.height > DEPTH_MAX:
            raise self._error(f"this nests deeper than {DEPTH_MAX}", "flatten the document")
        return built

    def _next_path(self) -> tuple[str | int, ...]:
        if not self._stack:
            return ()
        parent = self._stack[-1]
        if isinstance(parent.value, list):
            return (*parent.path, len(parent.value))
        if parent.key is None:
            raise self._error("a mapping or list cannot be a key", "use text as the key")
        return (*parent.path, parent.key)

    def _place_value(self, built: _Built) -> None:
        self._nodes += built.nodes
        if self._nodes > NODES_MAX:
            raise self._error(f"more than {NODES_MAX} values when aliases are expanded", "make the document smaller")
        path = self._next_path()
        self._places.setdefault(path, self._place)
        if not self._stack:
            self.documents.append(_Document(built.value, self._places))
            return
        parent = self._stack[-1]
        parent.nodes += built.nodes
        parent.height = max(parent.height, built.height + 1)
        if isinstance(parent.value, list):
            parent.value.append(built.value)
        elif parent.is_merging:
            parent.merged = self._merge_sources(built.value)
            parent.key = None
        elif parent.key is not None:
            parent.value[parent.key] = built.value
            parent.key = None

    def _merge_sources(self, value: Any) -> list[dict[str, Any]]:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(item, dict) for item in sources):
            raise self._error("'<<' merges mappings only", "write the keys out")
        return sources

    def _close(self) -> None:
        done = self._stack.pop()
        if isinstance(done.value, dict):
            for source in done.merged or ():
                for key, value in source.items():
                    done.value.setdefault(key, value)
        built = _Built(done.value, done.nodes, done.height)
        if done.anchor:
            self._anchors[done.anchor] = built
        # Its members were counted one by one already; only the collection itself is new.
        self._nodes -= built.nodes - 1
        self._place_value(built)

    def _error(self, problem: str, next_step: str) -> ConfigError:
        return _fail(self._source, self._place, problem, next_step)


def _place(places: dict[tuple[str | int, ...], Place], path: tuple[str | int, ...]) -> Place:
    """Where `path` is, or the nearest enclosing thing that has a place."""
    while path and path not in places:
        path = path[:-1]
    return places.get(path, (0, 0))


def _fail(source: str, place: Place, problem: str, next_step: str) -> ConfigError:
    return ConfigError(f"{source}:{place[0] + 1}:{place[1] + 1}: {problem}", code="yaml_invalid", next_step=next_step)
