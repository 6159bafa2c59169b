"""Services, builds and tests that misbehave: the delivery ends with a reason a person understands, and nothing is left.

Nothing left means: no process, no canary, no traffic moved, and a log that verifies.
"""

import contextlib
import os
from pathlib import Path

import pytest
import yaml
from scene import FILES, GREETED, INTENT, SERVICE, START, Scene, untouched, wait_until

from bywire.adapters.sandbox import Sandbox
from bywire.adapters.sandbox_result import IsolationLevel

COMMANDS = INTENT["commands"]
MARK = "31415.0926"
SOAK = pytest.mark.soak  # rows that differ from their neighbours in little
FORKS = f"""import os, time
for _ in range(8):
    if not os.fork():
        os.setsid()
        time.sleep({MARK})
"""
DAEMON = f"""    if not os.fork():
        os.setsid()
        if not os.fork():
            import time
            time.sleep({MARK})
        os._exit(0)
    return 1 if failed"""
BOMB = "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.1)\n"


def intent(**commands):
    changed = {name: command for name, command in {**COMMANDS, **commands}.items() if command is not None}
    return {"bywire.yaml": yaml.safe_dump({**INTENT, "commands": changed}, sort_keys=False)}


def runs(*argv, **more):
    return {"run": list(argv), **more}


def run_tests_as(**more):
    return {**COMMANDS["test"], **more}


def starts(code, **more):
    return intent(start=runs("python", "-c", code, ready="/healthz", ready_timeout_seconds=1, **more))


@pytest.fixture
def open_scene(tmp_path):
    opened = []

    def make(files):
        opened.append(Scene(tmp_path / "scene", {**FILES, **files}).prepared())
        return opened[-1]

    yield make
    for scene in opened:
        scene.close()


@pytest.mark.parametrize(
    ("files", "code", "phase", "rule", "told"),
    [
        (intent(test=None), 2, "failed", "test_command_missing", "no test command"),
        (intent(test=run_tests_as(run=["no-such-runner"])), 2, "failed", "command_not_found", "no-such-runner"),
        pytest.param(
            intent(build=runs("no-such-compiler")), 2, "failed", "command_not_found", "no-such-compiler", marks=SOAK
        ),
        (
            intent(build=runs("python", "-c", "raise SystemExit(7)")),
            1,
            "stopped",
            "coder.obligation_missing",
            "the build command ended with code 7",
        ),
        (
            intent(build=runs("python", "-c", "import time; time.sleep(99)", timeout_seconds=1)),
            1,
            "stopped",
            "coder.obligation_missing",
            "the build command ran out of time",
        ),
        (
            {"tiny/service.py": SERVICE.replace('b"ok"', 'b"no"')},
            1,
            "stopped",
            "tester.obligation_missing",
            "failing: tests.run.test_health_property",
        ),
        (
            intent(test=run_tests_as(junit="reports/none.xml")),
            1,
            "stopped",
            "tester.obligation_missing",
            "no report at reports/none.xml",
        ),
        pytest.param(
            {"tests/run.py": "import time\ntime.sleep(99)\n", **intent(test=run_tests_as(timeout_seconds=1))},
            1,
            "stopped",
            "tester.obligation_missing",
            "the test command ran out of time",
            marks=SOAK,
        ),
        (
            {"tests/run.py": f"{FORKS}time.sleep(99)\n", **intent(test=run_tests_as(timeout_seconds=1))},
            1,
            "stopped",
            "tester.obligation_missing",
            "the test command ran out of time",
        ),
        (
            {"tests/run.py": BOMB, **intent(test=run_tests_as(timeout_seconds=2))},
            1,
            "stopped",
            "tester.obligation_missing",
            "the test command ran out of time",
        ),
    ],
)
def test_what_a_role_cannot_show_stops_the_delivery(open_scene, files, code, phase, rule, told):
    scene = open_scene(files)
    ran = scene.deliver("g")
    assert (ran.code, ran.json["phase"], ran.err) == (code, phase, "")
    assert [reason["rule"] for reason in ran.json["reasons"]] == [rule]
    facts = ran.json["reasons"][0]["facts"]
    assert told in facts["message"]
    assert facts["next_step"]
    assert untouched(scene)
    assert nobody_left(scene)
    assert scene.bywire("audit", "verify").code == 0


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (starts("print('no DSN given'); raise SystemExit(3)"), "no DSN given"),
        (starts("import time; time.sleep(99)"), "did not answer 2xx within 1 s"),
        (
            starts(START.replace("import Handler", "import Handler\nHandler.do_GET = lambda s: s.reply(500, b'')")),
            "2xx",
        ),
        (intent(start=runs("no-such-server", ready_timeout_seconds=1)), "no-such-server"),
        (intent(start=None), "no way to start"),
    ],
)
def test_a_service_that_does_not_start_is_never_exposed(open_scene, files, told):
    scene = open_scene(files)
    assert scene.approve(scene.deliver("g").approval).code == 0
    ran = scene.deliver("g")
    assert (ran.code, ran.json["phase"], ran.err) == (2, "failed", "")
    assert [reason["rule"] for reason in ran.json["reasons"]] == ["rollout.deploy_release_failed"]
    assert told in ran.json["reasons"][0]["facts"]["message"]
    assert told in scene.bywire("status", ran.json["id"]).out
    status = scene.target.status()
    assert (status["stable"], status["canary"], status["superseded"]) == (None, None, [])
    assert scene.bywire("audit", "verify").code == 0


