"""`python -m bench peers`: who is not installed is said so, who does not start fails the run, who answers is measured.

The peers here are scripts in folders that look like their virtual environments. Nothing of the real ones is needed.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import mcp_upstream, peers, peers_contextforge, peers_ctrlrun
from bench.__main__ import main
from bench.peers_installed import NotInstalledError, NotStartedError, installed, running, surroundings

ANSWERS = """#!{python}
import http.server, json, sys

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = json.dumps({{"id": asked["id"], "result": "storefront@sha256"}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *said):
        pass

host, _, port = sys.argv[sys.argv.index("--listen") + 1].partition(":")
http.server.ThreadingHTTPServer((host, int(port)), Answer).serve_forever()
"""
ENDS = "#!/bin/sh\necho 'no such policy' >&2\nexit 3\n"


class Instant:
    """A way whose calls take nothing."""

    def call(self):
        return 0.0


@pytest.fixture
def instant_bywire(monkeypatch):
    """This project's own gateway is measured by the bench, not here."""

    @contextlib.contextmanager
    def governed(directory, port):
        yield Instant(), psutil.Process()

    monkeypatch.setattr(peers, "governed", governed)
    monkeypatch.setattr(peers, "WARM", 1)
    monkeypatch.setattr(peers, "CALLS", 3)
    monkeypatch.setattr(peers, "CPU_CALLS", 2)


def environment_of(folder, distribution, program="", text=""):
    """A folder that looks like a virtual environment with one distribution and one program in it."""
    (folder / "lib" / "python3.11" / "site-packages" / f"{distribution}.dist-info").mkdir(parents=True)
    if program:
        (folder / "bin").mkdir()
        (folder / "bin" / program).write_text(text)
        (folder / "bin" / program).chmod(0o700)
    return folder


def run(capsys, environment):
    """(exit code, bars, what was told) of the area with that environment."""
    code = main(["peers"], {"peers": lambda: peers.bars(environment)})
    captured = capsys.readouterr()
    return code, [json.loads(line) for line in captured.out.splitlines()], captured.err


def test_a_peer_that_nobody_names_is_not_installed(tmp_path):
    with pytest.raises(NotInstalledError, match="BYWIRE_BENCH_CTRLRUN names no virtual environment"):
        installed("BYWIRE_BENCH_CTRLRUN", "ctrlrun", {})
    with pytest.raises(NotInstalledError, match="where ctrlrun is not installed"):
        installed("BYWIRE_BENCH_CTRLRUN", "ctrlrun", {"BYWIRE_BENCH_CTRLRUN": str(tmp_path / "nowhere")})


@pytest.mark.parametrize(
    ("distribution", "folder", "version"),
    [
        ("ctrlrun", "ctrlrun-0.12.2", "0.12.2"),
        ("mcp-contextforge-gateway", "mcp_contextforge_gateway-1.0.7.post20260921", "1.0.7.post20260921"),
    ],
)
def test_the_version_is_that_of_the_named_environment(distribution, folder, version, tmp_path):
    environment_of(tmp_path, "ctrlrun_langchain-1.0.0")
    with pytest.raises(NotInstalledError):
        installed("PEER", distribution, {"PEER": str(tmp_path)})
    environment_of(tmp_path, folder)
    assert installed("PEER", distribution, {"PEER": str(tmp_path)}).version == version


def test_peers_that_are_not_installed_are_said_so_and_fail_nothing(instant_bywire, capsys):
    code, bars, told = run(capsys, {})
    assert code == 0
    assert {(bar["ok"], bar["value"]) for bar in bars} == {(None, None)}
    assert [bar["bar"] for bar in bars] == ["contextforge_p50_difference", "ctrlrun_p50_difference"]
    assert all("names no virtual environment" in bar["reason"] for bar in bars)
    assert "contextforge: not installed" in told
    assert "ctrlrun: not installed" in told
    assert "bywire" in told


def test_a_peer_that_does_not_start_says_why_and_fails_the_run(instant_bywire, capsys, tmp_path):
    folder = environment_of(tmp_path, "ctrlrun-0.12.2", "ctrlrun", ENDS)
    code, bars, told = run(capsys, {peers_ctrlrun.VARIABLE: str(folder)})
    assert code == 1
    assert [bar["ok"] for bar in bars] == [None, False]
    assert bars[1]["version"] == "0.12.2"
    assert bars[1]["reason"] == "did not start: ended with 3: no such policy"
    assert "ctrlrun 0.12.2: did not start" in told


def test_a_peer_without_its_program_says_so(instant_bywire, capsys, tmp_path):
    folder = environment_of(tmp_path, "ctrlrun-0.12.2")
    code, bars, _ = run(capsys, {peers_ctrlrun.VARIABLE: str(folder)})
    assert code == 1
    assert "bin/ctrlrun" in bars[1]["reason"]


def test_a_peer_that_answers_is_measured_beside_bywire(instant_bywire, capsys, tmp_path):
    folder = environment_of(tmp_path, "ctrlrun-0.12.2", "ctrlrun", ANSWERS.format(python=sys.executable))
    code, bars, told = run(capsys, {peers_ctrlrun.VARIABLE: str(folder)})
    _, difference, cpu = bars
    assert (difference["bar"], cpu["bar"]) == ("ctrlrun_p50_difference", "ctrlrun_cpu")
    assert difference["version"] == cpu["version"] == "0.12.2"
    assert difference["limit"].startswith(">= ")
    assert isinstance(difference["value"], float)
    assert cpu["value"] >= 0
    assert code == (0 if difference["ok"] and cpu["ok"] else 1)
    assert "ctrlrun 0.12.2" in told


def test_ways_take_turns_in_changing_order(monkeypatch):
    monkeypatch.setattr(peers, "WARM", 0)
    monkeypatch.setattr(peers, "CALLS", 40)
    asked = []

    class Noting:
        def __init__(self, name):
            self._name = name

        def call(self):
            asked.append(self._name)
            return 1.0

    found = peers.turn_about({name: Noting(name) for name in "abc"})
    assert found == {"a": 1.0, "b": 1.0, "c": 1.0}
    turns = ["".join(asked[at : at + 3]) for at in range(0, len(asked), 3)]
    assert len(turns) == 40
    assert {"".join(sorted(turn)) for turn in turns} == {"abc"}
    assert len(set(turns)) == 6


def test_a_peer_is_told_nothing_of_this_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BYWIRE_SECRET", "s3cret")
    monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere.example")
    assert set(surroundings(tmp_path)) == {"PATH", "HOME", "LANG"}
    assert surroundings(tmp_path)["HOME"] == str(tmp_path)


def test_a_peer_ends_with_all_that_it_started(tmp_path):
    script = tmp_path / "starts"
    script.write_text("#!/bin/sh\nsleep 60 &\nsleep 60\n")
    script.chmod(0o700)

    def ready():
        return len(psutil.Process(os.getpid()).children(recursive=True)) >= 3

    with running([str(script)], tmp_path, {}, ready) as process:
        tree = [process, *process.children(recursive=True)]
    deadline = time.monotonic() + 10
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in tree):
        assert time.monotonic() < deadline


def test_the_tool_is_found_by_the_upstreams_own_name():
    listed = [
        {"originalName": "other", "name": "bench-other"},
        {"originalName": "get_status", "name": "bench-get-status"},
    ]
    assert peers_contextforge.listed_tool(listed)["name"] == "bench-get-status"
    with pytest.raises(NotStartedError, match="did not list"):
        peers_contextforge.listed_tool(listed[:1])


def asked(method, document=None):
    """(status, answer) of the bench's upstream."""
    sent = []

    async def receive():
        return {"body": b"" if document is None else json.dumps(document).encode(), "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(mcp_upstream.app({"type": "http", "method": method}, receive, send))
    body = sent[1]["body"]
    return sent[0]["status"], json.loads(body) if body else None


def test_the_upstream_also_speaks_to_clients_that_shake_hands():
    status, answer = asked("POST", {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}})
    assert status == 200
    assert answer["result"]["protocolVersion"] == peers_contextforge.VERSION
    assert asked("POST", {"jsonrpc": "2.0", "method": "notifications/initialized"}) == (202, None)
    assert asked("GET") == (405, None)
    status, answer = asked("POST", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}})
    assert (status, answer["result"]) == (200, mcp_upstream.RESULTS["tools/call"])
