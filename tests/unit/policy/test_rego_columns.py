"""An agent policy of any size that its file may have is read by the engine: no line is too long for it."""

import json

import pytest
import regorus

from bywire.config import agent_policy
from bywire.policy.agent_bounds import Tool, resolved
from bywire.policy.bounds_proofs import proofs_of
from bywire.policy.compile_bounds import compiled
from bywire.policy.rego_columns import COLUMNS_MAX, narrowed

TOOLS = tuple(Tool(f"upstream.a_tool_with_a_long_name_{number:03d}") for number in range(64))
ONE = {"name": TOOLS[0].name}
MANY = {
    "tools": [{"name": tool.name} for tool in TOOLS],
    "hosts": [{**ONE, "egress": [f"host-{number:03d}.of-a-long-domain.example" for number in range(128)]}],
    "images": [{**ONE, "allowed_images": [{"digest": f"sha256:{number:064x}"} for number in range(128)]}],
    "commands": [{**ONE, "allowed_commands": [f"program-{number} with-some more-words" for number in range(64)]}],
    "choices": [{**ONE, "parameters": {"p": {"one_of": [f'choice, "{number}" of some' for number in range(64)]}}}],
    "a long text": [{**ONE, "parameters": {"p": {"equals": "x" * 1_000}}}],
}


@pytest.mark.parametrize("name", MANY)
def test_a_large_policy_is_read(name):
    bounds = resolved(agent_policy.parse({"agent": "wide", "actions": MANY[name]}, "wide.yaml"), TOOLS)
    for text in (compiled(bounds), proofs_of(bounds)):
        regorus.Engine().add_policy("wide.rego", text)


def test_what_is_broken_over_lines_means_the_same():
    values = [f'a, "quoted" \\ {number}' for number in range(200)]
    line = f"found := {json.dumps(values)}"
    assert len(line) > COLUMNS_MAX
    text = narrowed(f"package wide\n\n# {line}\n\n{line}\n")
    assert f"# {line}" in text, "a comment is not broken: its second line would be code"
    engine = regorus.Engine()
    engine.add_policy("wide.rego", text.replace(f"# {line}", "#"))
    assert engine.eval_rule("data.wide.found") == values
