import asyncio
import gc
import json
import os
import threading
import warnings

import pytest
import regorus
from knowledge import ACTION, GATE, asking, bundle, fixture, merged

from bywire.model.decision import Effect
from bywire.model.errors import PolicyError
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import (
    ENGINE_VERSION,
    INPUT_BYTES_MAX,
    RULES,
    PolicyEngine,
    canonical_input,
    decider,
    interpreter,
)
from bywire.policy.engine import policy_engine as module
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex

ENGINE = PolicyEngine(bundle())
READ = asking("get_deployment_status", "read", {})
DECISION = "data.bywire.a.decision"


def engine_for(text, revision=1, **more):
    manifest = {"revision": revision, "input_version": 1, "entrypoints": [DECISION]}
    source = "package bywire.a\ndefault decision := {}\n" + text
    return PolicyEngine(bundle_for(manifest, source), **more)


def bundle_for(manifest, source):
    return parse_bundle({"manifest.json": json.dumps(manifest).encode(), "a.rego": source.encode()})


def answer(effect="allow", reasons='[{"rule": "a.b", "facts": {}, "hard": false}]', tier="low", rest=""):
    return (
        f'decision := {{"effect": "{effect}", "reasons": {reasons}, "tier": "{tier}", '
        f'"obligations": [], "required": {{}}{rest}}}'
        " if input.a == 1\n"
    )


class Broken:
    """An engine that breaks in the way it is told to."""

    def __init__(self, error):
        self.error = error

    def add_policy(self, path, source):
        pass

    def add_data_json(self, data):
        pass

    def set_input_json(self, text):
        raise self.error


class PanicError(BaseException):
    pass


def test_a_decision_names_what_it_is_a_function_of():
    decision = ENGINE.decide(ACTION, READ)
    digest = sha256_hex(jcs.canonical(READ))
    named = [ENGINE_VERSION, bundle().digest, ACTION, digest]
    assert decision.effect is Effect.ALLOW
    assert (decision.engine, decision.bundle_digest, decision.entrypoint, decision.input_digest) == tuple(named)
    assert decision.id == sha256_hex(jcs.canonical(named))[:32]
    assert "regorus/0.13" in ENGINE_VERSION


def test_rule_07_the_same_question_gives_the_same_decision():
    again = PolicyEngine(bundle(), linted=True)
    for question in (READ, fixture("start"), merged(READ, {"version": 2})):
        first = ENGINE.decide(ACTION, question)
        assert again.decide(ACTION, dict(reversed(question.items()))) == first
        assert ENGINE.replay(ACTION, canonical_input(question)) == first
        assert ENGINE.replay(ACTION, json.dumps(question, indent=2).encode()) == first
        assert ENGINE.decide_canonical(ACTION, canonical_input(question)) == first


def test_another_question_or_bundle_has_another_id():
    decisions = {
        ENGINE.decide(ACTION, READ).id,
        ENGINE.decide(GATE, READ).id,
        ENGINE.decide(ACTION, merged(READ, {"now_ms": 1})).id,
        engine_for(answer()).decide(DECISION, {"a": 1}).id,
        engine_for(answer(), revision=2).decide(DECISION, {"a": 1}).id,
    }
    assert len(decisions) == 5


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (answer("yes"), "engine.shape"),
        (answer(tier="huge"), "engine.shape"),
        (answer(reasons="[]"), "engine.shape"),
        (answer(reasons='[{"rule": 1, "facts": {}}]'), "engine.shape"),
        (answer(rest=', "extra": 1'), "engine.shape"),
        ("decision := true if input.a == 1\n", "engine.shape"),
        ('decision := "<undefined>" if input.a == 1\n', "engine.undefined"),
        ("decision := 1 / 0 if input.a == 1\n", "engine.error"),
        ('decision := {"effect": "allow"} if startswith(input.a, "x")\n', "engine.error"),
    ],
)
def test_rule_08_an_answer_that_is_no_decision_is_a_deny(text, rule):
    decision = engine_for(text).decide(DECISION, {"a": 1})
    assert decision.effect is Effect.DENY
    assert [(reason.rule, reason.hard) for reason in decision.reasons] == [(rule, True)]
    assert rule in RULES


@pytest.mark.parametrize("effect", list(Effect))
def test_each_effect_comes_through(effect):
    assert engine_for(answer(effect.value)).decide(DECISION, {"a": 1}).effect is effect


