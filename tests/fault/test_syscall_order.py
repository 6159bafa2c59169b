"""No effect leaves the process before its intent lies on the disk, as the kernel saw it (RULES 11).

A whole rollout and a rollback run under strace against the real local target.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from scene import GREETED, Scene
from syscall_trace import COMMAND, VERBS, calls, undurable

KEY = "agent:x|set_canary_weight|k"
DIGEST = "bc6c0d0cd44a9fed9a9c2d5e9d4a1d6b6ea4e9d4f5ff2e22b0a0c5d0d1b2f9b5"


def tracer(directory):
    """The prefix that traces a command; skips where the host has no strace or lets nobody trace."""
    probe = [*COMMAND, "-o", str(directory / "probe"), "true"]
    if shutil.which("strace") is None or subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        return pytest.skip("strace cannot run here")
    return COMMAND


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """What was sent and synced while a change was rolled out and back; with the intents of both."""
    directory = tmp_path_factory.mktemp("traced")
    prefix = tracer(directory)
    scene = Scene(directory / "scene").prepared().released()
    try:
        scene.traffic(200)
        scene.commit("greet", GREETED, branch="greet")
        assert scene.approve(scene.deliver("greet").approval).code == 0
        before = len(intents_of(scene))
        found = []
        for arguments in (("deliver", "--json", "--goal", "greet"), ("rollback", "--json")):
            place = directory / f"trace-{len(found)}"
            process = scene.spawn(*arguments, prefix=(*prefix, "-o", str(place)))
            out, err = process.communicate(timeout=120)
            if process.returncode == 3:
                assert scene.approve(json.loads(out)["approval_id"]).code == 0
                process = scene.spawn(*arguments, prefix=(*prefix, "-o", str(place)))
                out, err = process.communicate(timeout=120)
            assert process.returncode == 0, out + err
            found.append(calls(place.read_text(errors="replace").splitlines()))
        return found, intents_of(scene)[before:], str(scene.operator / "bywire.db")
    finally:
        scene.close()


def intents_of(scene):
    opened = scene.workspace()
    try:
        return opened.reader.rows("SELECT key, tool FROM intents ORDER BY entry")
    finally:
        opened.close()


@pytest.mark.timeout(300)
def test_every_intent_is_durable_before_its_effect_is_sent(traced):
    (rollout, rollback), intents, database = traced
    back = [row for row in intents if row[1] == "rollback_release"]
    there = [row for row in intents if row[1] != "rollback_release"]
    assert len(back) == 1
    assert {"deploy_release", "set_canary_weight", "promote_release"} <= {tool for _, tool in there}
    assert undurable(rollout, there, database) == []
    assert undurable(rollback, back, database) == []


def test_the_other_order_would_be_seen(traced):
    """The same trace with each sync moved behind the send that waited for it."""
    (rollout, _), intents, database = traced
    there = [row for row in intents if row[1] != "rollback_release"]
    unsynced = [call for call in rollout if call.name not in {"fsync", "fdatasync"}]
    assert undurable(unsynced, there, database) == [f"{key}: sent before its intent was synced" for key, _ in there]
    reversed_ = [call for call in rollout if not call.path.endswith("-wal")]
    assert undurable(reversed_, there, database) == [f"{key}: sent before its intent was written" for key, _ in there]


# --- the reader of traces itself ---

WRITE = rf'11 pwrite64(5</w/db-wal>, "..{KEY}..", 4096, 0) = 4096'
SYNC = "11 fdatasync(5</w/db-wal>) = 0"
SEND = r'12 sendto(9<socket:[77]>, "{\"verb\":\"renew\",\"epoch\":1}\n", 30, 0, NULL, 0) = 30'


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([WRITE, SYNC, SEND], []),
        ([WRITE, SEND, SYNC], ["synced"]),
        ([SYNC, WRITE, SEND], ["synced"]),
        ([SEND, WRITE, SYNC], ["written"]),
        ([SYNC, SEND], ["written"]),
        ([WRITE, SYNC], ["nothing was sent"]),
        ([WRITE, "11 fdatasync(5</w/other>) = 0", SEND], ["synced"]),
        ([WRITE, "11 fdatasync(5</w/db-wal>) = -1 EIO (Input/output error)", SEND], ["synced"]),
        ([WRITE, "11 fdatasync(5</w/db-wal> <unfinished ...>", SEND, "11 <... fdatasync resumed>) = 0"], ["synced"]),
        ([WRITE, "11 fdatasync(5</w/db-wal> <unfinished ...>", "11 <... fdatasync resumed>) = 0", SEND], []),
        ([WRITE, "11 fdatasync(5</w/db-wal> <unfinished ...>", SEND], ["synced"]),
        ([WRITE, SYNC, SEND.replace("renew", "status")], ["nothing was sent"]),
        ([WRITE, SYNC, SEND.replace(r"\"epoch\":1", rf"\"key\":\"{DIGEST}\"")], ["nothing was sent"]),
    ],
)
def test_rows_of_traces(lines, wrong):
    found = undurable(calls(lines), [(KEY, "renew_canary_lease")], "/w/db")
    assert len(found) == len(wrong)
    assert all(part in line for part, line in zip(wrong, found, strict=True))


def test_every_effect_of_the_target_has_its_verb():
    """A tool that the executor learns must be learnt here, too."""
    executor = Path(__file__).parents[2] / "src" / "bywire" / "adapters" / "target_executor.py"
    cases = re.findall(r"^ +case (\".*\"):$", executor.read_text(), re.MULTILINE)
    assert set(re.findall(r'"(\w+)"', " ".join(cases))) == set(VERBS)
