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

from bywire.policy import regotest
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine

opa_bindings = pytest.importorskip("opa_bindings", reason="OPA is not installed (opa-golib-python-bindings)")

ROOT = Path(regotest.__file__).parents[1] / "pkb"
BUNDLE = parse_bundle(
    {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in ROOT.rglob("*") if p.suffix in {".rego", ".json"}}
)
TESTS = regotest.tests_of(BUNDLE)
ENTRYPOINTS = BUNDLE.manifest.entrypoints


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
    return {name: opa.eval_document(f"bywire.fixtures.{name}") for name in ("start", "release", "grant", "retreat")}


def test_opa_passes_the_same_tests(opa):
    # One query a package: OPA prepares each query anew.
    results = {package: opa.eval_document(package) for package in {test.rpartition(".")[0][5:] for test in TESTS}}
    names = (test[5:].rpartition(".") for test in TESTS)
    assert {f"{package}.{name}" for package, _, name in names if results[package].get(name) is not True} == set()


TOOLS = sorted(BUNDLE.tables["capabilities"])
CATEGORIES = sorted(BUNDLE.tables["categories"])
DAMAGE = st.sampled_from(
    [None, True, False, 0, -1, 1, 0.5, 101, "", "x", "person:dana", "agent:auditor", [], ["x"], {}]
)
EDITS = st.lists(st.tuples(st.integers(0, 10_000), DAMAGE), max_size=4)


def places(value, path=()):
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in items:
        yield from places(inside, (*path, key))


def edited(question, edits):
    question = copy.deepcopy(question)
    for number, value in edits:
        known = list(places(question))
        *way, last = known[number % len(known)]
        inside = question
        for key in way:
            inside = inside[key]
        inside[last] = copy.deepcopy(value)
    return question


def in_order(decision):
    """Objects in sets have no order that both engines promise."""
    decision["reasons"].sort(key=lambda reason: json.dumps(reason, sort_keys=True))
    for obligation in decision["obligations"]:
        if "because" in obligation:
            obligation["because"].sort(key=lambda item: json.dumps(item, sort_keys=True))
    return decision


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_opa_and_both_of_regorus_engines_give_the_same_decision(opa, interpreter, machine, questions, data):
    entrypoint = data.draw(st.sampled_from(ENTRYPOINTS))
    question = copy.deepcopy(questions["release" if "gate" in entrypoint else "start"])
    if data.draw(st.booleans()):
        question["action"]["tool"] = data.draw(st.sampled_from(TOOLS))
        row = BUNDLE.tables["capabilities"][question["action"]["tool"]]
        question["action"]["category"] = data.draw(st.sampled_from([row["category"], *CATEGORIES]))
        question["action"]["environment"] = data.draw(
            st.sampled_from(["non-production", "staging", "production", "moon"])
        )
    question["grant"] = copy.deepcopy(data.draw(st.sampled_from([None, questions["grant"]])))
    question["retreat"] = copy.deepcopy(data.draw(st.sampled_from([None, questions["retreat"]])))
    text = json.dumps(edited(question, data.draw(EDITS)))
    interpreter.set_input_json(text)
    machine.set_input_json(text)
    expected = in_order(opa.eval_document(entrypoint.removeprefix("data."), json.loads(text)))
    assert in_order(json.loads(interpreter.eval_rule_as_json(entrypoint))) == expected
    assert in_order(json.loads(machine.execute_entry_point(entrypoint))) == expected


def test_the_engine_gives_opas_effect(opa, questions):
    engine = PolicyEngine(BUNDLE)
    for entrypoint, name in zip(ENTRYPOINTS, ("start", "release"), strict=True):
        expected = opa.eval_document(entrypoint.removeprefix("data."), questions[name])
        assert engine.decide(entrypoint, questions[name]).effect == expected["effect"]