def test_a_second_release_that_does_not_start_leaves_the_first_one_serving(open_scene):
    scene = open_scene({}).released()
    before = scene.target.status()["stable"]
    scene.traffic()
    since = scene.target.status()["interval_now"]
    scene.commit("broken", {"tiny/service.py": SERVICE.replace("class Handler", "class Handle")}, branch="broken")
    assert scene.approve(scene.deliver("g").approval).code == 0
    ran = scene.deliver("g")
    assert (ran.code, ran.json["phase"]) == (1, "rolled_back")
    assert [reason["rule"] for reason in ran.json["reasons"]] == ["rollout.deploy_release_failed"]
    assert "cannot import name 'Handler'" in " ".join(event["text"] for event in ran.json["events"])
    status = scene.target.status()
    assert (status["stable"], status["canary"]) == (before, None)
    assert not any(row.errors for row in scene.target.telemetry(since))


def test_tests_that_leave_a_daemon_behind_leave_none(open_scene):
    scene = open_scene({"tests/run.py": FILES["tests/run.py"].replace("    return 1 if failed", DAEMON)})
    assert scene.deliver("g").code == 3
    assert nobody_left(scene)


def test_output_without_end_is_bounded(open_scene):
    loud = FILES["tests/run.py"].replace("    return 1 if", "    print('x' * 20_000_000)\n    return 1 if")
    scene = open_scene({"tests/run.py": loud})
    ran = scene.deliver("g")
    assert ran.code == 3
    assert (scene.operator / "bywire.db").stat().st_size < 1_000_000


def test_a_change_of_a_branch_while_it_is_delivered_is_noticed(open_scene):
    scene = open_scene({}).released()
    scene.commit("greet", GREETED, branch="greet")
    first = scene.deliver("g").json
    scene.commit("more", {"tiny/service.py": SERVICE.replace("hello", "hi there")})
    second = scene.deliver("g").json
    assert second["id"] != first["id"]
    assert second["artifact"] != first["artifact"]
    assert second["approval_id"] != first["approval_id"]


def nobody_left(scene):
    """Whether every process of the tests is gone; only a host that isolates can promise it."""
    if Sandbox(search_path=["/usr/bin", "/bin"]).isolation().level is IsolationLevel.NONE or not Path("/proc").is_dir():
        return True
    wait_until(lambda: MARK.encode() not in b"".join(map(_command_line, os.listdir("/proc"))))
    return True


def _command_line(pid):
    if pid.isdigit():
        with contextlib.suppress(OSError):
            return Path("/proc", pid, "cmdline").read_bytes()
    return b""
