"""Which modules of the package no change of a room can touch, so that they are imported once, before any fork."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path


def untouched(copy: Path, changed: Iterable[str], imported: Iterable[str]) -> list[str]:
    """Those of the imported modules of the package that import none of the changed paths, directly or not.

    What tests/conftest.py puts its checks behind must be imported after it, so that counts as changed, too.
    """
    source = copy / "src"
    trees = {module_of(str(path.relative_to(copy))): path for path in source.rglob("*.py")}
    graph = {name: _imports(path) & trees.keys() - {name} for name, path in trees.items()}
    touched = {module_of(path) for path in changed} | (_held(copy / "tests") & trees.keys())
    waiting = True
    while waiting:
        waiting = {name for name, needed in graph.items() if name not in touched and needed & touched}
        touched |= waiting
    return [name for name in imported if name in graph and name not in touched]


def module_of(path: str) -> str:
    """`src/a/b.py`: a.b."""
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _held(tests: Path) -> set[str]:
    """The modules that tests/conftest.py and its neighbours that it imports name themselves."""
    conftest = tests / "conftest.py"
    neighbours = [path for name in _imports(conftest) if (path := tests / f"{name}.py").exists()]
    return {
        f"{node.module}.{alias.name}"
        for path in (conftest, *neighbours)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _imports(path: Path) -> set[str]:
    """All modules that the file may import, with their packages, and names in them that may be modules."""
    return {
        ".".join(parts[:length])
        for name in _named(path)
        for parts in [name.split(".")]
        for length in range(1, len(parts) + 1)
    }


def _named(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
