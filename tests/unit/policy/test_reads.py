"""The short way of reads in the virtual machine: its yes is the interpreter's yes, and it says nothing else."""

import copy
import gc
import json
import threading

import msgspec
import pytest
import regorus
from hypothesis import example, given, settings
from hypothesis import strategies as st
from question_edits import ABSENT, edited

from bywire.adapters.knowledge_base import deciding, shipped_policy
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine
from bywire.policy.engine import reads as machine
from bywire.policy.engine.interpreter import UNDEFINED, Compiled, Interpreter
from bywire.policy.engine.read_path import ENTRYPOINT, EXAMINED, short_way
from bywire.seal.digest import sha256_hex

FILES = deciding(shipped_policy())
BUNDLE = parse_bundle(FILES)
COMPILED = Compiled.of(BUNDLE)
CONNECTED = {"upstream": "shop", "risk": "low", "reviewed": True, "definition": "none"}
QUESTION = {
    "version": 1,
    "now_ms": 1_790_000_000_000,
    "principal": {
        "id": "agent:fixer",
        "kind": "agent",
        "owner": "person:dana",
        "team": "",
        "role": "fixer",
        "roles": [],
        "registration": {
            "pattern": "constrained-executor",
            "tools": ["shop.list", "get_job_logs"],
            "environments": ["staging"],
            "expires_at_ms": None,
        },
    },
    "action": {
        "tool": "shop.list",
        "category": "read",
        "environment": "staging",
        "service": "shop",
        "digest": "a" * 64,
        "parameters": {"limit": 20},
        "evidence": [],
        "plan": "",
        "change": "",
        "dry_run": False,
        "unmet_preconditions": [],
        "undo": "irreversible",
        "integrity": "trusted",
        "findings": [],
        "cost": [],
        "connected": CONNECTED,
        "meaning": {"environment": "staging"},
    },
    "operator": {},
    "change": {},
    "facts": {},
    "grant": None,
    "break_glass": None,
    "shadow": [],
    "retreat": None,
    "state": {
        "stop": False,
        "stop_epoch": 0,
        "freeze_all": False,
        "freeze_window": False,
        "change_window": None,
        "incident_mode": False,
        "bundle_digest": "b" * 64,
        "session": {"integrity": "trusted"},
        "budget": {"observed": 0, "limit": 600},
        "limits": [],
        "usage": [],
        "target": {},
    },
}
BUILT_IN = copy.deepcopy(QUESTION)
BUILT_IN["action"] |= {"tool": "get_job_logs", "parameters": {"run_id": "1", "job_id": "t", "max_bytes": 1_000}}
del BUILT_IN["action"]["connected"]
DAMAGE = st.sampled_from(
    [ABSENT, ABSENT, None, True, False, 0, -1, 1, 0.5, 10**9, "", "x", "agent:x", "person:x", [], ["x"], {}, {"a": 1}]
)


def text_of(question):
    return msgspec.json.encode(question, order="sorted").decode()


@pytest.fixture(scope="module")
def interpreter():
    return Interpreter(COMPILED)


def test_the_shipped_text_was_examined():
    assert sha256_hex(FILES["read.rego"]) in EXAMINED, (
        "read.rego changed: every part of `allowed` has to be positive, with no comprehension over what can fail and no"
        " built-in that can fail inside one; when it is, put its digest into EXAMINED"
    )


@pytest.mark.parametrize("question", [QUESTION, BUILT_IN])
def test_a_plain_read_is_answered(interpreter, question):
    found = machine.answer_read(COMPILED, ENTRYPOINT, text_of(question))
    assert found is not None
    assert json.loads(found) == json.loads(interpreter.answer(ENTRYPOINT, text_of(question)))


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from([QUESTION, BUILT_IN]), edits=st.lists(st.tuples(st.integers(0, 10_000), DAMAGE), max_size=3)
)
@example(base=QUESTION, edits=[])
def test_its_yes_is_the_interpreters_yes_and_it_says_nothing_else(interpreter, base, edits):
    text = text_of(edited(base, edits))
    found = machine.answer_read(COMPILED, ENTRYPOINT, text)
    if found is not None:
        assert json.loads(found)["effect"] == "allow"
        assert json.loads(found) == json.loads(interpreter.answer(ENTRYPOINT, text))


