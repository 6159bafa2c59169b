"""What answers is not to be trusted: garbage, floods, drips, redirects, and a token that must stay where it belongs."""

import contextlib
import json
import socket
import threading
import time

import pytest
from bywire_sdk import (
    BadAnswer,
    Client,
    Exchange,
    GatewayError,
    Limits,
    OutcomeUnknown,
    Unauthenticated,
    Unreachable,
    governed,
)
from bywire_sdk.testing import FakeGateway, Served
from bywire_sdk.testing.gateway import TOKEN

LIMITS = Limits(
    answer_seconds=1, connect_seconds=1, response_bytes_max=100_000, poll_first_seconds=0.01, report_attempts=2
)
JSON = b"content-type: application/json\r\n"


class Hostile:
    """Answers every request with what `answer` writes, and remembers what it heard."""

    def __init__(self, answer):
        self._answer = answer
        self.heard = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            self.heard.append(connection.recv(65_536))
            self._answer(connection)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@contextlib.contextmanager
def hostile(answer):
    """A hostile gateway: bytes to answer with, or a function that is given the connection."""
    found = Hostile(answer if callable(answer) else lambda connection: connection.sendall(answer))
    try:
        yield found
    finally:
        found.close()


def response(body, *headers, status=b"200 OK"):
    named = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n%s\r\n%s" % (status, JSON, len(body), named, body)


def permit(**fields):
    said = {"status": "permitted", "intent": "i", "deadline_ms": 1, "parameters": {}, "decision_id": "d", **fields}
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


