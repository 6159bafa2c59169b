"""MCP servers that are child processes: asked, bounded, ended and started again; hostile ones, too."""

import json
import sys
import threading
import time

import pytest
from scene import wait_until
from test_mcp_hostile import TOOL, WRITE, contract, read, refused, write

from bywire.adapters.mcp_relay import RELAY, Relay
from bywire.adapters.mcp_stdio import McpStdio, scrubbed
from bywire.adapters.mcp_upstream import McpExecutor
from bywire.gateway.ports import Credential
from bywire.model.errors import ConflictError, TargetError

SERVER = """
import json, os, sys, time
TOOLS = json.loads({tools!r})
def say(value):
    sys.stdout.write((value if isinstance(value, str) else json.dumps(value)) + "\\n")
    sys.stdout.flush()
OK = {{"content": [{{"type": "text", "text": "done"}}], "resultType": "complete"}}
for line in sys.stdin:
    asked = json.loads(line)
    method, ident = asked.get("method"), asked.get("id")
    if method == "server/discover" and {modern}:
        say({{"jsonrpc": "2.0", "id": ident, "result": {{"supportedVersions": ["2026-07-28"], "capabilities": {{}}}}}})
    elif method == "initialize":
        say({{"jsonrpc": "2.0", "id": ident, "result": {{"protocolVersion": "2025-06-18", "capabilities": {{}}}}}})
    elif method == "tools/list":
        say({{"jsonrpc": "2.0", "id": ident, "result": {{"tools": TOOLS}}}})
    elif method == "tools/call":
        {call}
    elif ident is not None:
        say({{"jsonrpc": "2.0", "id": ident, "error": {{"code": -32601, "message": "no"}}}})
"""
ANSWER = 'say({"jsonrpc": "2.0", "id": ident, "result": OK})'


@pytest.fixture
def made():
    links = []

    def make(call=ANSWER, *, modern=True, seconds=5.0, **options):
        program = SERVER.format(tools=json.dumps([TOOL, WRITE]), call=call, modern=modern)
        refusals = []
        link = McpStdio(
            "up",
            [sys.executable, "-I", "-c", program],
            timeout_seconds=seconds,
            **{"refused": refusals.append, "changed": lambda *_: None, **options},
        )
        links.append(link)
        executor = McpExecutor("up", link, {one.name: one for one in (contract(TOOL), contract(WRITE))})
        executor.refusals = refusals
        return executor

    yield make
    for link in links:
        link.close()


@pytest.mark.parametrize("modern", [True, False])
def test_a_child_is_started_greeted_and_asked(made, modern):
    executor = made(modern=modern)
    assert read(executor)["content"][0]["text"] == "done"
    assert write(executor)["content"][0]["text"] == "done"
    assert executor.link.spoken().version == ("2026-07-28" if modern else "2025-06-18")


