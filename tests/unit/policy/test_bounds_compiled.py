"""Compiled agent policies mean what their YAML says: against an independent reference, on both engines."""

import json

import pytest
import regorus
from bounds_reference import judged
from bounds_strategies import policies, questions
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from knowledge import ACTION, bundle, files, fixture, merged

from bywire.adapters import policy_opa
from bywire.config import agent_policy
from bywire.config.reading import FieldError
from bywire.policy import lint, regotest
from bywire.policy.agent_bounds import Tool, resolved
from bywire.policy.agent_policies import DISPATCHES
from bywire.policy.bounds_proofs import proofs_of
from bywire.policy.bundle import parse_bundle
from bywire.policy.compile_bounds import compiled
from bywire.policy.engine import PolicyEngine

# Examples are small; shrinking one that fails takes minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
TOOLS = tuple(Tool(name) for name in ("deploy", "github.scale", "gitlab.scale"))
MEANT = {"deploy": {"deploy"}, "scale": {"github.scale", "gitlab.scale"}, "github.scale": {"github.scale"}}
PACKAGE = 'data.bywire.agents["deploy-manager"]'
SHARED = "\n".join(
    [
        "package bywire.a\n\ndefault decision := {}",
        *(f"of_{name} contains x if some x in {form}" for name, form in DISPATCHES.items()),
    ]
)
MANIFEST = json.dumps({"revision": 1, "input_version": 1, "entrypoints": ["data.bywire.a.decision"]})


def read(document, source="deploy-manager.yaml"):
    """The bounds, or None where the condition can never hold: that is refused with its reason."""
    try:
        return resolved(agent_policy.parse(document, source), TOOLS)
    except FieldError as error:
        assert "never be true" in error.message or "could never hold" in error.message, error.message
        return None


def expected(document, asks, question):
    tools = [MEANT[action["name"]] for action in document["actions"]]
    tool = question["action"]["tool"]
    ask = next((ask for names, ask in zip(tools, asks, strict=True) if isinstance(tool, str) and tool in names), None)
    return judged(document, tools, question, ask)


def words(members):
    return {member["rule"].removeprefix("agents.deploy-manager.") for member in members}


def answering(source):
    """A function from a question to what the module says of it."""
    engine = regorus.Engine()
    engine.add_policy("agents/deploy-manager.rego", source)

    def said(question):
        engine.set_input_json(json.dumps(question))
        asks = "approval contains" in source and engine.eval_rule_as_json(f"{PACKAGE}.approval") != "[]"
        return words(json.loads(engine.eval_rule_as_json(f"{PACKAGE}.deny"))), asks

    return said


@settings(max_examples=150, deadline=None, phases=PHASES)
@given(made=policies(), asked=st.lists(questions, min_size=8, max_size=8))
def test_a_compiled_policy_means_what_its_yaml_says(made, asked):
    document, asks = made
    bounds = read(document)
    if bounds is None:
        return
    said = answering(compiled(bounds))
    for question in asked:
        assert said(question) == expected(document, asks, question), (document, question)


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(made=policies())
def test_its_own_tests_prove_every_rule(made):
    document, _ = made
    bounds = read(document)
    if bounds is None:
        return
    own = {"agents/deploy-manager.rego": compiled(bounds), "agents/deploy-manager_test.rego": proofs_of(bounds)}
    texts = {"manifest.json": MANIFEST, "a.rego": SHARED} | own
    candidate = parse_bundle({name: text.encode() for name, text in texts.items()})
    assert lint.lint(candidate) == ()
    lint.compile_rules(candidate)
    report = regotest.run_bundle(candidate)
    assert (report.failed, report.unproved) == ((), ()), document


