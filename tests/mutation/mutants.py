"""Every single change of one module that its tests should notice, as compiled code.

The operators are the usual ones (comparison, boolean, arithmetic, constant, return value, dropped statement, dropped
`not`, slice bound) and two of our own (any/all, min/max). Left alone is what no test should pin: docstrings, prose of
messages, and annotations, except the bounds inside `Annotated[...]` and `Literal[...]`, which msgspec enforces.
"""

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from mentions import acts_on

COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
BOUNDARY = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
REPLACED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
}
TWINS = {"any": "all", "all": "any", "min": "max", "max": "min"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MARK = "XX"
PROSE = re.compile(r"\s")
# Sentences are left out of what names a mutant: rewording a message must not make it another one.
SENTENCE = re.compile(r"\w.* .* \w")
# What only speaks to people; what it says is not behaviour.
SPOKEN = frozenset({"message", "next_step"})


@dataclass(frozen=True)
class Place:
    """Where one node hangs: `parent.field`, or `parent.field[index]`."""

    parent: ast.AST
    field: str
    index: int | None

    def put(self, node: Any) -> None:
        """Hang another node there."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


@dataclass
class Mutant:
    """One change. `owner` names the outermost function it is in, "" when it acts at import.

    `named` are the names that its statement, or the function, gives their meaning.
    """

    number: int
    line: int
    owner: str
    owner_line: int
    before: str
    after: str
    place: Place
    old: Any
    new: Any
    nth: int = 1
    named: frozenset[str] = frozenset()

    def name(self, module: str) -> str:
        """How the change is known across runs: no line number, so that it survives edits elsewhere in the file."""
        nth = f" #{self.nth}" if self.nth > 1 else ""
        return f"{module} | {self.owner or '<module>'} | {self.before} => {self.after}{nth}"


class Mutated:
    """One module's source and all its mutants."""

    def __init__(self, source: str, filename: str) -> None:
        self._filename = filename
        self._tree = ast.parse(source)
        self.mutants: list[Mutant] = []
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._statement: ast.stmt | None = None
        self._owner: ast.FunctionDef | ast.AsyncFunctionDef | None = None
        self._classes: list[str] = []
        self._silent = 0
        self._visit_body(self._tree, "body")

    def compiled(self, mutant: Mutant) -> CodeType:
        """The whole module with this one change."""
        mutant.place.put(mutant.new)
        try:
            return compile(ast.fix_missing_locations(self._tree), self._filename, "exec", dont_inherit=True)
        finally:
            mutant.place.put(mutant.old)

    # --- walking ---

    def _visit_body(self, parent: ast.AST, name: str) -> None:
        body = getattr(parent, name)
        for index, statement in enumerate(body):
            docstring = index == 0 and name == "body" and isinstance(statement, ast.Expr) and _is_text(statement.value)
            if not docstring and not (isinstance(statement, ast.Expr) and _is_text(statement.value)):
                self._visit_statement(statement, Place(parent, name, index))

    def _visit_statement(self, node: ast.stmt, place: Place) -> None:
        outer, self._statement = self._statement, node
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._visit_function(node)
            case ast.ClassDef():
                if not any(isinstance(kind, ast.Name) and kind.id == "Protocol" for kind in node.bases):
                    self._classes.append(node.name)
                    self._visit_fields(node, "keywords")
                    self._visit_body(node, "body")
                    self._classes.pop()
            case ast.Import() | ast.ImportFrom() | ast.Global() | ast.Nonlocal():
                pass
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                pass
            case ast.AnnAssign():
                self._visit_annotation(node.annotation, Place(node, "annotation", None))
                if node.value is not None and not _is_type_alias(node):
                    self._visit(node.value, Place(node, "value", None))
            case ast.Raise():
                self._silent += 1
                self._visit_fields(node, "exc")
                self._silent -= 1
            case _:
                self._visit_fields(node, *node._fields)
        self._statement = node
        for new in _without(node, inside=self._owner is not None):
            self._add(node, new, place)
        self._statement = outer

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for name in ("decorator_list", "args"):
            self._visit_fields(node, name)
        outer = self._owner
        self._owner = outer or node
        self._visit_body(node, "body")
        for place, statement in _returns(node):
            for new in _returned(statement, node):
                self._add(statement, new, place, statement)
        self._owner = outer

    def _visit_fields(self, node: ast.AST, *names: str) -> None:
        for name in names:
            value = getattr(node, name, None)
            if isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    self._visit_body(node, name)
                    continue
                for index, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        self._visit(item, Place(node, name, index))
            elif isinstance(value, ast.AST):
                self._visit(value, Place(node, name, None))

    def _visit(self, node: ast.AST, place: Place) -> None:
        if isinstance(node, ast.keyword) and node.arg in SPOKEN:
            return
        if isinstance(node, ast.arg):
            return
        for new in _changed(node, place, silent=bool(self._silent)):
            self._add(node, new, place)
        match node:
            case ast.Constant():
                return
            case ast.FormattedValue():
                self._visit(node.value, Place(node, "value", None))
            case ast.ExceptHandler() | ast.match_case():
                self._visit_fields(node, *(name for name in node._fields if name != "body"))
                self._visit_body(node, "body")
            case ast.Call() if _is_error(node.func):
                self._silent += 1
                self._visit_fields(node, "args", "keywords")
                self._silent -= 1
            case ast.Call() if isinstance(node.func, ast.Name) and node.func.id in {"TypeVar", "cast", "NewType"}:
                self._visit_fields(node, "keywords")
            case _:
                self._visit_fields(node, *node._fields)

    def _visit_annotation(self, node: ast.AST, place: Place) -> None:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call):
                self._visit_fields(inner, "keywords", "args")
            elif isinstance(inner, ast.Subscript) and isinstance(inner.value, ast.Name) and inner.value.id == "Literal":
                self._visit_fields(inner, "slice")

    def _add(self, old: ast.AST, new: ast.AST, place: Place, statement: ast.stmt | None = None) -> None:
        statement = statement or self._statement
        if statement is None:
            return
        ast.copy_location(new, old)
        before = _shown(statement)
        if new is not old and isinstance(old, ast.stmt) and old is statement:
            after = _shown(new)
        else:
            place.put(new)
            after = _shown(statement)
            place.put(old)
        if before == after:
            return
        owner = self._owner
        name = ".".join((*self._classes, owner.name)) if owner else ""
        key = (name, before, after)
        self._seen[key] += 1
        self.mutants.append(
            Mutant(
                number=len(self.mutants),
                line=getattr(old, "lineno", statement.lineno),
                owner=name,
                owner_line=_first_line(owner) if owner else 0,
                before=before,
                after=after,
                place=place,
                old=old,
                new=new,
                nth=self._seen[key],
                named=acts_on(owner or statement, self._classes),
            )
        )


