"""What a bundle must be before it may decide anything: a small, pure, total subset of Rego (RULES 7, 8).

regorus accepts things that OPA refuses (unknown functions, unsafe variables, recursion are found late or never), so the
subset is checked on the syntax tree: every name resolves, every function is on a list, every entrypoint has a default,
and a construct that nobody has looked at is refused. Each finding says where and what to do.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import regorus

from bywire.model.errors import PolicyError
from bywire.policy.agent_policies import (
    AGENTS,
    DENY,
    DISPATCHES,
    declared_sets,
    dispatched_sets,
    set_rule,
    shape_findings,
)
from bywire.policy.bundle import Bundle
from bywire.policy.expressions import ExpressionCheck
from bywire.policy.findings import Finding
from bywire.policy.rego_syntax import ParsedModule, Place, Rule, kind_of, parse_module, syntax_error
from bywire.policy.rule_index import sites_of
from bywire.policy.symbols import ROOT, TABLES, Symbols

SHOWN_MAX = 20


def check(bundle: Bundle) -> None:
    """Return when the bundle may be used; raise PolicyError `policy_lint` or `policy_syntax` with every finding."""
    findings = lint(bundle)
    if findings:
        shown = "\n".join(str(finding) for finding in findings[:SHOWN_MAX])
        more = f"\n... and {len(findings) - SHOWN_MAX} more" if len(findings) > SHOWN_MAX else ""
        raise PolicyError(
            f"the policy bundle does not pass the lint:\n{shown}{more}",
            code="policy_lint",
            next_step="correct the lines above and load the bundle again",
        )
    compile_rules(bundle)


def lint(bundle: Bundle) -> tuple[Finding, ...]:
    """Every finding in the deciding modules, in order of file and line.

    Raises PolicyError `policy_syntax` when a file (a test file too) does not parse.
    """
    modules = tuple(parse_module(module) for module in bundle.modules)
    for test in (*bundle.tests, *bundle.agent_tests.values()):
        parse_module(test)
    found = [
        *(_reserved(module) for module in modules if _is_reserved(module.package)),
        *_entrypoints(bundle.manifest.entrypoints, modules),
        *_rules(modules, bundle.tables),
        *_agents(bundle, modules),
    ]
    return tuple(sorted(found, key=lambda finding: (finding.place.file, finding.place.line, finding.place.col)))


def _rules(modules: tuple[ParsedModule, ...], tables: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with modules that see each other and these tables."""
    symbols = Symbols.of(modules, tables)
    for module in modules:
        yield from _module(module, symbols)
    yield from _conflicts(modules)
    checks = [ExpressionCheck(module, rule, symbols) for module in modules for rule in module.rules]
    for expression_check in checks:
        yield from expression_check.run()
    yield from _recursion(checks)


def _agents(bundle: Bundle, shared: tuple[ParsedModule, ...]) -> Iterator[Finding]:
    asked = {name for module in shared for name in dispatched_sets(module)}
    for agent in sorted(bundle.agent_tests.keys() - bundle.agents.keys()):
        path = bundle.agent_tests[agent].path
        yield Finding(Place(path, 1, 1), f"there is no agents/{agent}.rego", "remove these tests, or add the policy")
    needed: set[str] = set()
    for agent, module in bundle.agents.items():
        parsed = parse_module(module)
        yield from _rules((parsed,), {})
        yield from shape_findings(agent, module, parsed, sites_of(parsed))
        needed |= set(declared_sets(parsed)) or {DENY}
    for name in sorted(needed - asked):
        what = "no module asks the policies in agents/" if name == DENY else f"no module asks for `{name}` in agents/"
        yield Finding(Place("manifest.json", 1, 1), what, f"let one of them read {DISPATCHES[name]}")


def _is_reserved(package: str) -> bool:
    return not package.startswith(f"{ROOT}.") or any(f"{package}.".startswith(f"{own}.") for own in (TABLES, AGENTS))


def _reserved(module: ParsedModule) -> Finding:
    remedy = "name it bywire.<topic>, but neither bywire.table nor bywire.agents"
    return Finding(Place(module.path, 1, 1), f"package {module.package} is not ours to define", remedy)


