"""Rego as a tree: parse one module with regorus and walk it by the node kinds this project knows.

regorus (crate and wheel of that name) gives the tree as JSON, each node as `{Kind: {span, ...}}`. Only the kinds listed
here are read; `is_known` is false for any other, so that nothing passes because nobody looked.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import regorus

from bywire.model.errors import PolicyError
from bywire.policy.bundle import Module

AST_VERSION = 1
NESTING_MAX = 12
# A text, a raw text, a comment, or a bracket that is in none of them.
_BRACKET = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|#[^\n]*|[\[\]{}]')

Node = dict[str, Any]

# Field names that hold child expressions, by node kind.
_CHILDREN: dict[str, tuple[str, ...]] = {
    "Var": (),
    "String": (),
    "RawString": (),
    "Number": (),
    "Bool": (),
    "Null": (),
    "Array": ("items",),
    "Set": ("items",),
    "RefDot": ("refr",),
    "RefBrack": ("refr", "index"),
    "Call": ("fcn", "params"),
    "UnaryExpr": ("expr",),
    "BinExpr": ("lhs", "rhs"),
    "BoolExpr": ("lhs", "rhs"),
    "ArithExpr": ("lhs", "rhs"),
    "AssignExpr": ("lhs", "rhs"),
    "Membership": ("key", "value", "collection"),
    "ArrayCompr": ("term",),
    "SetCompr": ("term",),
    "ObjectCompr": ("key", "value"),
}
_PLAIN = re.compile(r"[A-Za-z_]\w*")
COMPREHENSIONS = frozenset({"ArrayCompr", "SetCompr", "ObjectCompr"})
_ERROR = re.compile(r"--> (?P<file>[^\n]*):(?P<line>\d+):(?P<col>\d+)\n.*?error: (?P<text>[^\n]*)", re.DOTALL)


class Place(msgspec.Struct, frozen=True):
    """Where something stands: `file:line:col`, both counted from one."""

    file: str
    line: int
    col: int

    def __str__(self) -> str:
        """Print in the form that editors jump to."""
        return f"{self.file}:{self.line}:{self.col}"


class Body(msgspec.Struct, frozen=True):
    """One body of a rule: the value it assigns (None = true), its statements, and whether it is an `else`."""

    value: Node | None
    statements: tuple[Node, ...]
    is_else: bool


class Rule(msgspec.Struct, frozen=True):
    """One definition. `kind` is `complete`, `set`, `function`, `default` or `unknown`; `name` is empty when dotted.

    `start` is where it begins, in bytes of the source.
    """

    name: str
    kind: str
    place: Place
    arguments: tuple[Node, ...]
    value: Node | None
    bodies: tuple[Body, ...]
    start: int


class ParsedModule(msgspec.Struct, frozen=True):
    """A module: its package (`bywire.gate.tests`), imports (alias -> dotted path) and rules."""

    path: str
    package: str
    imports: dict[str, tuple[str, Place]]
    rules: tuple[Rule, ...]
    source: str

    def name_at(self, span: Node) -> str:
        """The source text under a span (byte offsets)."""
        return _text(self.source, span)

    def definition(self, rule: Rule) -> str:
        """The source text of a rule, up to the next one, without blank and comment lines after it."""
        later = [other.start for other in self.rules if other.start > rule.start]
        source = self.source.encode()
        lines = source[rule.start : min(later, default=len(source))].decode().splitlines()
        while lines and (not lines[-1].strip() or lines[-1].startswith("#")):
            lines.pop()
        return "\n".join(lines)


def parse_module(module: Module) -> ParsedModule:
    """Parse one module as Rego v1.

    Raises PolicyError `policy_syntax` naming file, line and column.
    """
    check_nesting(module)
    engine = regorus.Engine()
    try:
        engine.add_policy(module.path, module.source)
        tree = msgspec.json.decode(engine.get_ast_as_json())[0]
    except (RuntimeError, msgspec.DecodeError) as error:
        raise syntax_error(module.path, error) from error
    if tree["version"] != AST_VERSION:
        raise PolicyError(f"this regorus writes syntax trees of version {tree['version']}, not {AST_VERSION}")
    ast = tree["ast"]
    return ParsedModule(
        path=module.path,
        package=_package(ast["package"]["refr"]),
        imports=dict(_imports(module, ast["imports"])),
        rules=tuple(_rule(module.path, rule) for rule in ast["rules"]),
        source=module.source,
    )


def check_nesting(module: Module) -> None:
    """Raises PolicyError `policy_syntax`: the parser tries each bracket twice, so that each level doubles its time."""
    depth = 0
    for found in _BRACKET.finditer(module.source):
        if found[0] in "[{":
            depth += 1
        elif found[0] in "]}":
            depth = max(0, depth - 1)
        if depth > NESTING_MAX:
            line = module.source.count("\n", 0, found.start()) + 1
            column = found.start() - module.source.rfind("\n", 0, found.start())
            raise PolicyError(
                f"{module.path}:{line}:{column}: it nests deeper than {NESTING_MAX} brackets",
                code="policy_syntax",
                next_step="give the inner part a name of its own",
            )


def syntax_error(path: str, error: Exception) -> PolicyError:
    """Turn regorus's own report into one line that says where and what; its stack trace is left out."""
    found = _ERROR.search(str(error))
    where, what = (f"{path}:1:1", str(error).split("\n\nStack backtrace")[0].strip()[:200])
    if found:
        where, what = f"{found['file']}:{found['line']}:{found['col']}", found["text"]
    return PolicyError(
        f"{where}: {what}",
        code="policy_syntax",
        next_step="correct the Rego (version 1 syntax: `if` before bodies, `contains` for sets) and load it again",
    )