def test_an_unknown_entrypoint_is_a_deny():
    decision = ENGINE.decide("data.bywire.capability.deny", READ)
    assert (decision.effect, decision.reasons[0].rule) == (Effect.DENY, "engine.undefined")


def test_an_oversize_input_is_a_deny():
    fits = merged(READ, {"padding": "x" * (INPUT_BYTES_MAX - len(canonical_input(READ)) - 13)})
    assert len(canonical_input(fits)) == INPUT_BYTES_MAX
    assert ENGINE.decide(ACTION, fits).effect is Effect.ALLOW
    decision = ENGINE.decide(ACTION, merged(fits, {"padding": fits["padding"] + "x"}))
    assert decision.effect is Effect.DENY
    assert decision.reasons[0].rule == "engine.input_too_large"
    assert decision.reasons[0].facts == {"bytes": INPUT_BYTES_MAX + 1, "limit": INPUT_BYTES_MAX}


@pytest.mark.parametrize("value", [{"a": object()}, {"a": 2**60}, {"a": "\ud800"}])
def test_an_input_that_is_no_json_is_a_deny(value):
    decision = ENGINE.decide(ACTION, value)
    assert (decision.effect, decision.reasons[0].rule, decision.input_digest) == (Effect.DENY, "engine.error", "")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1", b'{"a": \xff}'])
def test_a_recorded_input_that_does_not_parse_is_a_deny(text):
    assert ENGINE.replay(ACTION, text).reasons[0].rule == "engine.error"


@pytest.mark.parametrize("depth", [70, 5000])
def test_a_deeply_nested_input_is_a_deny_not_a_crash(depth):
    nested = READ
    for _ in range(depth):
        nested = {"a": nested}
    assert ENGINE.decide(ACTION, nested).effect is Effect.DENY


@pytest.mark.parametrize(
    "error", [PanicError("panicked"), RuntimeError("broken\n\nStack backtrace:\n0: x"), MemoryError()]
)
def test_rule_08_an_engine_that_breaks_is_a_deny_and_is_replaced(monkeypatch, by_the_long_way, error):
    engine = PolicyEngine(bundle(), linted=True)
    with monkeypatch.context() as patched:
        patched.setattr(interpreter.regorus, "Engine", lambda: Broken(error))
        decision = engine.decide(ACTION, READ)
    assert decision.effect is Effect.DENY
    assert decision.reasons[0].rule == "engine.error"
    assert "backtrace" not in decision.reasons[0].facts["detail"]
    assert engine.decide(ACTION, READ).effect is Effect.ALLOW


@pytest.fixture
def by_the_long_way(monkeypatch):
    """Reads go to the interpreter; what the virtual machine does with them is test_reads' business."""
    monkeypatch.setattr(decider, "answer_read", lambda *_: None)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()])
def test_rule_08_being_told_to_stop_is_recorded_as_a_deny_and_goes_on(monkeypatch, by_the_long_way, error):
    recorded = []
    engine = PolicyEngine(bundle(), linted=True, on_abort=recorded.append)
    monkeypatch.setattr(interpreter.regorus, "Engine", lambda: Broken(error))
    with pytest.raises(type(error)):
        engine.decide(ACTION, READ)
    assert [(denied.effect, denied.reasons[0].rule) for denied in recorded] == [(Effect.DENY, "engine.error")]
    assert recorded[0].input_digest == sha256_hex(jcs.canonical(READ))


