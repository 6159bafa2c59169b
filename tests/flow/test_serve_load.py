"""A served gateway when there is too much, when a caller goes away, and when what it stands on fails."""

import http.client
import json
import socket
import threading
from contextlib import ExitStack

import pytest
from scene import wait_until
from serving import UPSTREAM, prepared, served

from bywire.model.errors import LedgerError, TargetError
from bywire.wiring.workspace import open_workspace

RESTART = {"tool": "shop.restart", "parameters": {"job": "a"}}


class Slow:
    """An upstream that answers when it is told to."""

    def __init__(self):
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.done = []

    def observe(self):
        return {}

    def execute(self, row, parameters):
        self.begun.release()
        assert self.go.wait(20)
        self.done.append(parameters["job"])
        if parameters["job"] == "bad":
            raise TargetError("it said no", code="target_refused", next_step="ask it")
        return {"status": 200, "text": "done"}

    def read(self, tool, parameters):
        self.begun.release()
        assert self.go.wait(20)
        return {"text": "read"}

    def query(self, row):
        return None


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = prepared(tmp_path_factory.mktemp("load") / "scene")
    yield scene
    scene.close()


@pytest.fixture
def gateway(scene):
    with served(scene, calls_in_flight=2, calls_waiting=1) as running:
        yield running


@pytest.fixture
def slow(gateway):
    upstream = Slow()
    gateway.gateway.joined.executors[f"upstream:{UPSTREAM}"] = upstream
    yield upstream
    upstream.go.set()


def waiting(gateway):
    """How many calls wait for a thread of the upstream's."""
    lane = gateway.gateway.pool._lanes[f"upstream:{UPSTREAM}"]
    return lane.taken - len(lane.threads)


def in_background(gateway, *bodies):
    answers = {}

    def send(index, body):
        answers[index] = gateway.post("/v1/call", body)

    threads = [threading.Thread(target=send, args=item) for item in enumerate(bodies)]
    for thread in threads:
        thread.start()
    return answers, threads


def test_more_calls_than_places_are_told_busy_with_their_key(gateway, slow):
    answers, threads = in_background(gateway, *({**RESTART, "key": f"busy-{n}"} for n in range(3)))
    assert slow.begun.acquire(timeout=10)
    assert slow.begun.acquire(timeout=10)
    wait_until(lambda: waiting(gateway) == 1)
    answer = gateway.post("/v1/call", {**RESTART, "key": "busy-9"})
    assert (answer.status, answer.code) == (503, "busy")
    assert answer.headers["retry-after"] == "1"
    assert answer.json["error"]["retry"]["key"] == "busy-9"
    assert gateway.send("GET", "/healthz", token="").status == 200
    slow.go.set()
    for thread in threads:
        thread.join(20)
    assert [answer.status for answer in answers.values()] == [200, 200, 200]
    assert gateway.post("/v1/call", {**RESTART, "key": "busy-9"}).status == 200


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/call", {"tool": "nowhere.at_all", "parameters": {}, "key": "k"}, "unknown_tool"),
        ("/v1/report", {"intent": "agent:fixer|deploy|k", "status": "committed"}, "no permit of yours"),
        ("/v1/approvals/none/verdict", {"envelope": {"payload": "", "payloadType": "", "signatures": []}}, "unsigned"),
        ("/v1/token", {"grant_type": "none"}, "error"),
    ],
)
def test_rule_16_an_upstream_that_never_answers_holds_up_nothing_else(gateway, slow, path, body, said):
    """Not the gateway's own tools, not a person's verdict, not a token: each has threads of its own."""
    answers, threads = in_background(gateway, *({**RESTART, "key": f"stuck-{path}-{n}"} for n in range(3)))
    assert slow.begun.acquire(timeout=10)
    assert slow.begun.acquire(timeout=10)
    wait_until(lambda: waiting(gateway) == 1)
    assert gateway.post("/v1/call", {**RESTART, "key": "full"}).code == "busy"
    answer = gateway.post(path, body)
    assert answer.status != 503
    assert said in answer.body.decode(), answer.body
    slow.go.set()
    for thread in threads:
        thread.join(20)
    assert [answer.status for answer in answers.values()] == [200, 200, 200]


