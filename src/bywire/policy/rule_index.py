"""Every rule id that a bundle can give as a reason, read from the syntax tree, with its place and its facts."""

from collections.abc import Iterator, Mapping

import msgspec

from bywire.model.errors import PolicyError
from bywire.policy.bundle import Bundle
from bywire.policy.rego_syntax import (
    Node,
    ParsedModule,
    Place,
    Rule,
    children,
    kind_of,
    parse_module,
    place_of,
    statements_of,
)


class RuleSite(msgspec.Struct, frozen=True):
    """A rule id, its place, the names of the facts it emits, and the definition it stands in.

    A rule id that is written in several places has `also` the (place, definition) of the others; `within` are the names
    of all these definitions.
    """

    rule: str
    place: Place
    facts: frozenset[str]
    text: str = ""
    also: tuple[tuple[Place, str], ...] = ()
    within: frozenset[str] = frozenset()


def rule_sites(bundle: Bundle, *, agents: bool = True) -> dict[str, RuleSite]:
    """All reasons written in the deciding modules, those of agents' own policies too unless told otherwise, by rule id.

    Raises PolicyError `policy_reason` for a reason whose id or facts are computed: messages and tests go by them.
    """
    sites: dict[str, RuleSite] = {}
    for module in map(parse_module, (*bundle.modules, *(bundle.agents.values() if agents else ()))):
        for site in sites_of(module).values():
            known = sites.get(site.rule)
            sites[site.rule] = site if known is None else _merge(known, site)
    return sites


def objections(sites: Mapping[str, RuleSite]) -> frozenset[str]:
    """The ids of rules that refuse or ask for a person by themselves: those of sets `deny`, `denials` and `approval`.

    The others allow, change the action, or say more of why something else objects.
    """
    return frozenset(rule for rule, site in sites.items() if any(map(_objects_by, site.within)))


def _objects_by(name: str) -> bool:
    return name in {"deny", "denials", "approval"} or name.endswith("_denials")


def sites_of(module: ParsedModule) -> dict[str, RuleSite]:
    """The reasons written in one module."""
    sites: dict[str, RuleSite] = {}
    for rule in module.rules:
        for node in _objects(rule):
            site = _site(module, rule, node)
            if site is not None:
                known = sites.get(site.rule)
                sites[site.rule] = site if known is None else _merge(known, site)
    return sites


def _merge(known: RuleSite, site: RuleSite) -> RuleSite:
    also = (*known.also, (site.place, site.text), *site.also)
    within = known.within | site.within
    return RuleSite(known.rule, known.place, known.facts & site.facts, known.text, also, within)


def _site(module: ParsedModule, rule: Rule, node: Node) -> RuleSite | None:
    fields = _fields(node)
    if "rule" not in fields or "facts" not in fields:
        return None
    kind, inside = kind_of(fields["rule"])
    if kind != "String":
        return None  # a reason that passes through, named where it was written
    facts = fields["facts"]
    if kind_of(facts)[0] == "Var":
        facts = _definition(module, kind_of(facts)[1]["value"]) or facts
    if kind_of(facts)[0] != "Object":
        raise PolicyError(
            f"{place_of(module.path, node)}: the facts of {inside['value']} are computed",
            code="policy_reason",
            next_step="write the facts as an object in place",
        )
    place = place_of(module.path, node)
    within = frozenset({rule.name})
    return RuleSite(inside["value"], place, frozenset(_fields(facts)), module.definition(rule), within=within)


def _definition(module: ParsedModule, name: str) -> Node | None:
    return next((rule.value for rule in module.rules if rule.name == name and rule.kind == "complete"), None)


def _fields(node: Node) -> dict[str, Node]:
    pairs = ((kind_of(key), value) for _, key, value in kind_of(node)[1]["fields"])
    return {fields["value"]: value for (kind, fields), value in pairs if kind == "String"}


def _objects(rule: Rule) -> Iterator[Node]:
    stack = [node for node in (rule.value, *(body.value for body in rule.bodies)) if node is not None]
    for body in rule.bodies:
        stack.extend(_expressions(body.statements))
    while stack:
        node = stack.pop()
        kind, fields = kind_of(node)
        if kind == "Object":
            yield node
        if "query" in fields:
            stack.extend(_expressions(statements_of(node)))
        stack.extend(children(node))


def _expressions(statements: tuple[Node, ...]) -> Iterator[Node]:
    for statement in statements:
        kind, fields = kind_of(statement["literal"])
        if kind in {"Expr", "NotExpr"}:
            yield fields["expr"]
        elif kind == "SomeIn":
            yield fields["collection"]