def test_one_thread_builds_and_answers_whoever_asks(monkeypatch, by_the_long_way):
    built = []
    real = regorus.Engine
    engine = PolicyEngine(bundle(), linted=True)
    monkeypatch.setattr(interpreter.regorus, "Engine", lambda: built.append(threading.get_ident()) or real())
    decisions = []
    threads = [
        threading.Thread(target=lambda: decisions.extend(engine.decide(ACTION, READ) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decisions) == 80
    assert {decision.effect for decision in decisions} == {Effect.ALLOW}
    assert len(built) == 1
    assert built[0] not in {thread.ident for thread in threads}


def test_a_released_engine_decides_again():
    engine = engine_for(answer())
    before = engine.decide(DECISION, {"a": 1})
    deciders = {thread for thread in threading.enumerate() if thread.name == "bywire-decider"}
    engine.release()
    assert len(deciders - set(threading.enumerate())) == 1
    assert engine.decide(DECISION, {"a": 1}) == before
    engine.release()
    engine.release()


def test_an_engine_that_nobody_holds_ends_its_thread():
    before = set(threading.enumerate())
    engine = engine_for(answer())
    engine.decide(DECISION, {"a": 1})
    (decider,) = set(threading.enumerate()) - before
    del engine
    gc.collect()
    decider.join(10)
    assert not decider.is_alive()


def test_a_forked_child_decides_with_a_thread_of_its_own():
    engine = engine_for(answer())
    before = engine.decide(DECISION, {"a": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads are there is the point
        child = os.fork()
    if child == 0:
        os._exit(0 if engine.decide(DECISION, {"a": 1}) == before else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_swap_is_whole_and_a_bad_bundle_changes_nothing():
    engine = engine_for(answer())
    before = engine.decide(DECISION, {"a": 1})
    manifest = {"revision": 2, "input_version": 1, "entrypoints": [DECISION]}
    with pytest.raises(PolicyError):
        engine.swap(bundle_for(manifest, "package bywire.a\ndecision := time.now_ns()\n"))
    assert engine.decide(DECISION, {"a": 1}) == before
    engine.swap(bundle_for(manifest, "package bywire.a\ndefault decision := {}\n" + answer("deny")))
    after = engine.decide(DECISION, {"a": 1})
    assert after.effect is Effect.DENY
    assert after.bundle_digest == engine.bundle_digest != before.bundle_digest


def test_a_call_ends_under_the_bundle_it_began_with(monkeypatch):
    engine = engine_for(answer())
    began_with = engine.bundle_digest
    manifest = {"revision": 2, "input_version": 1, "entrypoints": [DECISION]}
    later = bundle_for(manifest, "package bywire.a\ndefault decision := {}\n" + answer("deny"))
    real = module.sha256_hex
    monkeypatch.setattr(module, "sha256_hex", lambda data: (engine.swap(later), real(data))[1])
    decision = engine.decide(DECISION, {"a": 1})
    assert (decision.bundle_digest, decision.effect) == (began_with, Effect.ALLOW)


def test_a_bundle_that_cannot_be_loaded_is_never_adopted(monkeypatch):
    engine = engine_for(answer())
    before = engine.decide(DECISION, {"a": 1})
    manifest = {"revision": 2, "input_version": 1, "entrypoints": [DECISION]}
    later = bundle_for(manifest, "package bywire.a\ndefault decision := {}\n" + answer("deny"))
    with monkeypatch.context() as patched:
        patched.setattr(interpreter.regorus, "Engine", lambda: Broken(PanicError("panicked")))
        with pytest.raises(PolicyError) as refused:
            engine.swap(later, linted=True)
    assert refused.value.code == "policy_crashed"
    assert engine.decide(DECISION, {"a": 1}) == before


def test_a_prepared_bundle_decides_only_once_it_is_adopted():
    engine = engine_for(answer())
    manifest = {"revision": 2, "input_version": 1, "entrypoints": [DECISION]}
    ready = engine.prepare(bundle_for(manifest, "package bywire.a\ndefault decision := {}\n" + answer("deny")))
    assert engine.decide(DECISION, {"a": 1}).effect is Effect.ALLOW
    engine.adopt(ready)
    assert engine.decide(DECISION, {"a": 1}).effect is Effect.DENY


def test_rule_08_no_decision_is_torn_while_bundles_change():
    """Under load, every decision's answer is that of the bundle it names."""
    engine = engine_for(answer())
    texts = [answer("allow"), answer("deny")]
    bundles = [
        bundle_for(
            {"revision": 2 + number, "input_version": 1, "entrypoints": [DECISION]},
            "package bywire.a\ndefault decision := {}\n" + texts[number % 2],
        )
        for number in range(10)
    ]
    expected = {bundle.digest: ("allow", "deny")[number % 2] for number, bundle in enumerate(bundles)}
    expected[engine.bundle_digest] = "allow"
    decisions, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            decisions.append(engine.decide(DECISION, {"a": 1}))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for bundle_after in bundles:
        engine.swap(bundle_after)
    ended.set()
    for thread in threads:
        thread.join()
    assert {decision.bundle_digest for decision in decisions} <= set(expected)
    assert [d for d in decisions if d.effect != expected[d.bundle_digest]] == []


def test_a_bundle_that_fails_the_lint_never_decides():
    with pytest.raises(PolicyError):
        engine_for("x := nosuch(1)\n")
