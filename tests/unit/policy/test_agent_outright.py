"""What an agent's policy denies for certain: only what it denies of every question, and all that depends on nothing."""

import json

import pytest
import regorus
from bounds_strategies import ENVIRONMENTS, policies, questions
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_bounds_compiled import read, words

from bywire.policy.agent_outright import denied_outright
from bywire.policy.bundle import Module
from bywire.policy.compile_bounds import compiled

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
TOOLS = ("deploy", "github.scale", "gitlab.scale", "elsewhere")
EVERYWHERE = [(tool, environment) for tool in TOOLS for environment in ENVIRONMENTS]
HEAD = """package bywire.agents["deploy-manager"]

tool := object.get(input, ["action", "tool"], null)
"""


def outright(source, asked=EVERYWHERE):
    found = denied_outright("deploy-manager", Module("agents/deploy-manager.rego", source), asked)
    return {place: {rule.removeprefix("agents.deploy-manager.") for rule in rules} for place, rules in found.items()}


def of(**action):
    return compiled(read({"agent": "deploy-manager", "actions": [{"name": "deploy", **action}]}))


def written(*rules):
    """A policy by hand, whose denials are named w1, w2, ... in order."""
    denials = [
        f'deny contains {{"rule": "agents.deploy-manager.w{n}", "facts": {{}}}} if {{\n\t{body}\n}}'
        for n, body in enumerate(rules, 1)
    ]
    return "\n\n".join([HEAD.strip(), *denials]) + "\n"


@settings(max_examples=60, deadline=None, phases=PHASES)
@given(made=policies(), asked=st.lists(questions, min_size=8, max_size=8))
def test_what_is_denied_outright_is_denied_of_every_question(made, asked):
    bounds = read(made[0])
    if bounds is None:
        return
    source = compiled(bounds)
    found = outright(source)
    engine = regorus.Engine()
    engine.add_policy("agents/deploy-manager.rego", source)
    for question in asked:
        place = (question["action"].get("tool"), question["action"].get("environment"))
        if str(place) in map(str, found):
            engine.set_input_json(json.dumps(question))
            said = json.loads(engine.eval_rule_as_json('data.bywire.agents["deploy-manager"].deny'))
            assert found[place] <= words(said), question


def test_tools_and_environments_that_are_not_listed_are_found():
    found = outright(of(allowed_environments=["staging"], max_replicas=5, allowed_images=[{"digest": "sha256:..."}]))
    assert found["deploy", "staging"] == set()
    assert found["deploy", "production"] == found["deploy", "non-production"] == {"environment"}
    assert found["github.scale", "staging"] == {"tool_not_listed"}


def test_an_environment_that_an_approval_opens_is_not_denied_outright():
    found = outright(of(allowed_environments=["staging"], approval_needed='env == "production"'))
    assert found["deploy", "production"] == set()
    assert found["deploy", "non-production"] == {"environment"}
    # Some parameters open it, so that it is not denied of every call.
    found = outright(of(allowed_environments=["staging"], approval_needed='env == "production" and replicas > 50'))
    assert found["deploy", "production"] == set()


@pytest.mark.parametrize(
    "body",
    [
        'object.get(input, ["action", "parameters", "mode"], null) != 1',
        "input.action.parameters.mode == 1",
        "not input.action.meaning.replicas",
        "some name, value in input.action\n\tname != value",
        "count(input) == 2",
        'not object.get(input, ["action"], null).parameters',
        'object.get(input, "change", null) == null',
        "not uses_parameters",
        'at("parameters") == null',
        'every name in ["parameters"] {\n\t\tobject.get(input.action, name, null) == null\n\t}',
        "count([1 | not input.state.budget]) == 1",
    ],
)
def test_a_rule_that_looks_at_a_call_says_nothing_of_all_calls(body):
    more = '\nuses_parameters if input.action.parameters.x\n\nat(name) := object.get(input, ["action", name], null)\n'
    source = written('tool == "deploy"', body) + more
    assert outright(source, [("deploy", "staging"), ("other", "staging")]) == {
        ("deploy", "staging"): {"w1"},
        ("other", "staging"): set(),
    }


def test_rules_by_hand_are_read_too_with_what_they_use():
    source = written(
        "not known", 'input.principal.id == "agent:deploy-manager"\n\tinput.action.environment == "staging"'
    )
    source += '\nknown if tool in {"deploy"}\n\nknown if startswith(tool, "github.")\n'
    found = outright(source)
    assert found["deploy", "production"] == found["github.scale", "production"] == set()
    assert found["elsewhere", "production"] == {"w1"}
    assert found["deploy", "staging"] == {"w2"}


def test_one_rule_of_two_with_one_name_is_enough_to_say_nothing():
    source = written("not known") + '\nknown if tool == "deploy"\n\nknown if input.action.dry_run\n'
    assert outright(source)["elsewhere", "staging"] == set()


def test_a_rule_that_breaks_is_not_taken_for_a_denial():
    source = written("to_number(tool) == 1")
    assert outright(source)["deploy", "staging"] == set()
