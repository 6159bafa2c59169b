"""The shipped policy on Open Policy Agent itself: the same Rego tests, and the same answer to generated questions.

OPA comes as the wheel `opa-golib-python-bindings`, whose metadata asks for a newer Python than its code needs:
`pip install --no-deps --ignore-requires-python opa-golib-python-bindings==0.4.4`.
"""

import copy
import json
from pathlib import Path

import pytest
import regorus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from question_edits import ABSENT, edited

from bywire.policy import regotest
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine
from bywire.policy.rule_index import rule_sites

opa_bindings = pytest.importorskip("opa_bindings", reason="OPA is not installed (opa-golib-python-bindings)")

ROOT = Path(regotest.__file__).parents[1] / "pkb"
BUNDLE = parse_bundle(
    {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in ROOT.rglob("*") if p.suffix in {".rego", ".json"}}
)
TESTS = regotest.tests_of(BUNDLE)
ENTRYPOINTS = BUNDLE.manifest.entrypoints
FIXTURES = ("break_glass", "grant", "release", "retreat", "return_evidence", "runbook_grant", "security", "start")
RULES = sorted(rule_sites(BUNDLE))


@pytest.fixture(scope="module")
def opa():
    with opa_bindings.OpaEngine() as engine:
        for module in (*BUNDLE.modules, *BUNDLE.tests):
            engine.add_policy(module.path, module.source)
        engine.add_data(json.loads(BUNDLE.data_json()))
        yield engine


@pytest.fixture(scope="module")
def interpreter():
    engine = regorus.Engine()
    for module in BUNDLE.modules:
        engine.add_policy(module.path, module.source)
    engine.add_data_json(BUNDLE.data_json())
    return engine


@pytest.fixture(scope="module")
def machine():
    sources = [(module.path, module.source) for module in BUNDLE.modules]
    vm = regorus.Rvm()
    vm.load_program(regorus.Program.compile_from_modules(BUNDLE.data_json(), sources, list(ENTRYPOINTS)))
    vm.set_data_json(BUNDLE.data_json())
    return vm


@pytest.fixture(scope="module")
def questions(opa):
    return {name: opa.eval_document(f"bywire.fixtures.{name}") for name in FIXTURES}


def at(document, dotted):
    for part in dotted.split("."):
        document = document.get(part, {})
    return document


def test_opa_passes_the_same_tests(opa):
    # One query for all of it: OPA prepares each query anew.
    results = {"data": {"bywire": opa.eval_document("bywire")}}
    assert {test for test in TESTS if at(results, test) is not True} == set()


TOOLS = sorted(BUNDLE.tables["capabilities"])
CATEGORIES = sorted(BUNDLE.tables["categories"])
PATTERNS = sorted(BUNDLE.tables["patterns"])
GATES = [{}, {"high": {"kind": "multi-signer", "count": 2}}, {"high": {"kind": "scheduled", "count": 1}}]
BOUNDED = [{}, {"max_bytes": 10**9}, {"lease_seconds": 31}, {"flag": "quotes", "state": "off", "incident_id": "i-1"}]
DAMAGE = st.sampled_from(
    [ABSENT, ABSENT, None, True, False, 0, -1, 1, 0.5, 101, "", "x", "person:dana", "agent:auditor", [], ["x"], {}]
)
EDITS = st.lists(st.tuples(st.integers(0, 10_000), DAMAGE), max_size=4)


def drawn(draw, questions, *, gate):
    """A question about any tool, with any of what may come with it."""
    question = questions["release" if gate else "start"]
    environment = draw(st.sampled_from(["non-production", "staging", "production", "moon"]))
    if draw(st.booleans()):
        tool = draw(st.sampled_from(TOOLS))
        category = draw(st.sampled_from([BUNDLE.tables["capabilities"][tool]["category"]] * 4 + CATEGORIES))
        question["action"] |= {"tool": tool, "category": category, "environment": environment}
        question["action"]["parameters"] |= draw(st.sampled_from(BOUNDED))
    if draw(st.booleans()):
        question["principal"]["registration"]["pattern"] = draw(st.sampled_from(PATTERNS))
    else:
        question["principal"] = draw(st.sampled_from([question["principal"], questions["security"]]))
    maybe = {name: st.sampled_from([None, questions[name]]) for name in ("break_glass", "grant", "retreat")}
    question |= {name: copy.deepcopy(draw(value)) for name, value in maybe.items()}
    if draw(st.booleans()):
        question |= {"grant": questions["runbook_grant"], "retreat": questions["return_evidence"]}
    question["operator"]["gates"] = draw(st.sampled_from(GATES))
    question["state"]["incident_mode"] = draw(st.booleans())
    rules = draw(st.lists(st.sampled_from(RULES), max_size=3))
    question["shadow"] = [{"rule": rule, "owner": "person:dana", "expires_at_ms": 1790000000001} for rule in rules]
    return question


def by_machine(machine, entrypoint, text):
    """The virtual machine's answer; None where it gives up after 25,000 instructions, which no setting changes."""
    machine.set_input_json(text)
    try:
        return in_order(json.loads(machine.execute_entry_point(entrypoint)))
    except RuntimeError as error:
        assert "maximum instruction limit" in str(error)
        return None


def as_text(item):
    return json.dumps(item, sort_keys=True)


def in_order(decision):
    """Objects in sets have no order that both engines promise."""
    for obligation in decision["obligations"]:
        if isinstance(obligation.get("because"), list):
            obligation["because"].sort(key=as_text)
    decision["obligations"].sort(key=as_text)
    decision["reasons"].sort(key=as_text)
    return decision


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_opa_and_both_of_regorus_engines_give_the_same_decision(opa, interpreter, machine, questions, data):
    entrypoint = data.draw(st.sampled_from(ENTRYPOINTS))
    question = drawn(data.draw, copy.deepcopy(questions), gate="gate" in entrypoint)
    text = json.dumps(edited(question, data.draw(EDITS)))
    interpreter.set_input_json(text)
    expected = in_order(opa.eval_document(entrypoint.removeprefix("data."), json.loads(text)))
    assert in_order(json.loads(interpreter.eval_rule_as_json(entrypoint))) == expected
    assert by_machine(machine, entrypoint, text) in (None, expected)


def test_the_engine_gives_opas_effect(opa, questions):
    engine = PolicyEngine(BUNDLE)
    for entrypoint, name in zip(ENTRYPOINTS, ("start", "release"), strict=True):
        expected = opa.eval_document(entrypoint.removeprefix("data."), questions[name])
        assert engine.decide(entrypoint, questions[name]).effect == expected["effect"]