# --- the operators ---


def _changed(node: ast.AST, place: Place, *, silent: bool) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for index, op in enumerate(ops):
                swapped = [*ops]
                swapped[index] = COMPARED[type(op)]()
                yield ast.Compare(left, swapped, comparators)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in REPLACED:
            yield ast.BinOp(left, REPLACED[type(op)](), right)
        case ast.Constant(value=value):
            yield from _other_constant(value, silent=silent and not _is_code(place))
        case ast.Name(id=name, ctx=ast.Load()) if name in TWINS:
            yield ast.Name(TWINS[name], ast.Load())
        case ast.Lambda(args=args, body=body) if not (isinstance(body, ast.Constant) and body.value is None):
            yield ast.Lambda(args, ast.Constant(None))
    yield from _negated(node)
    if isinstance(node, ast.Slice):
        for name in ("lower", "upper"):
            bound = getattr(node, name)
            if bound is not None and not isinstance(bound, ast.Constant):
                parts = {"lower": node.lower, "upper": node.upper, "step": node.step}
                yield ast.Slice(**{**parts, name: ast.BinOp(bound, ast.Add(), ast.Constant(1))})


def _negated(node: ast.AST) -> Iterator[ast.AST]:
    """The other way round, where negating a comparison or dropping a `not` does not say the same already."""
    if isinstance(node, ast.IfExp) and not _has_opposite(node.test):
        yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    if isinstance(node, ast.comprehension):
        for index, test in enumerate(node.ifs):
            if not _has_opposite(test):
                tests = [*node.ifs]
                tests[index] = ast.UnaryOp(ast.Not(), test)
                yield ast.comprehension(node.target, node.iter, tests, node.is_async)


