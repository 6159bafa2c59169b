"""Policies of single agents: asked about their own agent, in an engine of their own, as if all stood in one."""

import json

import msgspec
import pytest
import regorus
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.model.decision import Effect
from bywire.policy import lint, regotest
from bywire.policy.agent_policies import DISPATCH, DISPATCHES, asking_agent
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine, interpreter

DECISION = "data.bywire.a.decision"
MANIFEST = json.dumps({"revision": 1, "input_version": 1, "entrypoints": [DECISION]}).encode()
DOCUMENT = '{"effect": effect, "reasons": reasons, "obligations": [], "tier": "low", "required": {}}'
SHARED = f"""package bywire.a

default decision := {{}}
decision := {DOCUMENT}
denials contains {{"rule": "a.shared", "facts": {{}}}} if input.shared
denials contains denial if some denial in {DISPATCH}
denied := [object.union(denial, {{"hard": false}}) | some denial in denials]
reasons := array.concat(denied, [{{"rule": "a.end", "facts": {{}}}}])
effect := "deny" if count(denials) > 0
else := "allow"
"""


def own(name, limit, word="weight"):
    return f"""package bywire.agents["{name}"]

deny contains {{"rule": "agents.{name}.{word}", "facts": {{"weight": input.weight, "limit": limit}}}} if {{
	input.weight > limit
}}

limit := {limit}
"""


def files(shared=SHARED, **agents):
    named = {name.replace("__", "-"): text for name, text in agents.items()}
    return {
        "manifest.json": MANIFEST,
        "a.rego": shared.encode(),
        **{f"agents/{name}.rego": text.encode() for name, text in named.items()},
    }


FILES = files(web__1=own("web-1", 10), db=own("db", 20), slow=own("slow", 5).replace('["slow"]', ".slow"))
BUNDLE = parse_bundle(FILES)
ENGINE = PolicyEngine(BUNDLE)


def asking(principal, weight=0, **more):
    return {"principal": {"id": principal}, "weight": weight, **more}


def rules(question, engine=ENGINE):
    return sorted(reason.rule for reason in engine.decide(DECISION, question).reasons)


def test_an_agents_policy_denies_what_the_others_may():
    assert rules(asking("agent:web-1", 11)) == ["a.end", "agents.web-1.weight"]
    assert rules(asking("agent:db", 11)) == ["a.end"]
    assert rules(asking("agent:slow", 11)) == ["a.end", "agents.slow.weight"]
    decision = ENGINE.decide(DECISION, asking("agent:web-1", 11))
    assert decision.effect is Effect.DENY
    assert decision.reasons[0].facts in ({}, {"weight": 11, "limit": 10})


def test_it_only_adds_to_what_all_are_denied():
    assert rules(asking("agent:web-1", 11, shared=True)) == ["a.end", "a.shared", "agents.web-1.weight"]


@pytest.mark.parametrize(
    "principal", ["person:web-1", "workload:web-1", "web-1", "agent:", "agent:other", "agent:WEB-1", "agent:web_1", ""]
)
def test_nobody_else_is_asked_about(principal):
    assert rules(asking(principal, 99)) == ["a.end"]


@pytest.mark.parametrize("question", [{}, {"principal": None}, {"principal": {"id": 1}}, {"principal": {}}])
def test_who_does_not_say_who_asks_has_no_policy(question):
    assert asking_agent(json.dumps(question)) == ""


def test_a_denial_of_one_agent_leaves_no_trace_for_the_next():
    for _ in range(3):
        assert "agents.web-1.weight" in rules(asking("agent:web-1", 11))
        assert rules(asking("agent:db", 1)) == ["a.end"]
        assert rules(asking("agent:web-1", 1)) == ["a.end"]


def test_a_policy_that_breaks_denies():
    broken = own("web-1", 1).replace("limit := 1", "limit := 1 / input.zero")
    engine = PolicyEngine(parse_bundle(files(web__1=broken)))
    decision = engine.decide(DECISION, asking("agent:web-1", 3, zero=0))
    assert (decision.effect, decision.reasons[0].rule) == (Effect.DENY, "engine.error")
    assert rules(asking("agent:db", 3, zero=0), engine) == ["a.end"]


def test_engines_of_agents_are_bounded(monkeypatch):
    monkeypatch.setattr(interpreter, "AGENT_ENGINES_MAX", 2)
    built = interpreter.Interpreter(interpreter.Compiled.of(BUNDLE))
    for _ in range(2):
        for name in ("web-1", "db", "slow"):
            answer = json.loads(built.answer(DECISION, json.dumps(asking(f"agent:{name}", 99))))
            assert f"agents.{name}.weight" in {reason["rule"] for reason in answer["reasons"]}
            assert len(built._agents) <= 2