def written(gateway, key):
    """A restart as the bytes of a request."""
    body = json.dumps({**RESTART, "key": key}).encode()
    head = (
        f"POST /v1/call HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {gateway.token()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def slow_on(gateway):
    upstream = gateway.gateway.joined.executors[f"upstream:{UPSTREAM}"] = Slow()
    return upstream


@pytest.mark.parametrize(
    "behind",
    [
        b"\x00\x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"x" * 40_000,
    ],
)
def test_what_is_wrong_with_a_later_request_is_no_answer_to_an_earlier_one(gateway, slow, behind):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as caller:
        caller.sendall(written(gateway, f"first-{len(behind)}"))
        assert slow.begun.acquire(timeout=10)
        caller.sendall(behind)
        try:
            said = caller.recv(65536)
        except ConnectionResetError:
            said = b""
    slow.go.set()
    assert said == b"" or said.startswith(b"HTTP/1.1 200 ")
    journal = gateway.gateway.workspace.journal
    wait_until(lambda: journal.find(f"agent:fixer|shop.restart|first-{len(behind)}").state == "committed")


def test_a_line_end_too_many_begins_no_request_that_could_be_late(scene):
    with served(scene, request_seconds=1) as gateway:
        slow = slow_on(gateway)
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as caller:
            caller.sendall(written(gateway, "line-end"))
            assert slow.begun.acquire(timeout=10)
            caller.sendall(b"\r\n")
            with pytest.raises(TimeoutError):
                caller.settimeout(2)
                caller.recv(65536)
            slow.go.set()
            caller.settimeout(10)
            assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_who_waits_when_the_gateway_ends_is_told_that_nobody_knows_yet(scene):
    with ExitStack() as held:
        gateway = held.enter_context(served(scene, shutdown_seconds=1))
        slow, answers = slow_on(gateway), {}
        token = gateway.token()

        def send():
            answers["cut"] = gateway.post("/v1/call", {**RESTART, "key": "cut-short"}, token=token)
            slow.go.set()

        caller = threading.Thread(target=send)
        caller.start()
        assert slow.begun.acquire(timeout=10)
        closing = threading.Thread(target=held.close)
        closing.start()
        caller.join(20)
        assert (answers["cut"].status, answers["cut"].code) == (504, "outcome_unknown")
        assert "same key" in answers["cut"].json["error"]["next_step"]
        closing.join(30)
        assert slow.done == ["a"]
    again = open_workspace(scene.repo, scene.operator)
    try:
        assert again.journal.find("agent:fixer|shop.restart|cut-short").state == "committed"
    finally:
        again.close()


def test_a_caller_that_goes_away_leaves_a_settled_intent(gateway, slow):
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(written(gateway, "gone"))
        assert slow.begun.acquire(timeout=10)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    slow.go.set()
    journal = gateway.gateway.workspace.journal
    wait_until(lambda: journal.find("agent:fixer|shop.restart|gone").state == "committed")
    again = gateway.post("/v1/call", {**RESTART, "key": "gone"})
    assert (again.status, again.json["replayed"]) == (200, True)
    assert slow.done == ["a"]


def test_an_upstream_that_refuses_is_no_deny(gateway, slow):
    slow.go.set()
    answer = gateway.post("/v1/call", {"tool": "shop.restart", "parameters": {"job": "bad"}, "key": "bad"})
    assert (answer.status, answer.code) == (502, "upstream_failed")
    assert answer.json["error"]["effect"] == "allow"


def test_an_answer_that_never_came_is_unknown(gateway, slow, monkeypatch):
    def lost(row, parameters):
        raise TimeoutError("no answer")

    monkeypatch.setattr(slow, "execute", lost)
    answer = gateway.post("/v1/call", {**RESTART, "key": "lost"})
    assert (answer.status, answer.code) == (504, "outcome_unknown")
    assert answer.json["error"]["retryable"] is False


def test_without_its_ledger_nothing_goes_out_and_it_says_so(gateway, slow, monkeypatch):
    def failing(*_, **__):
        raise LedgerError("bywire.db cannot be reached", code="database_unavailable", next_step="check the disk")

    token = gateway.token()
    monkeypatch.setattr(gateway.gateway.workspace.writer, "run", failing)
    answer = gateway.post("/v1/call", {**RESTART, "key": "ledger"}, token=token)
    assert (answer.status, answer.code) == (503, "busy")
    assert slow.done == []


def test_an_error_nobody_thought_of_is_an_engine_error_and_says_nothing_of_itself(gateway, monkeypatch, caplog):
    def broken(*_):
        raise KeyError("secret-in-a-message")

    monkeypatch.setattr(gateway.gateway.joined.door, "call", broken)
    answer = gateway.post("/v1/call", {**RESTART, "key": "e"})
    assert (answer.status, answer.code) == (500, "engine_error")
    monkeypatch.setattr(gateway.gateway, "visible", broken)
    answer = gateway.send("GET", "/v1/tools")
    assert (answer.status, answer.code) == (500, "engine_error")
    assert b"secret-in-a-message" not in answer.body
    # Both are there for the operator: what it was and where, in a log of the gateway's own.
    assert [record.getMessage().partition(" at ")[0] for record in caplog.records] == ["KeyError", "KeyError"]
    assert all(__file__ in record.getMessage() for record in caplog.records)
    assert "secret-in-a-message" not in caplog.text


def test_a_stopped_gateway_lets_calls_end_and_takes_no_new_ones(scene):
    with served(scene) as running:
        upstream = Slow()
        running.gateway.joined.executors[f"upstream:{UPSTREAM}"] = upstream
        answers, threads = in_background(running, {**RESTART, "key": "last"})
        assert upstream.begun.acquire(timeout=10)
        threading.Timer(0.5, upstream.go.set).start()
        port = running.port
    for thread in threads:
        thread.join(20)
    assert answers[0].status == 200
    with pytest.raises(OSError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=2).request("GET", "/healthz")


def test_a_lease_that_somebody_else_took_does_not_shut_the_gateway_out(gateway, slow):
    slow.go.set()
    workspace = gateway.gateway.workspace
    workspace.state.take_epoch()
    answer = gateway.post("/v1/call", {**RESTART, "key": "lease"})
    assert answer.status == 200, answer
