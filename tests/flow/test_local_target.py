"""The local target end to end: a real process, real instances in the sandbox, real HTTP through the router."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from bywire.adapters.local_target_client import LocalTarget
from bywire.model.errors import TargetError
from bywire.model.intent import StartCommand

SEARCH_PATH = [os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin"]
OLD, NEW, NEWER = "a" * 64, "b" * 64, "c" * 64
START = StartCommand(run=("python", "-S", "service.py"), ready="/healthz", ready_timeout_seconds=10, port_env="PORT")
SERVICE = textwrap.dedent("""
    import json, os, sys
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    NAME, KEY = os.environ["NAME"], os.environ.get("KEY", "")
    warm = []
    if NAME == "broken":
        sys.exit("cannot start: no database")

    class Service(BaseHTTPRequestHandler):
        protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
        def log_message(self, *_): pass
        def reply(self, status, value):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Bywire-Arm", NAME)
            self.end_headers()
            self.wfile.write(body)
        def do_GET(self):
            if self.path == "/crash":
                os._exit(1)
            failing = NAME == "failing" and self.headers.get("x-client-segment") == "ios"
            self.reply(500 if failing else 200, {"name": NAME, "warm": warm, "headers": dict(self.headers)})
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/internal/warm":
                warm.append(1)
            self.reply(503 if self.path == "/cold" else 200, {"name": NAME, "length": len(body)})

    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Service).serve_forever()