def _module(module: ParsedModule, symbols: Symbols) -> Iterator[Finding]:
    for alias, (target, place) in module.imports.items():
        if target.startswith(("future.", "rego.")):
            yield Finding(place, f"import {target} belongs to Rego v0", "remove it; modules are Rego v1")
        elif target.removeprefix("data.") not in symbols.packages and not symbols.is_package_prefix(target):
            yield Finding(place, f"import {target} names no package of this bundle", "import data.bywire.<package>")
        if alias in {"input", "data"} or symbols.defines(module.package, alias):
            yield Finding(place, f"import alias {alias} hides a rule or document", "choose another alias with `as`")
    for rule in module.rules:
        if symbols.is_package_prefix(f"data.{module.package}.{rule.name}"):
            yield Finding(rule.place, f"{rule.name} is both a rule and a package", "rename one of them")
        if rule.kind == "unknown" or not rule.name:
            yield Finding(
                rule.place,
                "this form of rule is not in the subset",
                "write `name := value if`, `name contains value if`, or a function with `:=`",
            )


def _entrypoints(entrypoints: Iterable[str], modules: tuple[ParsedModule, ...]) -> Iterator[Finding]:
    total = {f"data.{m.package}.{rule.name}" for m in modules for rule in m.rules if rule.kind == "default"}
    files = {f"data.{m.package}": m.path for m in modules}
    for entrypoint in entrypoints:
        place = Place(files.get(entrypoint.rpartition(".")[0], "manifest.json"), 1, 1)
        if entrypoint not in total:
            yield Finding(place, f"entrypoint {entrypoint} may be undefined", "give it a `default` that denies")


def _conflicts(modules: tuple[ParsedModule, ...]) -> Iterator[Finding]:
    """Two bodies with two values can contradict each other at run time; `else` cannot."""
    definitions: dict[tuple[str, str], list[Rule]] = {}
    for module in modules:
        for rule in module.rules:
            if rule.kind in {"complete", "function"}:
                definitions.setdefault((module.package, rule.name), []).append(rule)
    for (_, name), rules in definitions.items():
        valued = [rule for rule in rules if not _is_true(rule) or any(b.value is not None for b in rule.bodies)]
        if len(rules) > 1 and valued:
            yield Finding(valued[0].place, f"{name} has several definitions with values", "join them with `else :=`")


def _is_true(rule: Rule) -> bool:
    if rule.value is None:
        return True
    kind, fields = kind_of(rule.value)
    return kind == "Bool" and fields["value"] is True


def _recursion(checks: list[ExpressionCheck]) -> Iterator[Finding]:
    """OPA refuses rules that depend on themselves; regorus notices only while it evaluates."""
    edges: dict[str, set[str]] = {}
    places: dict[str, Place] = {}
    for expression_check in checks:
        edges.setdefault(expression_check.symbol, set()).update(expression_check.uses)
        places.setdefault(expression_check.symbol, expression_check.rule.place)
    done: set[str] = set()
    for start, first in edges.items():
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(sorted(first)))]
        path = {start}
        while stack and start not in done:
            name, following = stack[-1]
            successor = next(following, None)
            if successor is None:
                done.add(name)
                path.discard(name)
                stack.pop()
            elif successor in path:
                yield Finding(places[successor], f"{successor} depends on itself", "break the cycle")
                return
            elif successor in edges and successor not in done:
                path.add(successor)
                stack.append((successor, iter(sorted(edges[successor]))))


def compile_rules(bundle: Bundle) -> None:
    """Compile what may be asked: what is left (ordering, safety inside closures) regorus's compiler refuses here.

    Raises PolicyError `policy_syntax`.
    """
    sources = [(module.path, module.source) for module in bundle.modules]
    for entrypoint in bundle.manifest.entrypoints:
        _compile_rule(entrypoint, bundle.data_json(), sources)
    for agent, module in bundle.agents.items():
        for name in declared_sets(parse_module(module)):
            _compile_rule(set_rule(agent, name), "{}", [(module.path, module.source)])


def _compile_rule(rule: str, data_json: str, sources: list[tuple[str, str]]) -> None:
    try:
        regorus.Program.compile_from_modules(data_json, sources, [rule])
    except (RuntimeError, msgspec.MsgspecError) as error:
        raise syntax_error("bundle", error) from error
