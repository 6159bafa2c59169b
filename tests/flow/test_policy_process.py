"""Policies that want to hurt whoever looks at them: each ends in a code, none in the process that asked."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from policy_bundles import ENTRY, RULES, small, with_agent

from bywire.adapters import policy_process
from bywire.adapters.policy_child import ProcessLimits
from bywire.adapters.policy_process import examine_apart
from bywire.model.decision import Effect
from bywire.model.errors import PolicyError
from bywire.policy import lint
from bywire.policy.bundle import parse_bundle
from bywire.policy.examination import Question, Request, examine

# Everybody asks for it, so whatever it hides is evaluated even for an empty question.
ASKED = '\ndenials contains {"rule": "a.asked", "facts": {}} if count(work) > 0\n'
TRIPLE = """
numbers := data.bywire.table.many.n
work contains 1 if {
	some a in numbers
	some b in numbers
	some c in numbers
	a + b + c < 0
}
"""
PAIRS = """
numbers := data.bywire.table.many.n
pairs := [[a, b] | some a in numbers; some b in numbers]
work := [[x, y] | some x in pairs; some y in pairs]
"""
DOUBLING = 'x0 := ["sixteen letters."]\n' + "".join(f"x{n} := array.concat(x{n - 1}, x{n - 1})\n" for n in range(1, 40))
CALLS = "".join(f"f{n}(a) := f{n + 1}(a)\n" for n in range(3_000)) + "f3000(a) := [a]\nwork := f0(1)\n"
BRACKETS = f"\nwork := {'[' * 30}1{']' * 30}\n"
MANY = {"table/many.json": json.dumps({"n": list(range(2_000))}).encode()}


def attack(text, **more):
    return Request(small(a_rego=RULES + ASKED + text) | MANY, **more)


def lints(request):
    """The lint alone lets it pass: what it cannot bound is what the process is for."""
    return lint.lint(parse_bundle({name: body for name, body in request.files.items() if "_test" not in name})) == ()


def test_a_bundle_that_is_fit_comes_back_as_it_would_in_process():
    for files in (small(), with_agent()):
        request = Request(files, questions=(Question(ENTRY, {"go": True}), Question(ENTRY, {})))
        found = examine_apart(request)
        assert found.fit
        assert [decision.effect for decision in found.decisions] == [Effect.ALLOW, Effect.DENY]
        assert found == examine(request)


def test_rule_08_brackets_that_would_be_read_for_hours_are_refused_before():
    began = time.monotonic()
    found = examine_apart(attack(BRACKETS), ProcessLimits(wall_seconds=15))
    assert not found.fit
    assert "nests deeper than" in str(found)
    assert time.monotonic() - began < 15


def test_rule_08_what_never_ends_is_killed_in_time():
    request = attack(TRIPLE)
    assert lints(request)
    began = time.monotonic()
    with pytest.raises(PolicyError) as refused:
        examine_apart(request, ProcessLimits(wall_seconds=1.5))
    assert refused.value.code == "policy_timeout"
    assert refused.value.next_step
    assert time.monotonic() - began < 15


def test_processor_time_is_bounded_too():
    with pytest.raises(PolicyError) as refused:
        examine_apart(attack(TRIPLE), ProcessLimits(wall_seconds=60, cpu_seconds=1))
    assert refused.value.code == "policy_timeout"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces RLIMIT_DATA")
@pytest.mark.parametrize("text", [DOUBLING + "work := x39\n", PAIRS], ids=["doubling", "huge comprehension"])
def test_rule_08_what_wants_all_memory_dies_alone(text):
    request = attack(text)
    assert lints(request)
    with pytest.raises(PolicyError) as refused:
        examine_apart(request, ProcessLimits(wall_seconds=60, cpu_seconds=3))
    assert refused.value.code in {"policy_crashed", "policy_timeout"}


def test_rule_08_a_chain_of_calls_that_overflows_the_stack_dies_alone():
    request = attack(CALLS)
    assert lints(request)
    with pytest.raises(PolicyError) as refused:
        examine_apart(request)
    assert refused.value.code == "policy_crashed"
    assert "SIGSEGV" in refused.value.message or "SIGBUS" in refused.value.message


def test_deep_data_is_no_table():
    deep = b'{"n": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001
    found = examine_apart(Request(small() | {"table/deep.json": deep}))
    assert found.error["code"] == "bundle_table"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("raise BaseException('the engine panicked')", "the engine panicked"),
        ("import os; os._exit(3)", "exit code 3"),
        ("print('{')", "no answer"),
        ("pass", "no answer"),
    ],
)
def test_a_process_that_ends_in_another_way_has_crashed(monkeypatch, program, said):
    monkeypatch.setattr(policy_process, "_CHILD", program)
    with pytest.raises(PolicyError, match=said) as refused:
        examine_apart(Request(small()))
    assert refused.value.code == "policy_crashed"


def test_the_process_sees_nothing_of_ours(monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_TEST", "x")
    program = "import json, os, sys; print(json.dumps(dict(os.environ)), file=sys.stderr, flush=True); os.abort()"
    monkeypatch.setattr(policy_process, "_CHILD", program)
    with pytest.raises(PolicyError) as refused:
        examine_apart(Request(small()))
    assert "SECRET_OF_THE_TEST" not in refused.value.message
    assert "TMPDIR" in refused.value.message


def test_what_the_process_started_dies_with_it(monkeypatch, tmp_path):
    note = tmp_path / "pid"
    program = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '60']);"
        f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    monkeypatch.setattr(policy_process, "_CHILD", program)
    with pytest.raises(PolicyError):
        examine_apart(Request(small()), ProcessLimits(wall_seconds=2))
    pid = int(note.read_text())
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


def test_who_is_interrupted_leaves_no_process_behind(monkeypatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(
        policy_process.subprocess, "Popen", lambda *args, **more: started.append(real(*args, **more)) or started[-1]
    )
    # A runner may have been started with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(1.0, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            examine_apart(attack(TRIPLE))
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert started[0].returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(started[0].pid, 0)
