"""One rule's names and calls: every variable declared, every reference resolved, every function allowed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bywire.policy.agent_policies import AGENTS, is_dispatch
from bywire.policy.builtins import ALLOWED, why_refused
from bywire.policy.findings import Finding
from bywire.policy.rego_syntax import (
    COMPREHENSIONS,
    Node,
    ParsedModule,
    Place,
    Rule,
    children,
    dotted,
    is_known,
    kind_of,
    place_of,
    statements_of,
)
from bywire.policy.symbols import Symbols

GENERATORS_MAX = 3
DOCUMENTS = frozenset({"input", "data"})


@dataclass
class ExpressionCheck:
    """Walk one rule. `uses` fills with the rules it depends on, for the check against recursion."""

    module: ParsedModule
    rule: Rule
    symbols: Symbols
    uses: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        """The rule's full name."""
        return f"{self.module.package}.{self.rule.name}"

    def run(self) -> list[Finding]:
        """Check head, bodies and values; return what was found."""
        arguments = self._declare(frozenset(), self.rule.arguments)
        inside = [self._query(body.statements, arguments, 0) for body in self.rule.bodies]
        if self.rule.value is not None:
            self._expression(self.rule.value, inside[0] if inside else arguments, 0)
        for body, scope in zip(self.rule.bodies, inside, strict=True):
            if body.value is not None:
                self._expression(body.value, scope, 0)
        return self.findings

    def _refuse(self, node: Node, message: str, remedy: str) -> None:
        self.findings.append(Finding(place_of(self.module.path, node), message, remedy))

    def _query(self, statements: Iterable[Node], scope: frozenset[str], generators: int) -> frozenset[str]:
        """Check a query; the scope it returns holds what the query declares."""
        statements = tuple(statements)
        literals = [kind_of(statement["literal"]) for statement in statements]
        for kind, fields in literals:
            scope = self._declared_by(kind, fields, scope)
        generators += sum(1 for kind, _ in literals if kind == "SomeIn")
        if generators > GENERATORS_MAX:
            place = Place(self.module.path, literals[0][1]["span"]["line"], literals[0][1]["span"]["col"])
            self.findings.append(
                Finding(place, f"more than {GENERATORS_MAX} nested iterations", "index a table or split the rule")
            )
        for statement, (kind, fields) in zip(statements, literals, strict=True):
            if statement.get("with_mods"):
                self._refuse(
                    statement["with_mods"][0]["refr"], "`with` is for tests", "a rule may not change its question"
                )
            self._literal(kind, fields, scope, generators)
        return scope

    def _declared_by(self, kind: str, fields: Node, scope: frozenset[str]) -> frozenset[str]:
        if kind == "SomeIn":
            return self._declare(scope, [node for node in (fields["key"], fields["value"]) if node])
        if kind == "Expr":
            form, inner = kind_of(fields["expr"])
            if form == "AssignExpr" and inner["op"] == "ColEq":
                return self._declare(scope, [inner["lhs"]])
        return scope

    def _declare(self, scope: frozenset[str], patterns: Iterable[Node]) -> frozenset[str]:
        names: set[str] = set()
        for pattern in patterns:
            kind, fields = kind_of(pattern)
            if kind == "Var":
                names.add(fields["value"])
                self._check_shadow(pattern, fields["value"])
            elif kind in {"Array", "Object"}:
                names |= self._declare(frozenset(), children(pattern))
            elif kind not in {"String", "Number", "Bool", "Null"}:
                self._refuse(pattern, "this pattern is not in the subset", "bind plain names")
        return scope | names

    def _check_shadow(self, node: Node, name: str) -> None:
        if name in DOCUMENTS or name in self.module.imports or self.symbols.defines(self.module.package, name):
            self._refuse(node, f"variable {name} hides a rule, import or document", "choose another name")

    def _literal(self, kind: str, fields: Node, scope: frozenset[str], generators: int) -> None:
        if kind in {"Expr", "NotExpr"}:
            self._expression(fields["expr"], scope, generators)
        elif kind == "SomeIn":
            self._expression(fields["collection"], scope, generators)
        elif kind == "Every":
            self._every(fields, scope, generators)
        else:
            place = Place(self.module.path, fields["span"]["line"], fields["span"]["col"])
            self.findings.append(Finding(place, f"{kind} is not in the subset", "iterate with `some x in xs`"))

    def _every(self, fields: Node, scope: frozenset[str], generators: int) -> None:
        self._expression(fields["domain"], scope, generators)
        # The tree names the variables by span only; the parser has already checked that they are plain names.
        names = {self.module.name_at(span) for span in (fields["key"], fields["value"]) if span}
        self._query(fields["query"]["stmts"], scope | names, generators + 1)

    def _expression(self, node: Node, scope: frozenset[str], generators: int) -> None:
        kind, fields = kind_of(node)
        if not is_known(node):
            self._refuse(node, f"{kind} is not in the subset", "write it in the plain form")
            return
        if kind == "AssignExpr" and fields["op"] != "ColEq":
            self._refuse(node, "`=` unifies", "write `:=` to bind or `==` to compare")
        if kind in COMPREHENSIONS:
            scope = self._query(statements_of(node), scope, generators)
        if kind == "Call":
            self._call(node, fields)
            for parameter in fields["params"]:
                self._expression(parameter, scope, generators)
        elif kind in {"Var", "RefDot", "RefBrack"}:
            self._reference(node, scope, generators)
        else:
            for child in children(node):
                self._expression(child, scope, generators)

    def _call(self, node: Node, fields: Node) -> None:
        name = dotted(fields["fcn"]) or ""
        count = len(fields["params"])
        if name in ALLOWED:
            arity: int | None = ALLOWED[name]
        else:
            target = self._target(name)
            if target is None or self.symbols.packages[target[0]][target[1]] is None:
                self._refuse(node, f"{name}() {why_refused(name)}", "use an allowed function, or compute it as a fact")
                return
            self.uses.add(".".join(target))
            arity = self.symbols.packages[target[0]][target[1]]
        if arity != count:
            self._refuse(node, f"{name}() takes {arity} arguments, {count} given", "match the definition")

    def _target(self, name: str) -> tuple[str, str] | None:
        """The package and rule that a dotted name means in this module."""
        root, _, rest = name.partition(".")
        if not rest and self.symbols.defines(self.module.package, root):
            return self.module.package, root
        if root in self.module.imports:
            return self.symbols.resolve(f"{self.module.imports[root][0]}.{rest}")
        return self.symbols.resolve(name) if root == "data" else None

    def _reference(self, node: Node, scope: frozenset[str], generators: int) -> None:
        """Resolve the longest plain prefix, then check every computed part."""
        prefix, parts = node, []
        while dotted(prefix) is None:
            kind, fields = kind_of(prefix)
            if kind == "RefBrack":
                parts.append(fields["index"])
            elif kind != "RefDot":
                self._expression(prefix, scope, generators)
                break
            prefix = fields["refr"]
        for part in parts:
            self._expression(part, scope, generators)
        name = dotted(prefix)
        if name == f"data.{AGENTS}" and self._asks_agents(node):
            return
        if name is not None:
            self._name(prefix, name, scope)

    def _asks_agents(self, node: Node) -> bool:
        """Whether this is the one form in which a shared module asks the agents' own policies."""
        return not self.module.package.startswith(AGENTS) and is_dispatch(self.module.name_at(kind_of(node)[1]["span"]))

    def _name(self, node: Node, name: str, scope: frozenset[str]) -> None:
        root = name.partition(".")[0]
        if root in scope and root != "_":
            return
        if root == "_":
            self._refuse(node, "a wildcard hides an iteration", "iterate with `some x in xs`")
        elif root == "input":
            return
        elif self.symbols.defines(self.module.package, root):
            self.uses.add(f"{self.module.package}.{root}")
        elif root == "data" and self.symbols.is_table(name):
            return
        elif (target := self._target(name)) is not None:
            self.uses.add(".".join(target))
        else:
            self._refuse(node, f"{name} is not defined", "declare it with `:=`, `some` or an argument")
