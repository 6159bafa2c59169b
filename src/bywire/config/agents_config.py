"""agents.yaml, version 1: the agents that the operator registered beside the built-in ones (RULES 1, 20).

It lies in the operator directory, so that no change can widen what an agent may do. The published JSON Schema is
`bywire/schema/agents.schema.json`.
"""

from collections.abc import Collection
from typing import Any

from bywire.config.operator_config import ENVIRONMENTS, PERSON, instant_ms
from bywire.config.reading import Node, read_optional
from bywire.config.tool_names import TOOL, is_connected
from bywire.identity.registration import BUILT_IN, Pattern, Registration

FILE_NAME = "agents.yaml"
AGENT = r"agent:[a-z0-9][a-z0-9._-]{0,62}"
AGENTS_MAX = 500
TOOLS_MAX = 256
ACTIONS_MAX = 100_000
HEADER = (
    "# Agents beside the built-in ones. `bywire agents register` adds one; edit the file to change or remove one.\n"
)
_KEYS = ("id", "owner", "pattern", "tools", "environments", "budgets", "expires")
_REQUIRED = ("id", "owner", "pattern", "tools", "environments")


def parse(value: Any, source: str, *, people: Collection[str], tools: Collection[str]) -> tuple[Registration, ...]:
    """Parse agents.yaml (plain JSON value). Raises FieldError naming the first fault.

    `people` are the ids of operator.yaml, `tools` the names of the built-in contracts: an owner or a tool that does not
    exist is a spelling mistake, not a promise for later. A tool of an upstream may be missing: who takes its contract
    away has taken the tool from everybody, and no retreat waits for that to be tidied up.
    """
    fields = Node(value, source).fields(("version", "agents"), required=("version", "agents"))
    fields["version"].version(1)
    found: dict[str, Registration] = {}
    for item in fields["agents"].items("agents", least=0, most=AGENTS_MAX):
        registration = _registration(item, people, tools, connected=True)
        if registration.principal in found:
            raise item.refuse(f"{registration.principal} is listed twice", "merge the two entries")
        found[registration.principal] = registration
    return tuple(found.values())


def parse_agent(value: Any, source: str, *, people: Collection[str], tools: Collection[str]) -> Registration:
    """Parse one agent, as the file spells it; every tool must be in `tools`. Raises FieldError."""
    return _registration(Node(value, source), people, tools, connected=False)


def _registration(node: Node, people: Collection[str], tools: Collection[str], *, connected: bool) -> Registration:
    fields = node.fields(_KEYS, required=_REQUIRED)
    granted = _tools(fields["tools"], tools, connected=connected)
    budgets = fields["budgets"].fields(("actions_per_hour", "per_tool")) if "budgets" in fields else {}
    return Registration(
        principal=_principal(fields["id"]),
        owner=_owner(fields["owner"], people),
        pattern=Pattern(fields["pattern"].choice([str(pattern) for pattern in Pattern])),
        tools=granted,
        environments=_environments(fields["environments"]),
        actions_per_hour=read_optional(budgets, "actions_per_hour", _rate, None),
        tool_rates=read_optional(budgets, "per_tool", lambda item: _rates(item, granted), {}),
        expires_at_ms=read_optional(fields, "expires", instant_ms, None),
    )


def _principal(node: Node) -> str:
    principal = node.text("an agent such as agent:deploy-bot", pattern=AGENT)
    if principal in BUILT_IN:
        raise node.refuse(f"{principal} is built in and keeps the registration it came with", "choose another name")
    return principal


def _owner(node: Node, people: Collection[str]) -> str:
    owner = node.text("a person such as person:dana", pattern=PERSON)
    if owner not in people:
        raise node.refuse(f"{owner} is not one of the people", f"add {{id: {owner}}} to people in operator.yaml")
    return owner


def _tools(node: Node, known: Collection[str], *, connected: bool) -> tuple[str, ...]:
    names = []
    for item in node.items("tools", least=0, most=TOOLS_MAX, distinct=True):
        name = item.text("the name of a tool; there is no '*'", pattern=TOOL)
        is_known = name in known or (connected and is_connected(name))
        names.append(name if is_known else item.choice(sorted(known)))
    return tuple(names)


def _environments(node: Node) -> tuple[str, ...]:
    items = node.items("environments", least=1, most=len(ENVIRONMENTS), distinct=True)
    return tuple(item.choice(ENVIRONMENTS) for item in items)


def _rate(node: Node) -> int:
    return node.integer(1, ACTIONS_MAX)


def _rates(node: Node, granted: tuple[str, ...]) -> dict[str, int]:
    return {name: _rate(item) for name, item in node.fields(granted).items()}