def test_requests_at_the_same_time_get_their_own_answers(made):
    executor = made(
        'say({"jsonrpc": "2.0", "id": ident, "result": {**OK, "structuredContent": asked["params"]["arguments"]}})'
    )
    executor.definitions()
    found = {}

    def ask(number):
        found[number] = executor.read("up.get", {"n": number})["structuredContent"]["n"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {number: number for number in range(20)}


def test_rule_02_a_child_gets_no_credential_of_its_environment(made, monkeypatch):
    around = {"PATH": "/bin", "HOME": "/h", "AWS_SECRET_ACCESS_KEY": "x", "GITHUB_TOKEN": "x", "SSH_AUTH_SOCK": "/s"}
    assert scrubbed(around) == {"PATH": "/bin", "HOME": "/h"}
    monkeypatch.setenv("GITHUB_TOKEN", "ambient-token")
    say_environment = 'say({"jsonrpc": "2.0", "id": ident, "result": {**OK, "structuredContent": dict(os.environ)}})'
    seen = read(made(say_environment))["structuredContent"]
    assert "GITHUB_TOKEN" not in seen
    executor = made(say_environment, secret_name="MINE")
    lent = Credential("up", "lent-4711", "stdio:up", 0, minted=False)
    assert executor.read_with("up.get", {}, lent)["structuredContent"]["MINE"] == "lent-4711"
    other = Credential("up", "lent-4712", "stdio:up", 0, minted=False)
    assert executor.read_with("up.get", {}, other)["structuredContent"]["MINE"] == "lent-4712"
    elsewhere = Credential("up", "lent-4711", "stdio:other", 0, minted=False)
    refused(lambda: executor.read_with("up.get", {}, elsewhere), "credential_unavailable")


HOSTILE = {
    "silence": "pass",
    "garbage": 'say("not a message")',
    "a batch": 'say("[" + json.dumps({"jsonrpc": "2.0", "id": ident, "result": OK}) + "]")',
    "another id": 'say({"jsonrpc": "2.0", "id": 10**6, "result": OK})',
    "an id of another type": 'say({"jsonrpc": "2.0", "id": str(ident), "result": OK})',
    "its end": "sys.exit(3)",
    "an endless line": 'sys.stdout.write("x" * 10**7); sys.stdout.flush(); time.sleep(60)',
    "closed output": "os.close(1); time.sleep(60)",
    "no more input": "time.sleep(60)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_child_says_a_read_ends_soon_and_a_write_is_never_taken_for_done(made, name):
    executor = made(HOSTILE[name], seconds=0.5)
    executor.link.spoken()
    executor.definitions()
    begun = time.monotonic()
    refused(lambda: read(executor), "upstream_unanswered")
    executor.definitions(fresh=name in {"its end", "garbage"})
    with pytest.raises(TimeoutError):
        write(executor)
    assert time.monotonic() - begun < 9


def test_a_child_that_died_is_started_again_but_not_again_and_again(made):
    executor = made("sys.exit(3)")
    codes = []
    for _ in range(12):
        with pytest.raises(Exception) as caught:
            read(executor)
        codes.append(caught.value.code)
    assert codes[0] == "upstream_unanswered"
    assert codes[-1] == "target_unreachable"


def test_a_child_that_reads_nothing_ends_and_holds_nobody_up(made):
    executor = made("time.sleep(60)", seconds=0.5)
    executor.definitions()
    begun = time.monotonic()
    for _ in range(3):
        with pytest.raises(Exception, match="up"):
            executor.read("up.get", {"x": "y" * 60_000})
    assert time.monotonic() - begun < 10


def test_rule_23_what_a_child_asks_of_its_client_is_refused_and_told(made):
    wants = 'say({"jsonrpc": "2.0", "id": 900, "method": "sampling/createMessage", "params": {}}); ' + ANSWER
    executor = made(wants)
    assert read(executor)["content"][0]["text"] == "done"
    assert executor.refusals == ["sampling/createMessage"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_child_whose_reader_broke_is_over_and_the_next_call_starts_another(made):
    wants = 'say({"jsonrpc": "2.0", "id": 900, "method": "roots/list", "params": {}}); ' + ANSWER

    def full(_):
        raise ConflictError("the writer is busy", code="writer_busy", next_step="again")

    executor = made(wants, refused=full)
    for _ in range(2):
        begun = time.monotonic()
        with pytest.raises(Exception, match="up"):
            read(executor)
        assert time.monotonic() - begun < 4, "nobody waits for an answer that nobody reads"


def test_progress_of_a_child_reaches_the_call_it_is_about(made):
    params = '{"progressToken": asked["params"]["_meta"]["progressToken"], "progress": 1}'
    note = f'say({{"jsonrpc": "2.0", "method": "notifications/progress", "params": {params}}}); '
    executor = made(note + ANSWER)
    heard = []
    held = RELAY.set(Relay(lambda method, params: heard.append(params), progress_token="mine"))
    try:
        read(executor)
    finally:
        RELAY.reset(held)
    assert heard == [{"progressToken": "mine", "progress": 1}]


def test_a_client_that_goes_away_ends_a_read(made):
    executor = made("pass", seconds=30)
    executor.definitions()
    relay = Relay(lambda *_: None)
    threading.Timer(0.3, relay.cancel).start()
    held = RELAY.set(relay)
    begun = time.monotonic()
    try:
        refused(lambda: read(executor), "upstream_unanswered")
    finally:
        RELAY.reset(held)
    assert time.monotonic() - begun < 5


def test_what_is_no_program_is_said(made):
    link = McpStdio("up", ["/nonexistent/server"], timeout_seconds=1, refused=print, changed=print)
    executor = McpExecutor("up", link, {"up.get": contract(TOOL)})
    assert "command" in refused(lambda: read(executor), "target_unreachable").next_step


NOTE = 'say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "of n=%s" % n}})'
SLOW = f"""
        n = asked["params"]["arguments"]["n"]
        if n == 1:
            held = ident
        else:
            n = 1; {NOTE}
            if {{release}}:
                say({{"jsonrpc": "2.0", "id": held, "result": OK}})
                n = 2; {NOTE}
            say({{"jsonrpc": "2.0", "id": ident, "result": OK}})
"""


def log_of(executor, number, *, level="debug"):
    """What the client of one read hears, and whether it was answered."""
    heard = []
    held = RELAY.set(Relay(lambda method, params: heard.append(params["data"]), log_level=level))
    try:
        executor.read("up.get", {"n": number})
    except TargetError:
        return heard, False
    finally:
        RELAY.reset(held)
    return heard, True


@pytest.mark.parametrize("release", [True, False])
def test_a_log_of_one_call_is_never_told_to_another_even_when_nobody_waits_for_that_call(made, release):
    executor = made(SLOW.replace("{release}", str(release)), seconds=0.5)
    executor.definitions()
    assert log_of(executor, 1) == ([], False)
    assert log_of(executor, 2) == (["of n=2"] if release else [], True)


def test_a_log_of_a_call_without_a_client_is_told_to_nobody(made):
    executor = made(SLOW.replace("{release}", "True"), seconds=10)
    executor.definitions()
    first = threading.Thread(target=executor.read, args=("up.get", {"n": 1}))
    first.start()
    wait_until(lambda: executor.link._child._unanswered)
    assert log_of(executor, 2) == (["of n=2"], True)
    first.join(10)


def test_of_a_child_that_leaves_too_much_unanswered_no_log_is_told(made, monkeypatch):
    monkeypatch.setattr("bywire.adapters.mcp_stdio.UNANSWERED_MAX", 0)
    executor = made(f"n = 2; {NOTE}; {ANSWER}")
    assert log_of(executor, 2) == ([], True)
