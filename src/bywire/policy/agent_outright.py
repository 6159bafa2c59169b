"""What an agent's own policy denies whatever a call's parameters are: found in the text, asked of those rules alone.

A rule of `deny` that looks at nothing but the tool, the environment and who asks, itself and in every rule it uses, has
the same answer for each call of that tool there. All others are left out of the question, because another call of the
tool might satisfy them. So what is found is denied for certain; what is not found may be denied all the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
import regorus

from bywire.policy.agent_policies import DENY, SETS, set_rule
from bywire.policy.bundle import Module
from bywire.policy.rego_syntax import Node, ParsedModule, Rule, dotted, kind_of, parse_module

# (tool, environment).
Where: TypeAlias = tuple[str, str]
SAME_FOR_EVERY_CALL = frozenset({("action", "tool"), ("action", "environment"), ("principal", "id")})
_INPUT, _GET = "input", "object.get"
_DENIALS = msgspec.json.Decoder(list[dict[str, Any]])


def denied_outright(agent: str, module: Module, asked: Iterable[Where]) -> dict[Where, frozenset[str]]:
    """The rule ids that deny every call of a tool in an environment, for each one asked about.

    Rules that cannot be evaluated apart from the rest are not found. Raises PolicyError for a module that is no Rego.
    """
    parsed, places = parse_module(module), tuple(asked)
    text = _apart(parsed)
    if not text:
        return dict.fromkeys(places, frozenset())
    engine = regorus.Engine()
    engine.add_policy(module.path, text)
    return {place: _rules(engine, agent, place) for place in places}


def _rules(engine: Any, agent: str, place: Where) -> frozenset[str]:
    tool, environment = place
    question = {"action": {"tool": tool, "environment": environment}, "principal": {"id": f"agent:{agent}"}}
    engine.set_input_json(msgspec.json.encode(question).decode())
    try:
        denials = _DENIALS.decode(engine.eval_rule_as_json(set_rule(agent, DENY)))
    except (RuntimeError, msgspec.MsgspecError):
        return frozenset()
    return frozenset(str(denial.get("rule", "")) for denial in denials)


def _apart(parsed: ParsedModule) -> str:
    """The module with those rules of `deny` alone whose answer is the same for every call; empty without any."""
    named: dict[str, list[Rule]] = {}
    for rule in parsed.rules:
        named.setdefault(rule.name, []).append(rule)
    kept: list[Rule] = []
    for rule in named.get(DENY, ()):
        used = _used(rule, named)
        looks_at = {path for one in (rule, *used) for path in _paths(_tree(one))}
        if looks_at <= SAME_FOR_EVERY_CALL and not any(one.name in SETS for one in used):
            kept += [rule, *used]
    texts = {rule.start: parsed.definition(rule) for rule in kept}
    head = parsed.source.encode()[: min((rule.start for rule in parsed.rules), default=0)].decode()
    return "\n\n".join((head, *(texts[start] for start in sorted(texts)))) if texts else ""


def _used(rule: Rule, named: Mapping[str, list[Rule]]) -> list[Rule]:
    """Every rule that this one's answer depends on."""
    found: dict[str, list[Rule]] = {}
    waiting = [rule]
    while waiting:
        for name in _names(_tree(waiting.pop())):
            if name in named and name not in found:
                found[name] = named[name]
                waiting += named[name]
    return [one for rules in found.values() for one in rules]


def _tree(rule: Rule) -> list[Any]:
    return [rule.value, rule.arguments, *((body.value, body.statements) for body in rule.bodies)]


def _names(tree: Any) -> Iterator[str]:
    for node in _nodes(tree):
        if "Var" in node:
            yield str(node["Var"]["value"])


def _paths(tree: Any) -> Iterator[tuple[str, ...]]:
    """The places of the input that are looked at; () where it is not written which."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            path, rest = _looked_at(node)
            if path is not None:
                yield path
            waiting += rest if path is not None else node.values()
        elif isinstance(node, list | tuple):
            waiting += node


def _looked_at(node: Node) -> tuple[tuple[str, ...] | None, list[Any]]:
    """(the place that this node itself looks at, what else is in it)."""
    if "Var" in node:
        return (() if node["Var"]["value"] == _INPUT else None), []
    if "RefDot" in node:
        name = dotted(node) or ""
        return (tuple(name.split(".")[1:]) if name.startswith(f"{_INPUT}.") else None), []
    if "Call" in node and dotted(node["Call"]["fcn"]) == _GET:
        document, where, *rest = node["Call"]["params"]
        if dotted(document) == _INPUT:
            return _written(where), [where, *rest]
    return None, []


def _written(node: Node) -> tuple[str, ...]:
    kind, fields = kind_of(node)
    parts = [kind_of(item) for item in fields["items"]] if kind == "Array" else [(kind, fields)]
    return tuple(inside["value"] for _, inside in parts) if all(form == "String" for form, _ in parts) else ()


def _nodes(tree: Any) -> Iterator[Node]:
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node