@pytest.mark.skipif(not policy_opa.find_opa().startswith("bindings:"), reason="no OPA here")
@settings(max_examples=15, deadline=None, phases=PHASES)
@given(made=policies(), asked=st.lists(questions, min_size=12, max_size=12))
def test_open_policy_agent_reads_it_the_same(made, asked):
    document, asks = made
    bounds = read(document)
    if bounds is None:
        return
    source = compiled(bounds)
    sets = ["deny"] + ["approval"] * ("approval contains" in source)
    asking = "\n".join(
        f"{name}_{n} := it if {{ it := {{m.rule | some m in {PACKAGE}.{name}}} with input as {json.dumps(question)} }}"
        for n, question in enumerate(asked)
        for name in sets
    )
    opa = policy_opa.opa_at(policy_opa.find_opa())
    (found,) = opa(
        {"own.rego": source, "asking.rego": f"package asking\n\n{asking}\n"}, "{}", ("data.asking",)
    ).values()
    for n, question in enumerate(asked):
        denied = words({"rule": rule} for rule in found[f"deny_{n}"])
        assert (denied, bool(found.get(f"approval_{n}"))) == expected(document, asks, question)


LIMITED = {
    "agent": "deploy-manager",
    "actions": [{"name": "deploy", "rate": "2/second"}, {"name": "scale"}],
    "budgets": {"per_minute": 5, "environments": {"production": {"per_minute": {"tokens": 1}}}},
}
LATELY = {"unit": "actions", "observed": 5_000, "asked": 1_000, "frees_at_ms": 1_250}
OWN = "principal:agent:deploy-manager"


def limited(*usage, tool="deploy", environment="staging"):
    return {"now_ms": 1_000, "action": {"tool": tool, "environment": environment}, "state": {"usage": usage}}


@pytest.mark.parametrize(
    ("question", "facts"),
    [
        (limited({**LATELY, "scope": OWN, "period": "minute"}), [("minute", 250)]),
        (limited({**LATELY, "scope": OWN, "period": "minute", "observed": 4_000}), []),
        (limited({**LATELY, "scope": OWN, "period": "minute", "asked": 5_001}), [("minute", None)]),
        (limited({**LATELY, "scope": OWN, "period": "minute", "frees_at_ms": "1250"}), [("minute", None)]),
        (limited({**LATELY, "scope": f"{OWN}|tool:deploy", "period": "second"}), [("second", 250)]),
        (limited({**LATELY, "scope": f"{OWN}|tool:deploy", "period": "second"}, tool="github.scale"), []),
        (limited({**LATELY, "scope": f"{OWN}x", "period": "minute"}), []),
        (
            limited(
                {**LATELY, "unit": "tokens", "scope": f"{OWN}|environment:production", "period": "minute"},
                environment="production",
            ),
            [("minute", 250)],
        ),
        (limited({**LATELY, "unit": "tokens", "scope": f"{OWN}|environment:production", "period": "minute"}), []),
    ],
)
def test_a_limit_that_is_used_up_says_when_there_is_room_on_both_engines(question, facts):
    source = compiled(read(LIMITED))
    engine = regorus.Engine()
    engine.add_policy("own.rego", source)
    engine.set_input_json(json.dumps(question))
    found = [json.loads(engine.eval_rule_as_json(f"{PACKAGE}.deny"))]
    if policy_opa.find_opa().startswith("bindings:"):
        asking = f"package asking\n\ndenied := it if {{ it := {PACKAGE}.deny with input as {json.dumps(question)} }}\n"
        opa = policy_opa.opa_at(policy_opa.find_opa())
        (said,) = opa({"own.rego": source, "asking.rego": asking}, "{}", ("data.asking",)).values()
        found.append(said["denied"])
    for denied_by in found:
        told = [one["facts"] for one in denied_by if one["rule"].endswith(".budget")]
        assert [(one["period"], one["retry_after_ms"]) for one in told] == facts


def test_what_an_agents_budgets_count_is_said_with_the_scope():
    engine = regorus.Engine()
    engine.add_policy("own.rego", compiled(read(LIMITED)))
    engine.set_input_json(json.dumps(limited(environment="production")))
    common = {"because": "agents.deploy-manager.budget"}
    assert json.loads(engine.eval_rule_as_json(f"{PACKAGE}.debits")) == [
        {**common, "limit": 1_000, "period": "minute", "unit": "tokens", "environment": "production"},
        {**common, "limit": 2_000, "period": "second", "unit": "actions", "tool": "deploy"},
        {**common, "limit": 5_000, "period": "minute", "unit": "actions"},
    ]