""")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    directory = tmp_path_factory.mktemp("artifact")
    (directory / "service.py").write_text(SERVICE)
    return directory


class Rig:
    """A target, its controller's epoch, and a client of the service."""

    def __init__(self, directory, artifact):
        self.directory, self.artifact = directory, artifact
        self.target = LocalTarget(directory, search_path=SEARCH_PATH)
        self.target.ensure_running()
        self.epoch, self.keys = 1, 0

    def key(self):
        self.keys += 1
        return f"test:{self.keys}"

    @property
    def version(self):
        return self.target.status()["version"]

    @property
    def port(self):
        return self.target.status()["router_port"]

    def stage(self, digest, name, **changed):
        arguments = {
            "key": self.key(), "epoch": self.epoch, "expect_version": self.version, "digest": digest,
            "artifact_dir": self.artifact, "start": START, "env": {"NAME": name},
        }  # fmt: skip
        return self.target.stage(**{**arguments, **changed})

    def weight(self, digest, weight, segments=(), lease_seconds=60.0, **changed):
        arguments = {
            "key": self.key(), "epoch": self.epoch, "expect_version": self.version, "digest": digest, "weight": weight,
            "segments": segments, "lease_seconds": lease_seconds,
        }  # fmt: skip
        return self.target.set_weight(**{**arguments, **changed})

    def promote(self, digest):
        return self.target.promote(key=self.key(), epoch=self.epoch, expect_version=self.version, digest=digest)

    def serve(self, digest, name):
        self.stage(digest, name)
        return self.promote(digest)

    def get(self, path="/", port=None, method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null"), dict(response.getheaders())
        finally:
            connection.close()

    def names(self, count, **headers):
        """Who answers `count` different users on one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        found = Counter()
        for user in range(count):
            connection.request("GET", "/", headers={"x-user-id": f"user-{user}", **headers})
            response = connection.getresponse()
            found[json.loads(response.read()).get("name", response.status)] += 1
        connection.close()
        return found


@pytest.fixture
def rig(tmp_path, artifact):
    rig = Rig(tmp_path / "target", artifact)
    yield rig
    try:
        rig.target.shutdown()
    except TargetError as error:
        assert error.code == "target_unreachable"


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not reached in time"
        time.sleep(0.02)


def ended(pid):
    """Whether a process has ended (an orphan stays a zombie until the host's init looks)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def refused(code, call, *arguments, **fields):
    with pytest.raises(TargetError) as caught:
        call(*arguments, **fields)
    assert caught.value.code == code, caught.value.message
    return caught.value


def launcher_pids(rig):
    status = rig.target.status()
    facts = [status["stable"], status["canary"], *status["superseded"]]
    return {fact["digest"]: fact.get("pid") for fact in facts if fact}


def test_a_release_from_nothing_to_canary_to_stable_and_back(rig):
    status, body, _ = rig.get()
    assert (status, body["error"]["code"]) == (503, "http_503")
    assert rig.serve(OLD, "old")["stable"] == OLD
    assert rig.get()[1]["name"] == "old"

    rig.stage(NEW, "new")
    assert rig.names(50) == {"old": 50}  # staged is not exposed
    rig.weight(NEW, 25)
    shared = rig.names(800)
    assert 140 <= shared["new"] <= 260
    assert shared["old"] + shared["new"] == 800
    rig.weight(NEW, 100)
    assert rig.names(50) == {"new": 50}
    assert rig.promote(NEW) == {"version": 6, "stable": NEW, "canary": "", "last_good": OLD}
    assert rig.names(20) == {"new": 20}
    assert [fact["digest"] for fact in rig.target.status()["superseded"]] == [OLD]

    answer = rig.target.retreat(key=rig.key(), epoch=1, digest_to=OLD)
    assert (answer["stable"], answer["canary"], answer["durable"]) == (OLD, "", True)
    assert rig.names(20) == {"old": 20}
    assert rig.target.status()["superseded"] == []


def test_users_stick_to_their_arm_and_headers_do_not_choose_it(rig):
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    rig.weight(NEW, 20)
    before = {user: rig.get(x_user_id=user)[1]["name"] for user in map(str, range(60))}
    assert set(before.values()) == {"old", "new"}
    rig.weight(NEW, 60)
    for user, name in before.items():
        for forged in ({}, {"x_bywire_arm": "stable"}, {"x_arm": "stable", "x_canary": "never"}):
            answered = rig.get(x_user_id=user, **forged)[1]["name"]
            assert answered == "new" or name == "old"  # nobody leaves the canary while it grows
    status, body, headers = rig.get(
        x_user_id="1", x_bywire_arm="canary", X_Forwarded_For="6.6.6.6", Connection="keep-alive, X-Secret", X_Secret="s"
    )
    assert status == 200
    assert "bywire" not in str(headers).lower()  # the service's own claim is removed too
    seen = {name.lower(): value for name, value in body["headers"].items()}
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert not {"x-secret", "x-bywire-arm", "connection"} & set(seen)


def test_a_canary_can_be_limited_to_segments_and_unknown_ones_are_other(rig):
    rig.target.configure(
        segment_header="x-client-segment", segments=["ios", "desktop"], slow_threshold_ms=300, interval_seconds=0.2
    )
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    rig.weight(NEW, 100, segments=["ios"])
    assert rig.names(20, **{"x-client-segment": "ios"}) == {"new": 20}
    assert rig.names(20, **{"x-client-segment": "desktop"}) == {"old": 20}
    assert rig.names(20, **{"x-client-segment": "invented"}) == {"old": 20}
    until(lambda: sum(row.requests for row in rig.target.telemetry(0)) == 60)
    assert {(row.segment, row.arm, row.weight) for row in rig.target.telemetry(0)} == {
        ("ios", "canary", 100.0), ("desktop", "stable", 0.0), ("other", "stable", 0.0),
    }  # fmt: skip


def test_the_lease_decays_to_stable_when_nobody_renews_it(rig):
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    rig.weight(NEW, 100, lease_seconds=0.6)
    assert rig.names(5) == {"new": 5}
    until(lambda: rig.names(5) == {"old": 5}, 3)
    status = rig.target.status()
    assert (status["canary"]["weight"], status["canary"]["lease_remaining_seconds"]) == (0.0, 0.0)
    refused("lease_expired", rig.target.renew, epoch=1, digest=NEW, lease_seconds=5)
    assert rig.names(5) == {"old": 5}  # a late renewal revives nothing
    rig.weight(NEW, 100, lease_seconds=0.6)
    for _ in range(5):
        time.sleep(0.2)
        rig.target.renew(epoch=1, digest=NEW, lease_seconds=0.6)
        assert rig.names(2) == {"new": 2}
    refused("invalid_request", rig.weight, NEW, 100, lease_seconds=100_000)


def test_telemetry_counts_errors_of_the_arm_that_failed(rig):
    rig.target.configure(
        segment_header="x-client-segment", segments=["ios", "desktop"], slow_threshold_ms=0.001, interval_seconds=0.2
    )
    rig.serve(OLD, "old")
    rig.stage(NEW, "failing")
    rig.weight(NEW, 50)
    for segment in ("ios", "desktop"):
        rig.names(60, **{"x-client-segment": segment})
    until(lambda: sum(row.requests for row in rig.target.telemetry(0)) == 120)
    rows = rig.target.telemetry(0)
    failed = [row for row in rows if row.errors]
    assert {(row.arm, row.segment, row.digest) for row in failed} == {("canary", "ios", NEW)}
    assert all(row.errors == row.requests for row in failed)
    assert all(row.slow == row.requests and row.latency_ms_sum > 0 for row in rows)
    later = rig.target.status()["interval_now"] + 1
    assert rig.target.telemetry(later) == []
    refused(
        "canary_active",
        rig.target.configure,
        segment_header="x-other",
        segments=[],
        slow_threshold_ms=9999,
        interval_seconds=1,
    )


def test_a_crashed_canary_fails_its_requests_and_nothing_hides_it(rig):
    rig.target.configure(segment_header="x-client-segment", segments=[], slow_threshold_ms=300, interval_seconds=0.2)
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    rig.weight(NEW, 100)
    assert rig.get("/crash")[0] == 502
    until(lambda: not rig.target.status()["canary"]["alive"])
    assert rig.get()[0] == 502  # never silently answered by stable
    until(lambda: sum(row.errors for row in rig.target.telemetry(0) if row.arm == "canary") >= 2)
    refused("not_running", rig.weight, NEW, 50)
    rig.target.retreat(key=rig.key(), epoch=1, digest_to=OLD)
    assert rig.get()[1]["name"] == "old"


def test_a_crashed_stable_comes_back(rig):
    rig.serve(OLD, "old")
    rig.get("/crash")
    until(lambda: rig.get()[0] == 200)
    until(lambda: rig.target.status()["stable"]["alive"])
    assert rig.target.status()["stable"]["restarts"] >= 1


def test_a_release_that_does_not_start_is_refused_with_its_own_words(rig):
    rig.serve(OLD, "old")
    error = refused("not_ready", rig.stage, NEW, "broken")
    assert "no database" in error.message
    assert rig.target.status()["canary"] is None
    missing = StartCommand(run=("no-such-program",))
    assert "no-such-program" in refused("not_ready", rig.stage, NEW, "new", start=missing).message
    refused("invalid_request", rig.stage, NEW, "new", artifact_dir=Path("/no/such/place"))
    assert rig.get()[1]["name"] == "old"


def test_warming_reaches_the_instance_before_exposure(rig):
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    rig.target.warm(key=rig.key(), epoch=1, digest=NEW, path="/internal/warm", timeout_seconds=5)
    refused("warm_failed", rig.target.warm, key=rig.key(), epoch=1, digest=NEW, path="/cold", timeout_seconds=5)
    refused(
        "invalid_request",
        rig.target.warm,
        key=rig.key(),
        epoch=1,
        digest=NEW,
        path="/x HTTP/1.1\r\nEvil: 1",
        timeout_seconds=5,
    )
    rig.weight(NEW, 100)
    assert rig.get()[1]["warm"] == [1]


def test_a_stale_controller_is_fenced_and_a_stale_view_is_refused(rig):
    rig.serve(OLD, "old")
    rig.epoch = 7
    rig.stage(NEW, "new")
    rig.weight(NEW, 50)
    for call in (
        lambda: rig.weight(NEW, 100, epoch=6),
        lambda: rig.target.renew(epoch=6, digest=NEW, lease_seconds=5),
        lambda: rig.target.retreat(key=rig.key(), epoch=6, digest_to=OLD),
        lambda: rig.target.settle(epoch=6),
    ):
        refused("fenced", call)
    assert rig.target.status()["canary"]["weight"] == 50
    refused("precondition_failed", rig.weight, NEW, 100, expect_version=rig.version - 1)
    refused("precondition_failed", rig.weight, NEWER, 100)
    refused("precondition_failed", rig.target.retreat, key=rig.key(), epoch=7, digest_to=NEWER)
    assert rig.target.status()["canary"]["weight"] == 0  # a retreat reduces exposure even when its destination is wrong


def test_a_repeated_key_acts_once_and_keeps_its_answer(rig):
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    version = rig.version
    first = rig.weight(NEW, 10, key="twice", expect_version=version)
    assert rig.weight(NEW, 10, key="twice", expect_version=version) == first
    rig.epoch = 2  # a successor repeats what its predecessor may have sent
    assert rig.weight(NEW, 10, key="twice", expect_version=version) == first
    assert rig.version == first["version"] == version + 1
    refused("idempotency_conflict", rig.weight, NEW, 90, key="twice", expect_version=version)
    assert rig.target.query("twice")["result"] == first
    assert rig.target.query("never") is None
    rig.target.retreat(key="back", epoch=2, digest_to=OLD)
    failing = {"key": "fails", "expect_version": rig.version}
    refused("not_ready", rig.stage, NEWER, "broken", **failing)
    assert rig.target.query("fails")["error"]["code"] == "not_ready"
    refused("not_ready", rig.stage, NEWER, "broken", **failing)


def test_killed_in_mid_rollout_it_recovers_with_the_canary_at_zero(rig):
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    done = rig.weight(NEW, 100, key="before-the-kill", expect_version=rig.version)
    port, instances = rig.port, launcher_pids(rig)
    pid = int((rig.directory / "target.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    if sys.platform == "linux":  # its instances die with it
        for launcher in instances.values():
            until(lambda pid=launcher: ended(pid))
    status = rig.target.ensure_running()
    assert (status["router_port"], status["version"], status["epoch"]) == (port, done["version"], 1)
    assert status["canary"]["weight"] == 0
    until(lambda: rig.get()[0] == 200)
    assert rig.names(10) == {"old": 10}
    until(lambda: rig.target.status()["canary"]["alive"])
    assert len(list((rig.directory / "scratch").iterdir())) == 2  # nothing of the killed instances is left
    assert rig.target.query("before-the-kill")["result"] == done
    rig.weight(NEW, 100)
    assert rig.names(5) == {"new": 5}


def test_it_outlives_the_process_that_started_it(tmp_path, artifact):
    code = f"""
from pathlib import Path
from bywire.adapters.local_target_client import LocalTarget
print(LocalTarget(Path({str(tmp_path / "target")!r}), search_path={SEARCH_PATH!r}).ensure_running()['router_port'])
"""
    started = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    target = LocalTarget(tmp_path / "target", search_path=SEARCH_PATH)
    try:
        assert target.status()["router_port"] == int(started.stdout)
        second = subprocess.run(
            [sys.executable, "-I", "-m", "bywire.adapters.local_target", "--state", str(tmp_path / "target")],
            timeout=30,
        )
        assert second.returncode == 3
    finally:
        target.shutdown()
    refused("target_unreachable", target.status)


def test_settled_instances_end_and_last_good_can_still_be_brought_back(rig):
    rig.serve(OLD, "old")
    rig.serve(NEW, "new")
    launcher = launcher_pids(rig)[OLD]
    assert rig.target.settle(epoch=1) == {"stopped": [OLD]}
    assert not Path(f"/proc/{launcher}").exists()
    rig.target.retreat(key=rig.key(), epoch=1, digest_to=OLD)
    assert rig.names(5) == {"old": 5}


def test_a_retreat_does_not_wait_for_a_stage_that_hangs(rig):
    rig.serve(OLD, "old")
    hangs = StartCommand(run=("python", "-S", "-c", "import time; time.sleep(60)"), ready_timeout_seconds=60)
    stage = {
        "verb": "stage", "key": "hangs", "epoch": 1, "expect_version": rig.version, "digest": NEW,
        "artifact_dir": str(rig.artifact), "start": {"run": hangs.run, "ready_timeout_seconds": 60}, "env": {},
    }  # fmt: skip
    request = json.dumps(stage)
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(os.path.relpath(rig.directory / "target.sock"))
        channel.sendall(request.encode() + b"\n")
        until(lambda: rig.target.query("hangs") is not None)
        started = time.monotonic()
        rig.target.retreat(key=rig.key(), epoch=1, digest_to=OLD)
        assert time.monotonic() - started < 10
        channel.settimeout(10)
        assert json.loads(channel.recv(65_536))["error"]["code"] == "superseded"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_stops_exposure_but_never_a_retreat(rig):
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    rig.weight(NEW, 100)
    (rig.directory / "target.tmp").symlink_to("/dev/full")
    refused("target_disk_full", rig.weight, NEW, 50)
    assert rig.target.status()["canary"]["weight"] == 100
    answer = rig.target.retreat(key=rig.key(), epoch=1, digest_to=OLD)
    assert (answer["stable"], answer["durable"]) == (OLD, False)
    assert rig.names(5) == {"old": 5}
    assert not (rig.directory / "reserve").exists()


def test_every_version_has_its_row_of_history_across_a_kill(rig):
    rig.serve(OLD, "old")
    rig.stage(NEW, "new")
    rig.weight(NEW, 30, key="thirty", epoch=2)
    rig.epoch = 2
    rig.target.retreat(key="back", epoch=2, digest_to=OLD)
    rig.target.configure(segment_header="x-s", segments=("a",), slow_threshold_ms=9, interval_seconds=1)
    refused("fenced", rig.weight, NEW, 10, epoch=1)
    os.kill(int((rig.directory / "target.pid").read_text()), signal.SIGKILL)
    rig.target.ensure_running()
    rows = rig.target.history()
    assert [row.version for row in rows] == list(range(1, rig.version + 1))
    told = [(row.verb, row.canary, row.weight) for row in rows]
    assert told == [
        ("stage", OLD, 0), ("promote", "", 0), ("stage", NEW, 0), ("set_weight", NEW, 30), ("retreat", "", 0),
        ("configure", "", 0),
    ]  # fmt: skip
    assert [(row.key, row.epoch) for row in rows[3:]] == [("thirty", 2), ("back", 2), ("", 2)]
    assert rows[0].at_ms <= rows[-1].at_ms


def test_a_target_from_before_history_says_that_it_has_none(rig, monkeypatch):
    def old(*_verb, **_fields):
        raise TargetError("malformed request: Invalid value 'history'", code="invalid_request")

    monkeypatch.setattr(rig.target, "_call", old)
    assert rig.target.history() is None
    monkeypatch.undo()


def test_the_control_socket_is_private_and_bounded(rig):
    assert (rig.directory.stat().st_mode & 0o777, (rig.directory / "target.sock").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    assert (rig.directory / "target.json").stat().st_mode & 0o777 == 0o600
    cases = [
        b'{"verb":"explode"}\n',
        b"not json\n",
        b'{"verb":"status","extra":1}\n',
        b'{"verb":"renew","epoch":-1}\n',
        b"[" * 9_000 + b"\n",
    ]
    for case in cases:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(os.path.relpath(rig.directory / "target.sock"))
            channel.sendall(case)
            assert json.loads(channel.recv(65_536))["error"]["code"] == "invalid_request"
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(os.path.relpath(rig.directory / "target.sock"))
        channel.sendall(b"x" * 200_000)
        assert channel.recv(10) == b""
    assert rig.target.status()["version"] == 0


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="needs another uid")
def test_another_user_is_not_answered(rig):
    code = """
import os, socket
os.setresuid(65534, 65534, 65534)
s = socket.socket(socket.AF_UNIX)
s.connect('target.sock')
s.sendall(b'{"verb":"shutdown"}\\n')
print(s.recv(10))
"""
    rig.directory.parent.chmod(0o755)
    os.chmod(rig.directory, 0o777)
    os.chmod(rig.directory / "target.sock", 0o777)
    answer = subprocess.run(
        ["/usr/bin/env", "python3", "-c", code], cwd=rig.directory, capture_output=True, text=True, timeout=20
    )
    assert answer.stdout.strip() in ("b''", ""), answer.stderr
    assert rig.target.status()["version"] == 0


def test_a_damaged_state_file_is_not_forgotten(tmp_path):
    directory = tmp_path / "target"
    directory.mkdir(mode=0o700)
    (directory / "target.json").write_text('{"salt": 1}')
    argv = [sys.executable, "-I", "-m", "bywire.adapters.local_target", "--state", str(directory)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert "damaged" in ended.stderr
    assert (directory / "target.json").read_text() == '{"salt": 1}'


def raw(port, request, answers=1):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as channel:
        channel.sendall(request)
        received = b""
        while chunk := channel.recv(65_536):
            received += chunk
            if received.count(b"HTTP/1.1 ") >= answers and b"\r\n\r\n" in received:
                break
        return received


def test_ambiguous_and_oversized_messages_never_reach_a_release(rig):
    rig.serve(OLD, "old")
    start = b"POST / HTTP/1.1\r\nHost: x\r\n"
    rows = [
        (start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (start + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
        (start + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (start + b"Content-Length: +5\r\n\r\nhello", 400),
        (start + b"X: a\r\n folded\r\n\r\n", 400),
        (start + b"X : a\r\n\r\n", 400),
        (start + b"X: a\nContent-Length: 3\r\n\r\n", 400),
        (b"GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (start + b"Content-Length: 99999999\r\n\r\n", 413),
        (start + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (start + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
        (start + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    ]
    for request, status in rows:
        assert raw(rig.port, request).startswith(b"HTTP/1.1 %d " % status), request[:80]
    chunked = start + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
    assert b'"length": 5' in raw(rig.port, chunked)
    pipelined = raw(
        rig.port,
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        answers=2,
    )
    assert pipelined.count(b"HTTP/1.1 200") == 2
    assert rig.get(method="HEAD")[0] in (200, 501)