@pytest.mark.parametrize("category", ["repo_write", "environment_write", "unknown_write", "Read", ""])
def test_a_write_is_not_answered_even_when_it_holds_the_hint(category):
    question = copy.deepcopy(QUESTION)
    question["action"]["category"] = category
    question["action"]["parameters"] = {"note": '"category":"read"', "category": "read"}
    text = text_of(question)
    assert '"category":"read"' in text
    assert machine.answer_read(COMPILED, ENTRYPOINT, text) is None


def test_another_entrypoint_is_not_answered():
    assert machine.answer_read(COMPILED, "data.bywire.gate.decision", text_of(QUESTION)) is None


OWN = b"""package bywire.agents.fixer

deny contains {"rule": "agents.fixer.limit", "facts": {"limit": input.action.parameters.limit}} if {
	input.action.parameters.limit > 10
}
"""


def test_an_agent_with_a_policy_of_its_own_is_asked_by_it():
    engine = PolicyEngine(parse_bundle({**FILES, "agents/fixer.rego": OWN}))
    try:
        denied = engine.decide(ENTRYPOINT, QUESTION)
        assert [reason.rule for reason in denied.reasons] == ["agents.fixer.limit"]
        other = copy.deepcopy(QUESTION)
        other["principal"]["id"] = "agent:other"
        assert engine.decide(ENTRYPOINT, other).effect == "allow"
    finally:
        engine.release()


def test_a_text_that_nobody_examined_has_no_short_way():
    modules = {module.path: module.source for module in BUNDLE.modules}
    assert short_way(modules)
    assert short_way({**modules, "read.rego": modules["read.rego"] + "\n"}) == ()
    first = "decision := data.bywire.read.answer if data.bywire.read.allowed\n"
    earlier = modules["action.rego"].replace(first, "decision := {} if input.version == 7\n\nelse := {} if false\n")
    assert short_way({**modules, "action.rego": earlier}) == ()
    assert short_way({"action.rego": modules["action.rego"]}) == ()
    assert short_way({"read.rego": modules["read.rego"]}) == ()
    assert short_way({}) == ()


def test_a_policy_that_forbids_reads_forbids_them():
    changed = FILES["read.rego"].replace(b"allowed if {\n", b"allowed if {\n\tinput.version == 2\n")
    engine = PolicyEngine(parse_bundle({**FILES, "read.rego": changed}))
    try:
        assert engine._decider.compiled.reads == ()
        assert engine.decide(ENTRYPOINT, QUESTION).effect == "allow"  # by the long way
    finally:
        engine.release()


def test_each_thread_has_its_own_machine_and_drops_it_itself():
    text = text_of(QUESTION)
    answers = []

    def ask():
        compiled = Compiled.of(BUNDLE)
        answers.extend(machine.answer_read(compiled, ENTRYPOINT, text) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert len(answers) == 80
    assert len(set(answers)) == 1


def test_a_machine_that_fails_gives_no_answer(monkeypatch):
    class Failing:
        def set_input_json(self, text):
            raise RuntimeError("maximum instruction limit")

    compiled = Compiled.of(BUNDLE)
    monkeypatch.setattr(machine._HERE, "reads", machine._Reads(compiled, Failing()), raising=False)
    assert machine.answer_read(compiled, ENTRYPOINT, text_of(QUESTION)) is None


def test_a_machine_that_panics_is_a_deny_and_is_replaced(monkeypatch):
    class PanicError(BaseException):
        pass

    class Panicking:
        def set_input_json(self, text):
            raise PanicError("assertion failed\n\nStack backtrace:\n  0: somewhere")

    engine = PolicyEngine(BUNDLE, linted=True)
    broken = machine._Reads(engine._decider.compiled, Panicking())
    monkeypatch.setattr(machine._HERE, "reads", broken, raising=False)
    denied = engine.decide(ENTRYPOINT, QUESTION)
    assert (denied.effect, denied.reasons[0].rule) == ("deny", "engine.error")
    assert "backtrace" not in denied.reasons[0].facts["detail"]
    assert engine.decide(ENTRYPOINT, QUESTION).effect == "allow"


def test_the_machine_says_undefined_where_the_interpreter_does():
    engine = regorus.Engine()
    engine.add_policy("x.rego", "package x\n\nd := 1 if input.a\n")
    engine.set_input_json("{}")
    assert engine.eval_rule_as_json("data.x.d") == UNDEFINED