def whole():
    """Everything in one engine: what DISPATCH means."""
    engine = regorus.Engine()
    for module in (*BUNDLE.modules, *BUNDLE.agents.values()):
        engine.add_policy(module.path, module.source)
    engine.add_data_json(BUNDLE.data_json())
    return engine


WHOLE = whole()


@settings(max_examples=80, deadline=None)
@given(
    principal=st.sampled_from(["agent:web-1", "agent:db", "agent:slow", "agent:other", "person:db", "agent:agent:db"]),
    weight=st.one_of(st.integers(0, 30), st.none(), st.text(max_size=2)),
    shared=st.sampled_from([True, False, None]),
)
def test_apart_is_as_if_together(principal, weight, shared):
    question = asking(principal, weight, shared=shared)
    WHOLE.set_input_json(json.dumps(question))
    expected = json.loads(WHOLE.eval_rule_as_json(DECISION))
    decision = ENGINE.decide(DECISION, question)
    assert decision.effect == expected["effect"]
    assert rules(question) == sorted(reason["rule"] for reason in expected["reasons"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("package bywire.agents.other\ndeny contains 1 if false", "is not bywire.agents.db"),
        ("package bywire.db\ndeny contains 1 if false", "is not bywire.agents.db"),
        (own("db", 1).replace("agents.db.weight", "a.shared"), "not this agent's"),
        (own("db", 1).replace("agents.db.weight", "agents.web.weight"), "not this agent's"),
        ("package bywire.agents.db\nimport data.bywire.a\ndeny contains 1 if a.denials", "imports a"),
        ("package bywire.agents.db\ndeny contains 1 if data.bywire.a.denials", "is not defined"),
        ("package bywire.agents.db\ndeny contains 1 if data.bywire.table.t.x", "is not defined"),
        (f"package bywire.agents.db\ndeny contains d if some d in {DISPATCH}", "is not defined"),
        ("package bywire.agents.db\nallow if true", "there is no set `deny`"),
        ("package bywire.agents.db\ndeny := {1}", "there is no set `deny`"),
        ("package bywire.agents.db\ndeny contains x if x := time.now_ns()", "reads the clock"),
        ("package bywire.agents.db\ndeny contains x if some x in deny", "depends on itself"),
    ],
)
def test_what_an_agents_policy_may_not_be(text, told):
    findings = [str(finding) for finding in lint.lint(parse_bundle(files(db=text)))]
    assert any(told in finding for finding in findings), findings


@pytest.mark.parametrize(
    "reference",
    [
        "data.bywire.agents.db.deny",
        'data.bywire.agents["db"].deny',
        "data.bywire.agents[input.principal.id].deny",
        'data.bywire.agents[trim_prefix(input.principal.id, "agent:")].allow',
        'data.bywire.agents[trim_prefix(input.owner, "agent:")].deny',
    ],
)
def test_an_agents_policy_is_reached_in_one_way_only(reference):
    more = f"\ndenials contains denial if some denial in {reference}\n"
    findings = [str(finding) for finding in lint.lint(parse_bundle(files(SHARED + more, db=own("db", 1))))]
    assert any("data.bywire.agents" in finding and "is not defined" in finding for finding in findings), findings


def test_policies_that_nobody_asks_are_refused():
    silent = "\n".join(line for line in SHARED.splitlines() if DISPATCH not in line)
    findings = [str(finding) for finding in lint.lint(parse_bundle(files(silent, db=own("db", 1))))]
    assert [finding for finding in findings if "no module asks the policies" in finding]


def test_a_shared_module_may_not_pose_as_an_agents():
    posing = parse_bundle(files() | {"b.rego": b"package bywire.agents.db\ndeny contains 1 if true\n"})
    assert any("not ours to define" in str(finding) for finding in lint.lint(posing))


def test_tests_without_their_policy_are_refused():
    orphan = parse_bundle(files() | {"agents/db_test.rego": b"package bywire.agents_test.db\ntest_a if true\n"})
    assert any("there is no agents/db.rego" in str(finding) for finding in lint.lint(orphan))


class Pauses:
    """Counts how often others were let go first."""

    def __init__(self):
        self.seconds = []

    def wait(self, seconds):
        self.seconds.append(seconds)


