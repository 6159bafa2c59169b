"""The engine at its limits: sizes to the byte, the words of its refusals, and what its threads leave behind."""

import json
import threading

import pytest
from test_policy_engine import DECISION, Broken, PanicError, answer, bundle_for, engine_for

from bywire.model.decision import Effect
from bywire.model.errors import PolicyError
from bywire.policy.agent_policies import DISPATCH
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import decider, interpreter
from bywire.policy.engine import policy_engine as module

MANIFEST = {"revision": 1, "input_version": 1, "entrypoints": [DECISION]}
BUNDLE = bundle_for(MANIFEST, "package bywire.a\ndefault decision := {}\n" + answer())
INPUT_BYTES_MAX = 262_144


class Recorder:
    """Stands for an engine and keeps what it was asked."""

    def __init__(self, value='{"deny": []}'):
        self.seen = []
        self.value = value

    def set_input_json(self, text):
        self.seen.append(("input", text))

    def eval_rule_as_json(self, rule):
        self.seen.append(("rule", rule))
        return self.value


def canonical(size):
    head = b'{"a":1,"b":"'
    return head + b"x" * (size - len(head) - 2) + b'"}'


def test_an_input_may_have_256_kibibytes_and_not_one_byte_more():
    engine = engine_for(answer())
    assert engine.decide_canonical(DECISION, canonical(INPUT_BYTES_MAX)).effect is Effect.ALLOW
    late = engine.decide_canonical(DECISION, canonical(INPUT_BYTES_MAX + 1))
    assert late.reasons[0].rule == "engine.input_too_large"
    assert late.reasons[0].facts == {"bytes": INPUT_BYTES_MAX + 1, "limit": INPUT_BYTES_MAX}


def test_the_engines_of_a_thousand_agents_are_kept():
    assert interpreter.AGENT_ENGINES_MAX == 1_024


def test_the_engines_own_rules_are_these():
    assert module.RULES == ("engine.error", "engine.input_too_large", "engine.shape", "engine.undefined")


@pytest.mark.parametrize("tier", ["trivial", "low", "medium", "high"])
def test_every_tier_comes_through(tier):
    assert engine_for(answer(tier=tier)).decide(DECISION, {"a": 1}).effect is Effect.ALLOW


def test_what_broke_is_told_in_one_short_line(monkeypatch):
    engine = engine_for(answer())
    monkeypatch.setattr(interpreter.regorus, "Engine", lambda: Broken(RuntimeError("one \n\n two" + "x" * 500)))
    facts = engine.decide(DECISION, {"a": 1}).reasons[0].facts
    assert set(facts) == {"error", "detail"}
    assert facts["error"] == "RuntimeError"
    assert facts["detail"].startswith("one twox")
    assert len(facts["detail"]) == 200


def test_a_bundle_is_linted_before_it_is_prepared_unless_somebody_did():
    engine = engine_for(answer())
    unfit = bundle_for(MANIFEST, 'package bywire.a\ndecision := http.send({"url": "http://x", "method": "get"})\n')
    with pytest.raises(PolicyError) as caught:
        engine.prepare(unfit)
    assert "http.send" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "raised"), [(KeyboardInterrupt(), KeyboardInterrupt), (PanicError("p"), PolicyError)]
)
def test_being_told_to_stop_while_preparing_is_no_fault_of_the_bundle(monkeypatch, error, raised):
    engine = engine_for(answer())
    monkeypatch.setattr(interpreter.regorus, "Engine", lambda: Broken(error))
    with pytest.raises(raised):
        engine.prepare(BUNDLE, linted=True)


def test_what_is_in_force_and_what_was_answered_cannot_be_changed():
    compiled = interpreter.Compiled.of(BUNDLE)
    document = module._DOCUMENT.decode(
        json.dumps({"effect": "deny", "reasons": [], "obligations": [], "tier": "low", "required": {}})
    )
    for part, name in ((compiled, "digest"), (document, "effect")):
        with pytest.raises(AttributeError):
            setattr(part, name, "other")


def test_the_thread_that_decides_keeps_nobody_from_leaving():
    before = set(threading.enumerate())
    engine = engine_for(answer())
    engine.decide(DECISION, {"a": 1})
    (deciding,) = set(threading.enumerate()) - before
    assert deciding.daemon
    assert deciding.name == "bywire-decider"
    engine.release()


MADE = []


class Built:
    """An interpreter that says how it was built and let go."""

    def __init__(self, compiled, *, ahead=False):
        self.ahead, self.dropped = ahead, False
        MADE.append(self)

    def warm(self):
        pass

    def answer(self, entrypoint, text):
        return text

    def drop(self):
        self.dropped = True


@pytest.mark.parametrize("first", ["prepared", "asked"])
def test_only_what_nobody_waits_for_is_built_ahead_and_all_is_let_go(monkeypatch, first):
    monkeypatch.setattr(decider, "Interpreter", Built)
    MADE.clear()
    deciding = decider.Decider(interpreter.Compiled.of(BUNDLE))
    if first == "prepared":
        deciding.prepare()
    assert deciding.ask(DECISION, "{}") == "{}"
    deciding.release()
    (built,) = MADE
    assert built.ahead is (first == "prepared")
    assert built.dropped


def test_warming_asks_each_entrypoint_about_nothing():
    built = interpreter.Interpreter(interpreter.Compiled.of(BUNDLE))
    built._shared = Recorder()
    built.warm()
    assert built._shared.seen == [("input", "{}"), ("rule", DECISION)]


def test_what_an_agents_policy_says_is_handed_over_beside_the_question():
    shared = f"package bywire.a\ndefault decision := {{}}\ndenials contains denial if some denial in {DISPATCH}\n"
    own = 'package bywire.agents["db"]\ndeny contains {"rule": "agents.db.w", "facts": {}} if input.w > 1\n'
    files = {"manifest.json": json.dumps(MANIFEST), "a.rego": shared, "agents/db.rego": own}
    built = interpreter.Interpreter(
        interpreter.Compiled.of(parse_bundle({name: text.encode() for name, text in files.items()}))
    )
    built._shared = Recorder()
    question = '{"principal": {"id": "agent:db"}, "w": %d}'
    for weight in (1, 2):
        built.answer(DECISION, question % weight)
    said = [json.loads(text)["agents/own"]["deny"] for kind, text in built._shared.seen if kind == "input"]
    assert said == [[], [{"rule": "agents.db.w", "facts": {}}]]
