"""An agent's own policy, `agents/NAME.rego` of a bundle: what `agent:NAME` may not do although the others may.

It is one module, `package bywire.agents.NAME` (or `bywire.agents["NAME"]`), with three rules that count. The set `deny`
of `{"rule": "agents.NAME.<word>", "facts": {...}}` refuses. The set `approval`, of the same shape, asks for a person.
The set `debits` of `{"unit", "period", "limit", ...}` says what is to be counted when the action is done. All three
are objections: none of them can allow anything. The module reads `input` and its own rules and nothing else, so that it
can be evaluated apart from every other agent's. The shared modules ask it in one fixed form for each set, DISPATCHES:
an agent's policy is asked about its own agent and cannot be reached in any other way.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from bywire.model.windows import PERIOD_MS
from bywire.policy.bundle import Module
from bywire.policy.findings import Finding
from bywire.policy.rego_syntax import Node, ParsedModule, Place, Rule, kind_of, parse_module
from bywire.policy.rule_index import RuleSite

AGENTS = "bywire.agents"
DENY, APPROVAL, DEBITS = "deny", "approval", "debits"
SETS = (DENY, APPROVAL, DEBITS)
DISPATCHES = {name: f'data.bywire.agents[trim_prefix(input.principal.id, "agent:")].{name}' for name in SETS}
DISPATCH = DISPATCHES[DENY]
# The member of the question under which the interpreter hands over what an agent's policy says.
SAID = "agents/own"
DEBIT_KEYS = frozenset({"unit", "period", "limit", "because", "tool", "environment"})
_DEBIT_REQUIRED = frozenset({"unit", "period", "limit", "because"})
_PREFIX = "agent:"


class _Principal(msgspec.Struct, frozen=True):
    id: str


class _Asking(msgspec.Struct, frozen=True):
    principal: _Principal


_ASKING = msgspec.json.Decoder(_Asking)


def asking_agent(question: str) -> str:
    """The name of the agent that asks, as DISPATCH reads it; empty for anybody else."""
    try:
        principal = _ASKING.decode(question).principal.id
    except msgspec.MsgspecError:
        return ""
    return principal.removeprefix(_PREFIX) if principal.startswith(_PREFIX) else ""


def set_rule(agent: str, name: str) -> str:
    """The full name of one of an agent's sets."""
    return f'data.{AGENTS}["{agent}"].{name}'


def declared_sets(parsed: ParsedModule) -> tuple[str, ...]:
    """Which of the sets that count a module has."""
    found = {rule.name for rule in parsed.rules if rule.kind == "set"}
    return tuple(name for name in SETS if name in found)


def written_debits(parsed: ParsedModule) -> Iterator[dict[str, Any]]:
    """What a policy that passed the lint can have counted: each member of `debits`, as it is written."""
    for rule in parsed.rules:
        if rule.name == DEBITS and rule.kind == "set" and rule.value is not None:
            yield {key: value for key, _, value in _pairs(kind_of(rule.value)[1])}


def is_dispatch(text: str, name: str = "") -> bool:
    """Whether a reference is written as one of DISPATCHES (as that of the set `name`); spaces do not matter."""
    forms = (DISPATCHES[name],) if name else DISPATCHES.values()
    return "".join(text.split()) in {"".join(form.split()) for form in forms}


def shape_findings(agent: str, module: Module, parsed: ParsedModule, sites: dict[str, RuleSite]) -> Iterator[Finding]:
    """What an agent's policy must be beside what every module must be."""
    top = Place(module.path, 1, 1)
    if parsed.package != f"{AGENTS}.{agent}":
        yield Finding(top, f"package {parsed.package} is not {AGENTS}.{agent}", f'name it {AGENTS}["{agent}"]')
    for alias, (_, place) in parsed.imports.items():
        yield Finding(place, f"an agent's policy imports {alias}", "read `input` and rules of the same file only")
    if DENY not in declared_sets(parsed):
        yield Finding(top, "there is no set `deny`", 'write `deny contains {"rule": ..., "facts": {...}} if { ... }`')
    for rule in parsed.rules:
        if rule.name in SETS and rule.kind != "set":
            yield Finding(rule.place, f"`{rule.name}` is not a set", f"write `{rule.name} contains ... if`")
        elif rule.name in SETS:
            yield from _member_findings(rule)
    for site in sites.values():
        if not site.rule.startswith(f"agents.{agent}."):
            yield Finding(site.place, f"rule {site.rule} is not this agent's", f"call it agents.{agent}.<word>")


def _member_findings(rule: Rule) -> Iterator[Finding]:
    """Each member is written in place, so that what it can be is read from the text and not computed."""
    kind, fields = kind_of(rule.value) if rule.value is not None else ("", {})
    keys = {kind_of(key)[1].get("value") for _, key, _ in fields["fields"]} if kind == "Object" else set()
    if rule.name != DEBITS and keys != {"rule", "facts"}:
        yield Finding(
            rule.place,
            f"a member of `{rule.name}` is not written in place",
            f'write `{rule.name} contains {{"rule": "...", "facts": {{...}}}} if`',
        )
    if rule.name == DEBITS and not (
        _DEBIT_REQUIRED <= keys <= DEBIT_KEYS and all(map(_is_debit_field, _pairs(fields)))
    ):
        yield Finding(
            rule.place,
            "a member of `debits` is not a debit written in place",
            'write {"unit": "...", "period": "second", "minute", "hour" or "day", "limit": thousandths, "because":'
            ' "agents.NAME.<word>"}, and "tool" or "environment" where it counts for that one alone',
        )


def _pairs(fields: Node) -> Iterator[tuple[Any, str, Any]]:
    """(key, kind of the value, value) of the members of an object that is written in place."""
    for _, key, value in fields["fields"]:
        kind, inside = kind_of(value)
        yield kind_of(key)[1].get("value"), kind, inside.get("value")


def _is_debit_field(pair: tuple[Any, str, Any]) -> bool:
    key, kind, value = pair
    if key == "limit":
        return kind == "Number" and isinstance(value, int) and value >= 0
    return kind == "String" and (key != "period" or value in PERIOD_MS)


def dispatched_sets(parsed: ParsedModule) -> frozenset[str]:
    """Which sets of the agents' policies a shared module asks for."""
    if AGENTS not in parsed.source:
        return frozenset()
    texts = [parsed.name_at(span) for span in _references(parsed)]
    return frozenset(name for name in SETS if any(is_dispatch(text, name) for text in texts))


def reading_said(module: Module) -> str:
    """The text of a shared module whose dispatches read `input[SAID]`, where the interpreter puts what they ask for."""
    if AGENTS not in module.source:
        return module.source
    parsed, source = parse_module(module), module.source.encode()
    spans = [(span, name) for span in _references(parsed) for name in SETS if is_dispatch(parsed.name_at(span), name)]
    for span, name in sorted(spans, key=lambda found: int(found[0]["start"]), reverse=True):
        source = source[: span["start"]] + f'input["{SAID}"].{name}'.encode() + source[span["end"] :]
    return source.decode()


def _references(parsed: ParsedModule) -> Iterator[dict[str, int]]:
    """The spans of all references, computed or not, in the module's rules."""
    stack: list[object] = [list(rule.bodies) for rule in parsed.rules]
    stack += [rule.value for rule in parsed.rules]
    while stack:
        node = stack.pop()
        if isinstance(node, msgspec.Struct):
            stack += [getattr(node, name) for name in node.__struct_fields__]
        elif isinstance(node, list | tuple):
            stack += node
        elif isinstance(node, dict):
            if "RefDot" in node:
                yield kind_of(node)[1]["span"]
            stack += node.values()