def _has_opposite(test: ast.AST) -> bool:
    simple = isinstance(test, ast.Compare) and len(test.ops) == 1 and not isinstance(test.ops[0], BOUNDARY)
    return simple or (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))


def _other_constant(value: Any, *, silent: bool) -> Iterator[ast.AST]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int() | float():
            yield ast.Constant(value + 1)
        case str() if not silent and not PROSE.search(value.strip("\n\r\t ") if len(value) < 4 else value):
            yield ast.Constant(f"{MARK}{value}{MARK}")
        case bytes():
            yield ast.Constant(value + MARK.encode())


def _without(node: ast.stmt, *, inside: bool) -> Iterator[ast.AST]:
    """What becomes of a statement that is left out, turned round or loses its way."""
    match node:
        case ast.Expr() | ast.Raise() | ast.Delete() | ast.Assert():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) if inside:
            yield ast.Pass()
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in REPLACED:
            yield ast.AugAssign(target, REPLACED[type(op)](), value)
        case ast.If(test=test, body=body, orelse=orelse) if not _has_opposite(test):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.While(test=test, body=body, orelse=orelse) if not _has_opposite(test) and not _is_constant(test):
            yield ast.While(ast.UnaryOp(ast.Not(), test), body, orelse)


def _returns(function: ast.AST) -> Iterator[tuple[Place, ast.Return]]:
    """The returns of this function itself, not of those defined in it."""
    for name, value in ast.iter_fields(function):
        for index, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(item, ast.Return):
                yield Place(function, name, index), item
            elif isinstance(item, ast.AST) and not isinstance(item, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
                yield from _returns(item)


def _returned(node: ast.Return, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
        return
    if isinstance(function.returns, ast.Name) and function.returns.id == "bool":
        for answer in (True, False):
            if not (isinstance(node.value, ast.Constant) and node.value.value is answer):
                yield ast.Return(ast.Constant(answer))
    elif not (isinstance(node.value, ast.Constant) and not node.value.value):
        yield ast.Return(ast.Constant(None))


# --- small questions about nodes ---


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and (isinstance(node.value, str) or node.value is Ellipsis)


def _is_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


def _is_type_alias(node: ast.AnnAssign) -> bool:
    return isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"


def _is_error(called: ast.AST) -> bool:
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    return name.endswith("Error") or name in {"_refused", "_malformed"}


def _is_code(place: Place) -> bool:
    return isinstance(place.parent, ast.keyword) and place.parent.arg == "code"


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _shown(node: ast.AST) -> str:
    """One line: a simple statement, or the head of a compound one."""
    head = copy.copy(node)
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        held = getattr(node, name, None)
        if isinstance(held, list) and held and isinstance(held[0], (ast.stmt, ast.excepthandler, ast.match_case)):
            setattr(head, name, [ast.Pass()] if name == "body" else [])
    if isinstance(head, ast.Match):
        head.cases = [ast.match_case(ast.MatchAs(), None, [ast.Pass()])]
    if isinstance(head, (ast.Try, ast.TryStar)):
        return "try:"
    text = ast.unparse(ast.fix_missing_locations(_Wordless().visit(copy.deepcopy(head))))
    return " ".join(text.split()).removesuffix(" pass")


class _Wordless(ast.NodeTransformer):
    """Takes the sentences out."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        spoken = isinstance(node.value, str) and SENTENCE.search(node.value)
        return ast.Constant("..") if spoken else node