def kind_of(node: Node) -> tuple[str, Node]:
    """The kind of a node and its fields."""
    ((kind, fields),) = node.items()
    return kind, fields


def place_of(path: str, node: Node) -> Place:
    """Where a node starts."""
    span = kind_of(node)[1]["span"]
    return Place(path, span["line"], span["col"])


def children(node: Node) -> Iterator[Node]:
    """The expressions directly inside an expression, comprehension bodies excepted; KeyError for an unknown kind."""
    kind, fields = kind_of(node)
    if kind == "Object":
        for _, key, value in fields["fields"]:
            yield key
            yield value
        return
    for name in _CHILDREN[kind]:
        inside = fields[name]
        if isinstance(inside, list):
            yield from inside
        elif inside is not None:
            yield inside


def is_known(node: Node) -> bool:
    """Whether the walk knows this kind of expression."""
    kind = kind_of(node)[0]
    return kind == "Object" or kind in _CHILDREN


def statements_of(node: Node) -> tuple[Node, ...]:
    """The statements of a comprehension."""
    return tuple(kind_of(node)[1]["query"]["stmts"])


def dotted(node: Node) -> str | None:
    """`a.b.c` for a plain reference, None when any part is computed."""
    kind, fields = kind_of(node)
    if kind == "Var":
        return str(fields["value"])
    if kind == "RefDot":
        before = dotted(fields["refr"])
        return f"{before}.{fields['field'][1]}" if before else None
    return None


def reference(package: str, rule: str) -> str:
    """`data.a.b.rule` for the rule of a package; what is no plain name stands in brackets, `data.a["b-c"].rule`."""
    parts = (f".{part}" if _PLAIN.fullmatch(part) else f'["{part}"]' for part in (*package.split("."), rule))
    return f"data{''.join(parts)}"


def _package(node: Node) -> str:
    """`a.b.c`, also for `a.b["c"]`; empty for any other form."""
    kind, fields = kind_of(node)
    if kind == "RefBrack" and "String" in fields["index"]:
        return f"{dotted(fields['refr'])}.{fields['index']['String']['value']}"
    return dotted(node) or ""


def _text(source: str, span: Node) -> str:
    return source.encode()[span["start"] : span["end"]].decode()


def _imports(module: Module, nodes: list[Node]) -> Iterator[tuple[str, tuple[str, Place]]]:
    for node in nodes:
        target = dotted(node["refr"]) or ""
        renamed = node.get("as")
        alias = _text(module.source, renamed) if renamed else target.rpartition(".")[2]
        yield alias, (target, place_of(module.path, node["refr"]))


def _rule(path: str, node: Node) -> Rule:
    form, fields = kind_of(node)
    if form == "Default":
        place = place_of(path, fields["refr"])
        start = fields["span"]["start"]
        return Rule(_name(fields["refr"]), "default", place, tuple(fields["args"]), fields["value"], (), start)
    head_form, head = kind_of(fields["head"])
    kinds = {"Compr": "complete", "Set": "set", "Func": "function"}
    assign = head["key"] if head_form == "Set" else (head["assign"] or {}).get("value")
    operator = (head.get("assign") or {}).get("op", "ColEq")
    kind = kinds.get(head_form, "unknown") if operator == "ColEq" else "unknown"
    bodies = tuple(
        Body((body["assign"] or {}).get("value"), tuple(body["query"]["stmts"]), body["is_else"])
        for body in fields["bodies"]
    )
    return Rule(
        name=_name(head["refr"]),
        kind=kind,
        place=place_of(path, head["refr"]),
        arguments=tuple(head.get("args", ())),
        value=assign,
        bodies=bodies,
        start=fields["span"]["start"],
    )


def _name(refr: Node) -> str:
    kind, fields = kind_of(refr)
    return str(fields["value"]) if kind == "Var" else ""
