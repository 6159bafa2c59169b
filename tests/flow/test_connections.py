"""Tools over HTTP: the credential goes to one origin, at an address that was checked, and comes back nowhere."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from door_world import NOW

from bywire.adapters.found_credentials import FoundCredentials
from bywire.adapters.http_executor import HttpExecutor
from bywire.adapters.pinned_http import ANSWER_BYTES_MAX, PinnedHttp, parse_origin
from bywire.gateway.ports import Credential, IntentRow
from bywire.model.connection import Connection, Route
from bywire.model.errors import BywireError, ConfigError, TargetError

TOKEN = "tok-8c1f0b"
ROUTES = {
    "get_job_logs": Route("GET", "/jobs/{job_id}/logs"),
    "rerun_job": Route("POST", "/runs/{run_id}/jobs/{job_id}/rerun"),
}
PLACED = {"run_id": "7", "job_id": "j"}


class Platform(BaseHTTPRequestHandler):
    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        self.server.answer(self)

    do_GET = do_POST = _answer

    def log_message(self, *args):
        pass


def says(status=200, body=b'{"ok": true}', **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    server.seen, server.answer, server.daemon_threads = [], says(), True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def platform():
    with serving() as server:
        yield server


def connection(server, **changes):
    given = {
        "executor": "ci",
        "origin": f"http://127.0.0.1:{server.server_port}",
        "routes": ROUTES,
        "token_env": "CI_TOKEN",
        "private": True,
    }
    return Connection(**{**given, **changes})


def executor(server, *, timeout_seconds=5.0, **changes):
    made = connection(server, **changes)
    credentials = FoundCredentials({"ci": made}, {"CI_TOKEN": TOKEN})
    client = PinnedHttp(parse_origin(made.origin, private=made.private), timeout_seconds=timeout_seconds)
    return HttpExecutor(client, made.routes, "ci"), credentials


def row(tool="rerun_job", key="agent:x|rerun_job|ci-rerun:7:j:f"):
    return IntentRow(
        key=key,
        action_digest="a" * 64,
        principal="agent:x",
        tool=tool,
        service="s",
        environment="production",
        change="",
        state="intended",
        epoch=1,
        at_ms=NOW,
        deadline_ms=NOW + 1,
        precondition={},
        request={},
        decision=None,
        outcome=None,
    )


def carry_out(server, parameters=None, **changes):
    made, credentials = executor(server, **changes)
    values = {"run_id": "7", "job_id": "unit", "failure_fingerprint": "f"} if parameters is None else parameters
    return made.execute_with(row(), values, credentials.issue("ci", row(), NOW))


def refused(code, act):
    with pytest.raises(BywireError) as caught:
        act()
    assert caught.value.code == code
    assert TOKEN not in f"{caught.value.message} {caught.value.next_step}"
    return caught.value


def test_one_request_carries_credential_key_and_what_the_path_does_not_hold(platform):
    assert carry_out(platform)["status"] == 200
    ((method, path, headers, body),) = platform.seen
    assert (method, path) == ("POST", "/runs/7/jobs/unit/rerun")
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Idempotency-Key"] == "agent%3Ax%7Crerun_job%7Cci-rerun%3A7%3Aj%3Af"
    assert json.loads(body) == {"failure_fingerprint": "f"}


@pytest.mark.parametrize("value", ["a:b@c", "a&x=1", "50%", "a b", "a..b"])
def test_rule_23_a_parameter_never_leaves_its_segment_of_the_path(platform, value):
    carry_out(platform, {"run_id": "7", "job_id": value})
    path = platform.seen[0][1]
    assert path.startswith("/runs/7/jobs/")
    assert path.endswith("/rerun")
    assert path.count("/") == 5
    assert "X-Evil" not in platform.seen[0][2]


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "..",
        "../../admin",
        "a/../b",
        "..\\..\\admin",
        "a//b",
        "/a",
        "a\r\nX-Evil: 1",
        "a\0",
        None,
        [],
        {},
        "a/b",
        "1/secrets",
        "a?x=1",
        "a#b",
        "%2e%2e",
        "1%2Fsecrets",
        "a;b=c",
        "a\\b",
    ],
)
def test_rule_23_a_parameter_that_a_path_would_resolve_away_is_refused(platform, value):
    refused("unsupported", lambda: carry_out(platform, {"run_id": value, "job_id": "j"}))
    assert platform.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_rule_23_no_redirect_is_followed(platform, status):
    with serving() as elsewhere:
        platform.answer = says(status, Location=f"http://127.0.0.1:{elsewhere.server_port}/steal")
        refused("redirect_refused", lambda: carry_out(platform))
        assert elsewhere.seen == []


def test_rule_23_a_credential_for_another_origin_is_not_sent(platform):
    made, _ = executor(platform)
    other = Credential(name="ci", value=TOKEN, origin="https://elsewhere:443", expires_at_ms=0, minted=False)
    refused("credential_unavailable", lambda: made.execute_with(row(), {"run_id": "7", "job_id": "j"}, other))
    assert platform.seen == []


@pytest.mark.parametrize(
    ("addresses", "private"),
    [
        (["169.254.169.254"], True),
        (["fe80::1%eth0"], True),
        (["::ffff:169.254.169.254"], True),
        (["0.0.0.0"], True),
        (["224.0.0.1"], True),
        (["127.0.0.1"], False),
        (["10.0.0.8"], False),
        (["::1"], False),
        (["fd00:ec2::254"], False),
        (["93.184.215.14", "127.0.0.1"], False),
        (["127.0.0.1", "169.254.169.254"], True),
        ([], True),
    ],
)
def test_rule_23_a_name_that_leads_where_no_credential_belongs_is_refused(platform, addresses, private):
    origin = parse_origin(f"https://ci.example:{platform.server_port}", private=private)
    client = PinnedHttp(origin, resolve=lambda host, port: addresses)
    refused("address_refused", lambda: client.send("GET", "/", {}, None))
    assert platform.seen == []


def test_rule_23_the_address_that_was_checked_is_the_one_that_is_connected_to(platform):
    """A name that answers differently the second time (rebinding) is asked once."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    origin = parse_origin(f"http://ci.example:{platform.server_port}", private=True)
    client = PinnedHttp(origin, resolve=lambda host, port: next(answers))
    assert client.send("GET", "/", {}, None).status == 200
    assert platform.seen[0][2]["Host"] == f"ci.example:{platform.server_port}"
    assert next(answers) == ["169.254.169.254"]