def test_a_recorded_question_is_decided_otherwise_by_a_wider_limit():
    """As `policy replay` does: what was counted is in the recorded question."""
    usage = {**LATELY, "scope": OWN, "period": "minute", "frees_at_ms": fixture("called")["now_ms"] + 700}
    document = {"agent": "x", "actions": [{"name": "github.do_it"}]}
    agent = fixture("called")["principal"]["id"].removeprefix("agent:")
    asked = merged(fixture("called"), {"state": {"usage": [{**usage, "scope": f"principal:agent:{agent}"}]}})
    effects = []
    for most in (5, 6):
        bounds = resolved(
            agent_policy.parse({**document, "agent": agent, "budgets": {"per_minute": most}}, "x.yaml"),
            (Tool("github.do_it"),),
        )
        own = {f"agents/{agent}.rego": compiled(bounds).encode()}
        engine = PolicyEngine(parse_bundle(files() | own), linted=True)
        decided = engine.decide(ACTION, asked)
        assert engine.replay(ACTION, json.dumps(asked).encode()) == decided
        effects.append((decided.effect, [reason.facts.get("retry_after_ms") for reason in decided.reasons]))
        engine.release()
    assert effects[0] == ("deny", [700])
    assert effects[1][0] == WITHOUT.decide(ACTION, asked).effect == "allow"


SEVERITY = {"allow": 0, "sanitize": 1, "approval_needed": 2, "deny": 3}
WITHOUT = PolicyEngine(bundle(), linted=True)


@settings(max_examples=15, deadline=None, phases=PHASES)
@given(made=policies(), asked=st.lists(questions, min_size=3, max_size=3))
def test_no_policy_of_an_agent_ever_allows_more(made, asked):
    bounds = read(made[0])
    if bounds is None:
        return
    own = {"agents/deploy-manager.rego": compiled(bounds).encode()}
    with_it = PolicyEngine(parse_bundle(files() | own), linted=True)
    for question in asked:
        action = {name: question["action"][name] for name in ("parameters", "meaning")}
        tried = merged(fixture("called"), {"action": action, "state": question["state"]})
        before, after = WITHOUT.decide(ACTION, tried), with_it.decide(ACTION, tried)
        assert SEVERITY[after.effect] >= SEVERITY[before.effect]
    with_it.release()


def denied(action, told):
    """The words that refuse `told` of `deploy` to an agent with this one action, and whether a person is asked."""
    document = {"agent": "deploy-manager", "actions": [{"name": "deploy", **action}]}
    question = {"action": {"tool": "deploy", "environment": "staging", **told}, "state": {"usage": []}}
    return answering(compiled(read(document)))(question)


@pytest.mark.parametrize(
    ("condition", "environment", "replicas", "is_denied"),
    [
        ("replicas > 10", "production", 11, True),
        (True, "production", 11, True),
        ('env == "production"', "production", None, False),
        ('env == "production"', "non-production", None, True),
        ('env == "production" and replicas > 10', "production", 11, False),
        ('env == "production" and replicas > 10', "production", 10, True),
        ('env == "production" and replicas > 10', "production", None, True),
        ('env == "production" or replicas > 10', "production", 11, True),
        ('env == "production" or replicas > 10', "production", 5, False),
        ('env == "production" or replicas > 10', "non-production", 11, True),
        ('env == "production" or env != "production"', "production", 11, True),
    ],
)
def test_only_a_condition_on_the_environment_lifts_the_environment(condition, environment, replicas, is_denied):
    bounds = {"allowed_environments": ["staging"], "approval_needed": condition}
    refused, _ = denied(bounds, {"environment": environment, "meaning": {"replicas": replicas}})
    assert refused == ({"environment"} if is_denied else set())


