"""The short way of reads in the virtual machine: its yes is the interpreter's yes, and it says nothing else."""

import copy
import gc
import json
import re
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
from bywire.policy.engine.read_path import ENTRYPOINT, EXAMINED, LookedAt, short_way
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
    assert short_way(modules, BUNDLE.tables) is not None
    first = "decision := data.bywire.read.answer if data.bywire.read.allowed\n"
    earlier = modules["action.rego"].replace(first, "decision := {} if input.version == 7\n\nelse := {} if false\n")
    for other in (
        {**modules, "read.rego": modules["read.rego"] + "\n"},
        {**modules, "action.rego": earlier},
        {"action.rego": modules["action.rego"]},
        {"read.rego": modules["read.rego"]},
        {},
    ):
        assert short_way(other, BUNDLE.tables) is None


def named_in(text):
    """What a Rego text looks at in its input, as dotted names."""
    code = re.sub(r"(?m)#.*$", "", text)
    got = re.findall(r"object\.get\(input(?:\.([a-z_.]+))?, (\[[^\]]*\]|\"[a-z_]+\")", code)
    named = {".".join([*filter(None, [front]), *re.findall(r'"(\w+)"', rest)]) for front, rest in got}
    return named | set(re.findall(r"\binput\.([a-z_.]+)", code)), re.findall(r"\binput\b(?!\.)", code), got


def names_of(shape, front=""):
    for field in msgspec.structs.fields(shape):
        name = f"{front}{field.name}"
        kinds = getattr(field.type, "__args__", (field.type,))
        inner = [one for one in kinds if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        yield from names_of(inner[0], f"{name}.") if inner else [name]


def test_all_that_the_text_looks_at_is_asked():
    looked, bare, got = named_in(FILES["read.rego"].decode())
    assert len(bare) == sum(not front for front, _ in got), "input as a whole is handed to something"
    asked = set(names_of(LookedAt))
    # The struct names whole parts (a budget) where the text names what is inside.
    assert {name for name in looked if not any(f"{name}.".startswith(f"{one}.") for one in asked)} == set()
    assert {one for one in asked if not any(f"{name}.".startswith(f"{one}.") for name in looked)} == set()


def test_the_check_of_what_the_text_looks_at_sees_a_new_reference():
    for more in ("input.state.stop == false", 'object.get(input, ["state", "stop"], true) == false'):
        looked, _, _ = named_in(f"allowed if {{ {more} }}")
        assert looked == {"state.stop"}


def asks_of(question):
    """How often the machine of a fresh bundle is asked for a row of questions, and what came of each."""
    compiled = Compiled.of(BUNDLE)
    asked = []

    class Counting:
        def __init__(self, real):
            self.real = real

        def set_input_json(self, text):
            asked.append(text)
            self.real.set_input_json(text)

        def execute_entry_point(self, name):
            return self.real.execute_entry_point(name)

    made = machine._made(compiled, compiled.reads)
    machine._HERE.reads = machine._Reads(compiled, Counting(made.machine))
    answers = [machine.answer_read(compiled, ENTRYPOINT, text_of(one)) for one in question]
    del machine._HERE.reads
    return len(asked), answers


def changed(question, path, value):
    found = copy.deepcopy(question)
    place = found
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return found


def test_what_was_answered_once_is_remembered():
    row = [QUESTION, QUESTION, changed(QUESTION, ("action", "parameters"), {"limit": 30})]
    row += [changed(QUESTION, ("now_ms",), 1_790_000_000_001), changed(QUESTION, ("action", "digest"), "c" * 64)]
    count, answers = asks_of(row)
    assert (count, len(set(answers)), answers[0] is not None) == (1, 1, True)


def test_a_time_counts_where_the_agent_ends():
    ending = changed(QUESTION, ("principal", "registration", "expires_at_ms"), QUESTION["now_ms"] + 1)
    later = changed(ending, ("now_ms",), ending["now_ms"] + 1)
    count, answers = asks_of([ending, ending, later])
    assert count == 3, "no other question is ever asked at this time: it would only push out what is"
    assert answers[0] == answers[1] is not None
    assert answers[2] is None


def test_parameters_count_where_a_row_bounds_them():
    more = changed(BUILT_IN, ("action", "parameters", "max_bytes"), 10**6)
    count, answers = asks_of([BUILT_IN, more])
    assert count == 2
    assert answers[0] is not None
    assert answers[1] is None


@pytest.mark.parametrize("row", [{"bounds": {"limit": 10}}, {"bounds": []}, "unknown", None])
def test_parameters_count_where_a_table_bounds_connected_reads(row):
    modules = {module.path: module.source for module in BUNDLE.modules}
    way = short_way(modules, {**BUNDLE.tables, "connected": {"read": row}})
    asked = {way.question(text_of(changed(QUESTION, ("action", "parameters"), {"limit": n})))[1] for n in (1, 2)}
    assert len(asked) == 2


def test_a_no_is_asked_again_and_long_lists_are_not_remembered():
    refused = changed(QUESTION, ("action", "environment"), "elsewhere")
    assert asks_of([refused, refused]) == (2, [None, None])
    long = changed(QUESTION, ("principal", "registration", "tools"), ["shop.list", *(f"shop.t{n}" for n in range(900))])
    count, answers = asks_of([long, long])
    assert (count, answers[0] is not None) == (2, True)


def test_what_is_remembered_has_an_end(monkeypatch):
    monkeypatch.setattr(machine, "ANSWERS_MAX", 2)
    row = [
        changed(QUESTION, ("principal", "registration", "tools"), ["shop.list", f"shop.t{n}"]) for n in (0, 1, 2, 0, 2)
    ]
    count, answers = asks_of(row)
    assert (count, None in answers) == (4, False)


def test_nobody_is_answered_with_what_another_may_read():
    other = changed(QUESTION, ("principal", "registration", "tools"), ["get_job_logs"])
    assert asks_of([QUESTION, other])[1][1] is None
    ids = [changed(QUESTION, ("principal", "id"), name) for name in ("agent:fixer", "agent:other", "person:dana")]
    count, answers = asks_of(ids)
    assert (count, [answer is None for answer in answers]) == (3, [False, False, True])


def test_a_policy_that_forbids_reads_forbids_them():
    changed = FILES["read.rego"].replace(b"allowed if {\n", b"allowed if {\n\tinput.version == 2\n")
    engine = PolicyEngine(parse_bundle({**FILES, "read.rego": changed}))
    try:
        assert engine._decider.compiled.reads is None
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