def drip(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + JSON + b"content-length: 1000\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.05)


def drip_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        connection.sendall(b"x-%d: y\r\n" % number)
        time.sleep(0.05)


def endless(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + JSON + b"transfer-encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")


def continues(connection):
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


ANSWERS = {
    "nothing": b"",
    "garbage": b"\x00\xff\xfe garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "html": response(b"<html>proxy error</html>").replace(b"application/json", b"text/html"),
    "html called json": response(b"<html>proxy error</html>"),
    "no content type": response(permit()).replace(JSON, b""),
    "a gigabyte declared": b"HTTP/1.1 200 OK\r\n" + JSON + b"content-length: 1073741824\r\n\r\n" + b" " * 1000,
    "endless chunks": endless,
    "endless continues": continues,
    "a drip": drip,
    "a drip of headers": drip_headers,
    "silence": lambda connection: time.sleep(3),
    "cut off": b"HTTP/1.1 200 OK\r\n" + JSON + b"content-length: 500\r\n\r\n" + permit(),
    "cut off chunks": b"HTTP/1.1 200 OK\r\n" + JSON + b"transfer-encoding: chunked\r\n\r\nff\r\n" + permit(),
    "a bomb": response(permit(), b"content-encoding: gzip"),
    "a thousand headers": response(permit(), *[b"x: y"] * 1000),
    "a long header": response(permit(), b"x: " + b"y" * 100_000),
    "not an object": response(b"[]"),
    "empty": response(b""),
    "two readings": response(b'{"status":"denied","status":"permitted","intent":"i","parameters":{}}'),
    "not a number": response(b'{"status":"permitted","intent":"i","parameters":{"a":NaN}}'),
    "deep": response(b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "not utf-8": response(b'{"status":"\xff"}'),
    "a deny with 200": response(b'{"status":"denied"}'),
    "an error with 200": response(
        b'{"error":{"code":"policy_denied"},"status":"permitted","intent":"i","parameters":{}}'
    ),
    "no intent": response(permit(intent=None)),
    "an intent that is no text": response(permit(intent=7)),
    "no parameters": response(permit(parameters=None)),
    "parameters that are no object": response(permit(parameters=[])),
    "committed and not replayed": response(b'{"status":"committed","result":{"value":1},"replayed":false}'),
    "committed and replayed as text": response(b'{"status":"committed","result":{"value":1},"replayed":"true"}'),
    "an error without a code": response(b'{"error":{}}', status=b"403 Forbidden"),
    "an error that is text": response(b'{"error":"no"}', status=b"403 Forbidden"),
    "a permit with 201": response(permit(), status=b"201 Created"),
    "a permit with 202": response(permit(), status=b"202 Accepted"),
    "a permit with 500": response(permit(), status=b"500 Oops"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_nothing_runs_on_what_is_no_permit(answer):
    ran = []
    began = time.monotonic()
    with (
        hostile(answer) as gateway,
        Client(gateway.url, token=TOKEN, limits=LIMITS) as client,
        pytest.raises(Unreachable) as error,
    ):
        governed(tool="deploy", client=client)(lambda: ran.append(1))()
    assert ran == []
    assert time.monotonic() - began < 5
    assert TOKEN not in f"{error.value!r} {error.value.payload}"
    assert len(str(error.value)) < 1_000


def padded(connection):
    """A permit, whole and valid, and then white space without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + JSON + b"transfer-encoding: chunked\r\n\r\n")
    for part in (permit(), *[b" " * 60_000] * 20):
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))


@pytest.mark.parametrize("answer", [padded, ANSWERS["endless chunks"], ANSWERS["a gigabyte declared"]])
def test_an_answer_is_read_up_to_a_size(answer):
    with (
        hostile(answer) as gateway,
        Client(gateway.url, token=TOKEN, limits=LIMITS) as client,
        pytest.raises(BadAnswer, match="larger than 100000 bytes"),
    ):
        client.permit("deploy")


@pytest.mark.parametrize("answer", ["garbage", "html", "cut off", "silence", "a gigabyte declared"])
def test_a_call_that_may_have_happened_is_unknown(answer):
    with (
        hostile(ANSWERS[answer]) as gateway,
        Client(gateway.url, token=TOKEN, limits=LIMITS) as client,
        pytest.raises(OutcomeUnknown) as error,
    ):
        client.call("deploy", key="k")
    assert error.value.key == "k"


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See Other", b"307 Temporary", b"308 Permanent"])
@pytest.mark.parametrize("method", ["permit", "tools"])
def test_the_token_follows_no_redirect(status, method):
    with hostile(response(permit())) as thief:
        where = b"location: " + thief.url.encode() + b"/v1/permit"
        with hostile(response(permit(), where, status=status)) as gateway:
            with Client(gateway.url, token=TOKEN, limits=LIMITS) as client, pytest.raises(BadAnswer):
                client.permit("deploy") if method == "permit" else client.tools()
            assert len(gateway.heard) == 1
        assert thief.heard == []


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example:8750",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://evil.example#@127.0.0.1",
        "http://evil.example\\@127.0.0.1",
        "http://evil.example\t",
        "https://user:pass@gateway.example",
        "https://gateway.example/?next=1",
        "https://gateway.example/a/../b",
        "https://gateway.example/%2e%2e",
        "https://",
        "https:gateway.example",
        "ftp://gateway.example",
        "file:///etc/passwd",
        "gateway.example",
        "http://0.0.0.0:8750",
        "http://[::ffff:10.0.0.1]:1",
        "",
    ],
)
def test_urls_that_a_token_is_not_sent_to(url):
    with pytest.raises(ValueError, match=r"URL|path|token"):
        Client(url, token=TOKEN)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[::1]:1/bywire", "http://localhost:1", "https://a.example/"]
)
def test_urls_that_it_is(url):
    Client(url, token=TOKEN).close()


def test_clear_text_to_another_machine_is_a_choice():
    Client("http://gateway.example", token=TOKEN, allow_plaintext=True).close()


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    with hostile(response(permit())) as thief, Served(FakeGateway()) as served:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, thief.url)
        served.gateway.allow("deploy")
        with Client(served.url, token=TOKEN, limits=LIMITS) as client:
            client.permit("deploy")
        assert thief.heard == []


def test_a_token_with_a_header_in_it_is_refused():
    for token in ("a\r\nx: y", "a b", "é", "a" * 20_000):
        with pytest.raises(Unauthenticated) as error:
            Client("https://gateway.example", token=token)
        assert token not in str(error.value)
    with (
        Client("http://127.0.0.1:9", token_source=lambda: "a\nb", limits=LIMITS) as client,
        pytest.raises(Unauthenticated),
    ):
        client.tools()


def test_a_refused_token_is_renewed_once(bywire_gateway):
    bywire_gateway.allow("deploy", result={"done": True})
    tokens = iter(["stale", TOKEN, "never asked for"])
    with Client(bywire_gateway.url, token_source=lambda: next(tokens)) as client:
        assert client.call("deploy").result == {"done": True}
        client.call("deploy")
    assert [heard.answered for heard in bywire_gateway.heard] == ["unauthenticated", "committed", "committed"]
    asked = []
    with (
        Client(bywire_gateway.url, token_source=lambda: asked.append(1) or "stale") as client,
        pytest.raises(Unauthenticated),
    ):
        client.call("deploy")
    assert len(asked) == 2


def test_an_exchange_by_key_and_by_file(bywire_gateway, tmp_path):
    bywire_gateway.allow("deploy", result={})
    bywire_gateway.keys = {"bwk_1": "agent:ci", "eyJ.oidc": "agent:ci"}
    file = tmp_path / "token"
    file.write_text("eyJ.oidc\n")
    for exchange in (Exchange(api_key="bwk_1"), Exchange(oidc_token_file=file), Exchange(api_key_file=file)):
        with Client(bywire_gateway.url, exchange=exchange) as client:
            client.call("deploy")
            client.call("deploy")
        paths = [(heard.path, heard.principal) for heard in bywire_gateway.heard[-3:]]
        assert paths == [("/v1/token", ""), ("/v1/call", "agent:ci"), ("/v1/call", "agent:ci")]
    with (
        Client(bywire_gateway.url, exchange=Exchange(api_key="bwk_2")) as client,
        pytest.raises(Unauthenticated) as error,
    ):
        client.call("deploy")
    assert "bwk_2" not in f"{error.value} {error.value.payload} {Exchange(api_key='bwk_2')!r}"
    file.unlink()
    with (
        Client(bywire_gateway.url, exchange=Exchange(oidc_token_file=file)) as client,
        pytest.raises(Unauthenticated, match="cannot be read"),
    ):
        client.call("deploy")


def test_exactly_one_source_of_tokens():
    for arguments in ({}, {"token": TOKEN, "token_source": str}, {"token": TOKEN, "exchange": Exchange(api_key="k")}):
        with pytest.raises(ValueError, match="exactly one"):
            Client("https://gateway.example", **arguments)
    for arguments in ({}, {"api_key": "a", "api_key_file": "b"}):
        with pytest.raises(ValueError, match="exactly one"):
            Exchange(**arguments)


def test_an_approval_id_is_no_path():
    """Attack: the id of an approval leads the client's token to another endpoint."""
    said = {"code": "approval_needed", "approval": {"id": "../tools?x=", "url": ""}, "retry": {"key": "k"}}
    body = json.dumps({"error": said}).encode()
    with hostile(response(body, status=b"202 Accepted")) as gateway:
        with (
            Client(gateway.url, token=TOKEN, limits=LIMITS) as client,
            pytest.raises(BadAnswer, match="does not say which"),
        ):
            client.permit("deploy", wait_seconds=5)
        assert len(gateway.heard) == 1


def test_a_payload_of_strange_types_is_still_an_error():
    strange = {
        "code": "approval_needed",
        "reason": {"a": 1},
        "rules": [None, {"rule": 3}, "x"],
        "approval": "ap-1",
        "retry": {"key": 3, "after_seconds": True},
        "retryable": "yes",
    }
    for code in ("approval_needed", "something_new"):
        body = json.dumps({"error": {**strange, "code": code}}).encode()
        with (
            hostile(response(body, status=b"418 Teapot")) as gateway,
            Client(gateway.url, token=TOKEN, limits=LIMITS) as client,
            pytest.raises(GatewayError) as error,
        ):
            client.permit("deploy")
        assert (error.value.reason, error.value.key, error.value.after_seconds) == ("", "", 0)
        assert error.value.rules == ("3",)
        assert error.value.retryable is False


def test_a_connection_that_was_closed_while_idle_is_replaced(bywire_gateway):
    served = Served(FakeGateway())
    with served:
        served.gateway.allow("deploy", result={})
        with Client(served.url, token=TOKEN, limits=LIMITS) as client:
            client.call("deploy")
            for connection in list(served._server._open):
                connection.shutdown(socket.SHUT_RDWR)
            client.call("deploy")
    assert [heard.answered for heard in served.gateway.heard] == ["committed", "committed"]


def test_requests_are_bounded():
    with (
        Client("http://127.0.0.1:9", token=TOKEN, limits=LIMITS) as client,
        pytest.raises(GatewayError, match="too large"),
    ):
        client.permit("deploy", {"text": "x" * 300_000})