@pytest.mark.parametrize(
    ("path", "rule"),
    [("spec.replicas", {"max": 5, "optional": True}), ("spec.replicas", {"forbidden": True})],
)
@pytest.mark.parametrize(
    ("parameters", "is_denied"),
    [
        ({}, False),
        ({"spec": {}}, False),
        ({"spec": None}, False),
        ({"spec": [{"replicas": 9}]}, True),
        ({"spec": '{"replicas": 9}'}, True),
        ({"spec": True}, True),
        ({"spec.replicas": 9}, True),
        ({"spec": {"replicas": 9}}, True),
    ],
)
def test_a_bound_below_an_object_is_passed_in_no_other_shape(path, rule, parameters, is_denied):
    refused, _ = denied({"parameters": {path: rule}}, {"parameters": parameters})
    assert refused == ({"parameter"} if is_denied else set())


@pytest.mark.parametrize(
    "parameters",
    [
        {"a.b.c": 9},
        {"a.b": {"c": 9}},
        {"a": {"b.c": 9}},
        {"a": {"b": [9]}},
    ],
)
def test_a_way_is_not_shortened_by_dots(parameters):
    assert denied({"parameters": {"a.b.c": {"forbidden": True}}}, {"parameters": parameters})[0] == {"parameter"}


@pytest.mark.parametrize(
    ("meaning", "is_denied"),
    [
        ({"hosts": [], "endpoints": []}, True),
        ({"hosts": ["api.example.com"], "endpoints": []}, False),
        ({"hosts": ["api.example.com"], "endpoints": ["api.example.com:443"]}, False),
        ({"hosts": ["api.example.com"], "endpoints": ["api.example.com:22"]}, True),
        ({"hosts": ["api.example.com"], "endpoints": ["api.example.com:?"]}, True),
        ({"hosts": ["api.example.com"] * 2, "endpoints": ["api.example.com:443", "api.example.com:80"]}, True),
    ],
)
def test_egress_holds_the_port_and_takes_nothing_for_no_host(meaning, is_denied):
    refused, _ = denied({"egress": ["api.example.com:443"]}, {"meaning": meaning})
    assert refused == ({"egress"} if is_denied else set())


PINNED, LISTED = "registry.example/app@sha256:" + "b" * 64, "registry.example/app@sha256:" + "a" * 64
ASKING = {
    "allowed_images": [{"digest": "sha256:" + "a" * 64}],
    "max_replicas": 50,
    "max_amount": 100,
    "currency": "EUR",
    "otherwise": "approval",
}
WITHIN = {"images": [LISTED], "replicas": 50, "amount": 100, "currency": "EUR"}


@pytest.mark.parametrize(
    ("meaning", "refused", "asks"),
    [
        ({}, set(), False),
        ({"images": [PINNED]}, set(), True),
        ({"replicas": 200}, set(), True),
        ({"amount": 100.5}, set(), True),
        ({"images": [PINNED, LISTED], "replicas": 51}, set(), True),
        ({"images": ["registry.example/app:latest"]}, {"image_not_allowed"}, False),
        ({"images": [PINNED, "registry.example/app:latest"]}, {"image_not_allowed"}, True),
        ({"images": ["sha256:" + "b" * 64]}, {"image_not_allowed"}, False),
        ({"images": []}, {"image_not_allowed"}, False),
        ({"images": None}, {"image_not_allowed"}, False),
        ({"replicas": None}, {"max_replicas"}, False),
        ({"replicas": "200"}, {"max_replicas"}, False),
        ({"replicas": -1}, {"max_replicas"}, False),
        ({"amount": True}, {"max_amount"}, False),
        ({"amount": 101, "currency": "USD"}, {"currency"}, True),
    ],
)
def test_beyond_a_bound_a_person_decides_on_what_is_named_and_told(meaning, refused, asks):
    told = {name: value for name, value in {**WITHIN, **meaning}.items() if value is not None}
    assert denied(ASKING, {"meaning": told}) == (refused, asks)
    always, never = denied({**ASKING, "otherwise": "deny"}, {"meaning": told})
    assert never is False
    assert always >= refused
    assert bool(always) == bool(refused or asks)
