"""agent-policies/: what one agent may do, within which bounds (seed 003). Read here, compiled to Rego elsewhere.

A list of actions; what is not listed is denied to the agent. Every value is checked by kind and size, every name is
ASCII in one spelling, and what could never match is refused or warned of: a policy that means less than it says is how
an envelope gets holes. `config.agent_policy_bounds` reads the bounds of one action.
"""

from typing import Any

from bywire.config.agent_policy_actions import read_action
from bywire.config.agent_policy_bounds import read_agent_budgets, read_egress
from bywire.config.reading import Node, read_optional
from bywire.policy.agent_bounds import OPEN_CONNECTION, ActionBounds, AgentBounds

DIRECTORY = "agent-policies"
JSON_SUFFIX = ".json"
SUFFIXES = (".yaml", ".yml", JSON_SUFFIX)
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(?:ya?ml|json)"
BYTES_MAX = 65_536
FILES_MAX = 500
ACTIONS_MAX = 64
AGENT = r"(?:agent:)?[a-z0-9][a-z0-9_-]{0,62}"
_KEYS = ("version", "agent", "actions", "budgets", "egress")


def parse(value: Any, source: str) -> AgentBounds:
    """One agent's policy from a plain JSON value. Raises FieldError naming the first fault."""
    fields = Node(value, source).fields(_KEYS, required=("agent", "actions"))
    if "version" in fields:
        fields["version"].version(1)
    warnings: list[str] = []
    nodes = fields["actions"].items("actions", least=1, most=ACTIONS_MAX)
    actions = [read_action(node, warnings) for node in nodes]
    for node, action in zip(nodes, actions, strict=True):
        if sum(other.name == action.name for other in actions) > 1:
            raise node.refuse(f"the action {action.name} is listed twice", "merge the two")
    if "egress" in fields:
        if any(action.name == OPEN_CONNECTION for action in actions):
            raise fields["egress"].refuse(f"the action {OPEN_CONNECTION} is listed, too", "write its egress there")
        actions.append(ActionBounds(OPEN_CONNECTION, egress=read_egress(fields["egress"])))
    return AgentBounds(
        agent=_agent(fields["agent"]),
        actions=tuple(actions),
        budgets=read_optional(fields, "budgets", read_agent_budgets, ()),
        warnings=tuple(warnings),
    )


def _agent(node: Node) -> str:
    what = "an agent's name in lower-case ASCII letters, digits, - and _ (a name with a dot cannot have a policy)"
    name = node.text(what, pattern=AGENT).removeprefix("agent:")
    if name.endswith("_test"):
        raise node.refuse(f"{name} ends in _test, as the file of its tests would", "give the agent another name")
    return name
