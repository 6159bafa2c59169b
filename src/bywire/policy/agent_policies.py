"""An agent's own policy, `agents/NAME.rego` of a bundle: what `agent:NAME` may not do although the others may.

It is one module, `package bywire.agents.NAME` (or `bywire.agents["NAME"]`), with one rule that counts: the set `deny`
of `{"rule": "agents.NAME.<word>", "facts": {...}}`. It reads `input` and its own rules and nothing else, so that it can
be evaluated apart from every other agent's. The shared modules ask it in one form only, DISPATCH: an agent's policy is
asked about its own agent, can only deny, and cannot be reached in any other way.
"""

from collections.abc import Iterator

import msgspec

from bywire.policy.bundle import Module
from bywire.policy.findings import Finding
from bywire.policy.rego_syntax import ParsedModule, Place, kind_of
from bywire.policy.rule_index import RuleSite

AGENTS = "bywire.agents"
DENY = "deny"
DISPATCH = 'data.bywire.agents[trim_prefix(input.principal.id, "agent:")].deny'
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


def deny_rule(agent: str) -> str:
    """The full name of an agent's `deny`."""
    return f'data.{AGENTS}["{agent}"].{DENY}'


def is_dispatch(text: str) -> bool:
    """Whether a reference is written as DISPATCH; spaces do not matter."""
    return "".join(text.split()) == "".join(DISPATCH.split())


def shape_findings(agent: str, module: Module, parsed: ParsedModule, sites: dict[str, RuleSite]) -> Iterator[Finding]:
    """What an agent's policy must be beside what every module must be."""
    top = Place(module.path, 1, 1)
    if parsed.package != f"{AGENTS}.{agent}":
        yield Finding(top, f"package {parsed.package} is not {AGENTS}.{agent}", f'name it {AGENTS}["{agent}"]')
    for alias, (_, place) in parsed.imports.items():
        yield Finding(place, f"an agent's policy imports {alias}", "read `input` and rules of the same file only")
    if not any(rule.name == DENY and rule.kind == "set" for rule in parsed.rules):
        yield Finding(top, "there is no set `deny`", 'write `deny contains {"rule": ..., "facts": {...}} if { ... }`')
    for rule in parsed.rules:
        if rule.name == DENY and rule.kind != "set":
            yield Finding(rule.place, "`deny` is not a set", "write `deny contains ... if`")
    for site in sites.values():
        if not site.rule.startswith(f"agents.{agent}."):
            yield Finding(site.place, f"rule {site.rule} is not this agent's", f"call it agents.{agent}.<word>")


def is_dispatching(parsed: ParsedModule) -> bool:
    """Whether a shared module asks the agents' policies."""
    return any(is_dispatch(parsed.name_at(span)) for span in _references(parsed))


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
