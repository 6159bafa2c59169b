"""Where a name is mentioned: which lines, and which tests' own text, a change that acts at import may show itself in.

Names are compared as text, without scopes, so too much is found rather than too little; what is asked is bounded.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef)


class Binding(NamedTuple):
    """The names that a statement binds when it is executed, and those that it mentions doing so."""

    bound: frozenset[str]
    mentioned: frozenset[str]


def acts_on(node: ast.stmt, classes: Sequence[str] = ()) -> frozenset[str]:
    """The names that an executed statement inside these classes gives their meaning; for a field, also its class."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return frozenset(classes[-1:] if classes and node.name.startswith("__") else {node.name})
        case ast.ClassDef():
            return frozenset({node.name})
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return frozenset({*(bound or {name.id for name in names}), *classes[-1:]})


def mentioned_by(*nodes: ast.AST) -> frozenset[str]:
    """All names that these nodes mention, also as attributes, parameters and imports."""
    found: set[str] = set()
    for outer in nodes:
        for node in ast.walk(outer):
            match node:
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.arg(arg=name):
                    found.add(name)
                case ast.keyword(arg=str(name)):
                    found.add(name)
    return frozenset(found)


class Mentions:
    """An index of some sources. `at_import` says of a path and line whether it runs at import."""

    def __init__(self, sources: Mapping[str, str], at_import: Callable[[str, int], bool]) -> None:
        self._lines: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self._methods: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self._bindings: list[Binding] = []
        for path, source in sources.items():
            tree = ast.parse(source)
            for node in ast.walk(tree):
                match node:
                    case ast.Name(id=name) | ast.Attribute(attr=name):
                        self._lines[name].add((path, node.lineno))
                    case ast.ClassDef():
                        self._methods[node.name] |= {(path, line) for line in _lines_of_methods(node)}
            self._bindings += _bindings(tree.body, lambda line, path=path: at_import(path, line))

    def lines(self, names: Iterable[str]) -> set[tuple[str, int]]:
        """(path, line) of what mentions these names or what is made of them at import, and of their methods."""
        found: set[tuple[str, int]] = set()
        for name in closure(names, self._bindings):
            found |= self._lines.get(name, set()) | self._methods.get(name, set())
        return found


def closure(names: Iterable[str], bindings: Sequence[Binding]) -> frozenset[str]:
    """These names and those that are bound from them."""
    found = frozenset(names)
    while True:
        more = found.union(*(bound for bound, mentioned in bindings if mentioned & found))
        if more == found:
            return found
        found = more


def functions_mentioning(source: str) -> Callable[[Iterable[str]], frozenset[str]]:
    """Asked for names: the functions of this file whose text mentions them, in one another's text, too."""
    tree = ast.parse(source)
    bindings = [
        Binding(acts_on(node), mentioned_by(node))
        for node in tree.body
        if not isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    functions = {node.name for node in tree.body if isinstance(node, SCOPES)}
    return lambda names: closure(names, bindings) & functions


def _bindings(body: Iterable[ast.stmt], at_import: Callable[[int], bool], *classes: str) -> list[Binding]:
    found: list[Binding] = []
    for node in body:
        bound = acts_on(node, classes)
        if isinstance(node, ast.ClassDef):
            found.append(Binding(bound, mentioned_by(*node.bases, *node.keywords, *node.decorator_list)))
            found += _bindings(node.body, at_import, *classes, node.name)
        elif isinstance(node, FUNCTIONS):
            called = any(at_import(inner.lineno) for inner in node.body)
            found.append(Binding(bound, mentioned_by(*(node.body if called else ()), node.args, *node.decorator_list)))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [Binding(frozenset({name.asname}), frozenset({name.name})) for name in node.names if name.asname]
        else:
            found.append(Binding(bound, mentioned_by(node)))
    return found


def _lines_of_methods(node: ast.ClassDef) -> set[int]:
    methods = (inner for inner in node.body if isinstance(inner, FUNCTIONS))
    return {line for inner in methods for line in range(inner.body[0].lineno, (inner.end_lineno or 0) + 1)}