def test_rule_23_proxies_of_the_environment_are_not_asked(platform, monkeypatch):
    with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        carry_out(platform)
        assert proxy.seen == []


@pytest.mark.parametrize(
    ("origin", "private"),
    [
        ("http://ci.example", False),
        ("https://ci.example/path", False),
        ("https://user:pw@ci.example", False),
        ("https://ci.example?x", False),
        ("ftp://ci.example", True),
        ("https://", True),
        ("https://ci.example:99999", False),
    ],
)
def test_rule_23_what_is_no_plain_origin_is_refused(origin, private):
    with pytest.raises(ConfigError):
        parse_origin(origin, private=private)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
def test_a_refusal_is_a_failure_that_repeats_no_credential(platform, status):
    platform.answer = says(status, f"no {TOKEN}".encode())
    error = refused("target_refused", lambda: carry_out(platform))
    assert "[credential]" in error.message


def test_an_answer_that_never_ends_is_nobodys_knowledge(platform):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b".")
            handler.wfile.flush()
            time.sleep(0.05)

    platform.answer = drip
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        carry_out(platform, timeout_seconds=0.4)
    assert time.monotonic() - begun < 3


def test_an_answer_that_is_too_large_is_nobodys_knowledge(platform):
    platform.answer = says(200, b"x" * (ANSWER_BYTES_MAX + 1))
    with pytest.raises(TimeoutError, match="more than"):
        carry_out(platform)


def test_a_platform_that_hangs_up_is_nobodys_knowledge(platform):
    platform.answer = lambda handler: handler.connection.close()
    with pytest.raises(TimeoutError):
        carry_out(platform)


def test_a_platform_that_cannot_be_reached_did_nothing(platform):
    made, credentials = executor(platform)
    platform.shutdown()
    platform.server_close()
    error = refused("target_unreachable", lambda: made.execute_with(row(), PLACED, credentials.issue("ci", row(), NOW)))
    assert error.next_step


def test_a_read_repeats_no_credential(platform):
    platform.answer = says(200, f"Authorization: Bearer {TOKEN}".encode())
    made, credentials = executor(platform)
    assert made.read_with("get_job_logs", {"job_id": "1"}, credentials.for_read("ci", NOW)) == {
        "text": "Authorization: Bearer [credential]"
    }


def test_a_tool_without_a_route_is_refused(platform):
    made, credentials = executor(platform)
    refused("unsupported", lambda: made.read_with("get_ci_run", {}, credentials.for_read("ci", NOW)))


def test_rule_23_nothing_is_asked_without_a_credential(platform):
    made, _ = executor(platform)
    refused("credential_unavailable", lambda: made.read("get_job_logs", {"job_id": "1"}))
    refused("credential_unavailable", lambda: made.execute(row(), {}))
    assert platform.seen == []


@pytest.mark.parametrize("content", ["", "  \n", "tok\nen: x", "t\u00f6k"])
def test_a_credential_that_is_no_plain_text_is_none(platform, tmp_path, content):
    place = tmp_path / "token"
    place.write_text(content)
    place.chmod(0o600)
    found = FoundCredentials({"ci": connection(platform, token_env="", token_file=str(place))})
    refused("credential_unavailable", lambda: found.issue("ci", row(), NOW))


def test_a_credential_that_others_may_read_is_none(platform, tmp_path):
    place = tmp_path / "token"
    place.write_text(TOKEN)
    place.chmod(0o640)
    found = FoundCredentials({"ci": connection(platform, token_env="", token_file=str(place))})
    refused("credential_unavailable", lambda: found.issue("ci", row(), NOW))
    place.chmod(0o600)
    assert found.issue("ci", row(), NOW).value == TOKEN


def test_no_credential_shows_in_a_representation():
    assert TOKEN not in repr(Credential(name="ci", value=TOKEN, origin="o", expires_at_ms=0, minted=False))


def test_only_who_asks_the_target_knows_what_became_of_a_request(platform):
    made, _ = executor(platform)
    with pytest.raises(TargetError):
        made.query(row())