def test_a_bundle_that_nobody_waits_for_is_built_politely(monkeypatch):
    pauses = Pauses()
    monkeypatch.setattr(interpreter, "_PAUSE", pauses)
    interpreter.Interpreter(interpreter.Compiled.of(BUNDLE))
    assert pauses.seconds == []
    built = interpreter.Interpreter(interpreter.Compiled.of(BUNDLE), ahead=True)
    assert len(pauses.seconds) == len(BUNDLE.modules)
    built.warm()
    assert len(pauses.seconds) == len(BUNDLE.modules) + len(BUNDLE.manifest.entrypoints)
    assert set(pauses.seconds) == {interpreter._PAUSE_SECONDS}
    assert 0 < interpreter._PAUSE_SECONDS < 0.01


def test_engines_of_agents_are_let_go_one_by_one(monkeypatch):
    built = interpreter.Interpreter(interpreter.Compiled.of(BUNDLE))
    for name in BUNDLE.agents:
        built.answer(DECISION, json.dumps(asking(f"agent:{name}", 1)))
    assert list(built._agents) == list(BUNDLE.agents)
    pauses = Pauses()
    monkeypatch.setattr(interpreter, "_PAUSE", pauses)
    built.drop()
    assert (len(built._agents), len(pauses.seconds)) == (0, len(BUNDLE.agents))


def test_the_agent_asked_longest_ago_is_let_go_first(monkeypatch):
    monkeypatch.setattr(interpreter, "AGENT_ENGINES_MAX", 2)
    built = interpreter.Interpreter(interpreter.Compiled.of(BUNDLE))
    for name in ("web-1", "db", "web-1", "slow"):
        built.answer(DECISION, json.dumps(asking(f"agent:{name}", 1)))
    assert list(built._agents) == ["web-1", "slow"]


def test_an_agents_rule_without_a_value_is_undefined(monkeypatch):
    compiled = interpreter.Compiled.of(BUNDLE)
    other = {**compiled.agents, "db": ("agents/db.rego", 'package bywire.agents["db"]\n\ndeny := 1 if input.never\n')}
    built = interpreter.Interpreter(msgspec.structs.replace(compiled, agents=other))
    with pytest.raises(interpreter.UndefinedError):
        built.answer(DECISION, json.dumps(asking("agent:db", 1)))


def test_a_bundle_said_to_be_linted_is_not_linted_again(monkeypatch):
    monkeypatch.setattr(lint, "lint", lambda _: pytest.fail("linted again"))
    engine = PolicyEngine(BUNDLE, linted=True)
    assert rules(asking("agent:db", 1), engine) == ["a.end"]
    engine.swap(BUNDLE, linted=True)
    assert rules(asking("agent:db", 21), engine) == ["a.end", "agents.db.weight"]


# The sets beside `deny`: asked in one form each, never able to allow anything.
THREE = f"""package bywire.a

default decision := {{}}
decision := {{"effect": effect, "reasons": reasons, "obligations": owed, "tier": "low", "required": {{}}}}
denials contains denial if some denial in {DISPATCHES["deny"]}
asked contains reason if some reason in {DISPATCHES["approval"]}
debits contains debit if some debit in {DISPATCHES["debits"]}
owed := [object.union(debit, {{"kind": "debit"}}) | some debit in debits]
objections := [object.union(reason, {{"hard": false}}) | some reason in denials | asked]
reasons := array.concat(objections, [{{"rule": "a.end", "facts": {{}}}}])
effect := "deny" if count(denials) > 0
else := "approval_needed" if count(asked) > 0
else := "allow"
"""
ASKS = (
    own("web-1", 10)
    + """
approval contains {"rule": "agents.web-1.asks", "facts": {"weight": input.weight}} if input.weight > 5

debits contains {"unit": "weight", "period": "day", "limit": 1000, "because": "agents.web-1.budget"} if input.weight > 0
"""
)
THREE_FILES = files(THREE, web__1=ASKS, db=own("db", 20))
ASKING = PolicyEngine(parse_bundle(THREE_FILES))


@pytest.mark.parametrize(
    ("principal", "weight", "effect", "counted"),
    [
        ("agent:web-1", 11, Effect.DENY, 1),
        ("agent:web-1", 6, Effect.APPROVAL_NEEDED, 1),
        ("agent:web-1", 5, Effect.ALLOW, 1),
        ("agent:web-1", 0, Effect.ALLOW, 0),
        ("agent:db", 21, Effect.DENY, 0),
        ("agent:db", 20, Effect.ALLOW, 0),
        ("person:web-1", 11, Effect.ALLOW, 0),
    ],
)
def test_a_policy_may_ask_for_a_person_and_count(principal, weight, effect, counted):
    decision = ASKING.decide(DECISION, asking(principal, weight))
    assert (decision.effect, len(decision.obligations)) == (effect, counted)


