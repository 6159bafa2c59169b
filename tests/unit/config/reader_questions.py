"""What a reader asks of a document: each call of a `Node` method with its place, so that schemas are held to the code.

`Question.place` is generalised: `*` stands for any member of a list or of a mapping whose keys people choose.
"""

import contextlib
import functools
import inspect
import sys
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from bywire.config.reading import Node

ASKING = ("fields", "items", "mapping", "boolean", "text", "choice", "integer", "number", "relative_path", "version")
ANY = "*"


class Question(NamedTuple):
    """One call: `path` is where in this document, `bounds` are its arguments by name, `asker` is file:line."""

    path: tuple[str | int, ...]
    kind: str
    bounds: dict[str, Any]
    asker: str


def questions(read, document) -> list[Question]:
    """Everything that `read(document)` asks, in its order."""
    asked: list[Question] = []
    with contextlib.ExitStack() as stack:
        for kind in ASKING:
            stack.enter_context(mock.patch.object(Node, kind, _told(kind, getattr(Node, kind), asked)))
        read(document)
    return asked


def _told(kind, method, asked):
    signature = inspect.signature(method)

    @functools.wraps(method)
    def ask(self, *args, **kwargs):
        caller = sys._getframe(1)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        bounds = {name: value for name, value in bound.arguments.items() if name != "self"}
        at = f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"
        asked.append(Question(self.path, kind, bounds, at))
        return method(self, *args, **kwargs)

    return ask


def placed(path, open_mappings) -> tuple[str, ...]:
    """`path` with `*` for list members and for the keys of mappings in `open_mappings`."""
    found: list[str] = []
    for part in path:
        is_open = isinstance(part, int) or tuple(found) in open_mappings
        found.append(ANY if is_open else part)
    return tuple(found)


def value_at(document, path):
    """The value that lies there; KeyError where there is none (some readers look at keys as if they were values)."""
    for part in path:
        if not isinstance(document, dict | list) or (isinstance(document, list) and not isinstance(part, int)):
            raise KeyError(part)
        document = document[part]
    return document