@settings(max_examples=40, deadline=None)
@given(principal=st.sampled_from(["agent:web-1", "agent:db", "person:db"]), weight=st.integers(-1, 22))
def test_all_three_sets_apart_are_as_if_together(principal, weight):
    together = regorus.Engine()
    candidate = parse_bundle(THREE_FILES)
    for module in (*candidate.modules, *candidate.agents.values()):
        together.add_policy(module.path, module.source)
    together.set_input_json(json.dumps(asking(principal, weight)))
    expected = json.loads(together.eval_rule_as_json(DECISION))
    decision = ASKING.decide(DECISION, asking(principal, weight))
    assert (decision.effect, list(decision.obligations)) == (expected["effect"], expected["obligations"])
    assert [reason.rule for reason in decision.reasons] == [reason["rule"] for reason in expected["reasons"]]


def test_a_question_cannot_say_what_a_policy_says():
    said = {"deny": [], "approval": [], "debits": []}
    for forged in (said, None, {"deny": None}, []):
        decision = ASKING.decide(DECISION, asking("agent:web-1", 11) | {"agents/own": forged})
        assert "agents.web-1.weight" in {reason.rule for reason in decision.reasons}
    # Where an agent has no policy, what is forged can only object.
    objecting = {"deny": [{"rule": "x.y", "facts": {}}]}
    assert ASKING.decide(DECISION, asking("agent:other", 1) | {"agents/own": objecting}).effect is Effect.DENY


MEMBER = 'deny contains {"rule": "agents.db.x", "facts": {}} if false\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("approval := {1}", "`approval` is not a set"),
        ("debits := []", "`debits` is not a set"),
        ("default approval := set()", "`approval` is not a set"),
        ("approval contains x if some x in input.list", "a member of `approval` is not written in place"),
        ("deny contains x if some x in input.list", "a member of `deny` is not written in place"),
        ('approval contains {"rule": "agents.db.a"} if true', "a member of `approval` is not written in place"),
        ('approval contains {"rule": "agents.web.a", "facts": {}} if true', "not this agent's"),
        ('debits contains {"unit": "x"} if true', "not a debit"),
        ('debits contains {"unit": "x", "period": "week", "limit": 1, "because": "b"} if true', "not a debit"),
        ('debits contains {"unit": "x", "period": "day", "limit": -1, "because": "b"} if true', "not a debit"),
        ('debits contains {"unit": "x", "period": "day", "limit": 1.5, "because": "b"} if true', "not a debit"),
        ('debits contains {"unit": "x", "period": "day", "limit": input.n, "because": "b"} if true', "not a debit"),
        ('debits contains {"unit": input.u, "period": "day", "limit": 1, "because": "b"} if true', "not a debit"),
        (
            'debits contains {"unit": "x", "period": "day", "limit": 1, "because": "b", "scope": "s"} if true',
            "not a debit",
        ),
    ],
)
def test_what_the_other_sets_may_not_be(text, told):
    source = f"package bywire.agents.db\n\n{MEMBER}{text}\n"
    findings = [str(finding) for finding in lint.lint(parse_bundle(files(THREE, db=source)))]
    assert any(told in finding for finding in findings), findings


@pytest.mark.parametrize("name", ["approval", "debits"])
def test_a_set_that_nobody_asks_for_is_refused(name):
    silent = "\n".join(line for line in THREE.splitlines() if DISPATCHES[name] not in line)
    silent = silent.replace("denials | asked", "denials").replace("count(asked) > 0", "false")
    silent = silent.replace('owed := [object.union(debit, {"kind": "debit"}) | some debit in debits]', "owed := []")
    if name == "debits":
        silent = silent.replace("denials]", "denials | asked]").replace(
            '"approval_needed" if false', '"approval_needed" if count(asked) > 0'
        )
    findings = [str(finding) for finding in lint.lint(parse_bundle(files(silent, web__1=ASKS)))]
    assert any(f"no module asks for `{name}`" in finding for finding in findings), findings


def test_agents_whose_names_spell_alike_do_not_prove_each_other():
    def proving(name):
        return f"""package bywire.agents_test["{name}"]

rules(question) := {{d.rule | some d in data.bywire.agents["{name}"].deny with input as question}}

test_fires_agents_a_b_weight if "agents.{name}.weight" in rules({{"weight": 11}})
test_quiet_agents_a_b_weight if not "agents.{name}.weight" in rules({{"weight": 1}})
# "agents.a_b.weight" and "agents.a-b.weight" are only named here
"""

    both = files(a__b=own("a-b", 10), a_b=own("a_b", 10))
    unproved = regotest.run(both | {"agents/a-b_test.rego": proving("a-b").encode()}).unproved
    assert "agents.a_b.weight" in unproved
    assert "agents.a-b.weight" not in unproved
