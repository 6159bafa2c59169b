"""What a served gateway refuses before it asks the door: tokens, names, bodies and frames that have two readings."""

import contextlib
import json
import socket
import threading
import time

import pytest
from serving import prepared, register, served

from bywire.wiring.identities import issue_token
from bywire.wiring.workspace import open_workspace

READ = {"tool": "get_deployment_status"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = prepared(tmp_path_factory.mktemp("hard") / "scene")
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def gateway(scene):
    with served(scene, body_bytes=65_536) as running:
        yield running


def refused(answer, status, code):
    assert (answer.status, answer.code) == (status, code), answer
    return answer.json["error"]["reason"]


# Tokens.


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic Zm9vOmJhcg==", "Bearer a b", "Bearer x" * 2000, "Token x", "Bearer not.a.token"],
)
def test_what_is_no_token_is_nobody(gateway, value):
    refused(gateway.post("/v1/call", READ, token="", headers={"Authorization": value}), 401, "unauthenticated")


def test_the_scheme_has_no_case_and_the_token_has(gateway):
    token = gateway.token()
    assert gateway.post("/v1/call", READ, token="", headers={"Authorization": f"bEARER {token}"}).status == 200
    refused(
        gateway.post("/v1/call", READ, token="", headers={"Authorization": f"Bearer {token.swapcase()}"}),
        401,
        "unauthenticated",
    )


def test_no_header_says_how_to_authenticate(gateway):
    answer = gateway.post("/v1/call", READ, token="")
    refused(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="bywire"'


@pytest.mark.parametrize("name", ["access_token", "token", "Authorization", "ACCESS_TOKEN"])
def test_a_token_in_the_url_is_refused_even_beside_a_good_one(gateway, name):
    refused(gateway.post(f"/v1/call?{name}={gateway.token()}", READ), 401, "unauthenticated")


def test_two_tokens_are_none(gateway):
    token = gateway.token()
    body = json.dumps(READ).encode()
    head = (
        f"POST /v1/call HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"aUTHORIZATION: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    assert b"HTTP/1.1 400" in gateway.raw(head.encode() + body)


def test_a_token_of_another_workspace_or_an_expired_one_is_nobody(gateway, tmp_path):
    other = prepared(tmp_path / "other")
    with contextlib.closing(open_workspace(other.repo, other.operator)) as workspace:
        foreign = issue_token(workspace, "agent:fixer", lifetime_seconds=900).token
    other.close()
    refused(gateway.post("/v1/call", READ, token=foreign), 401, "unauthenticated")
    workspace = gateway.gateway.workspace
    brief = issue_token(workspace, "agent:fixer", lifetime_seconds=3).token
    assert gateway.post("/v1/call", READ, token=brief).status == 200
    deadline = time.monotonic() + 10
    while gateway.post("/v1/call", READ, token=brief).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "expired" in refused(gateway.post("/v1/call", READ, token=brief), 401, "unauthenticated")


def test_a_revoked_agent_is_nobody_at_once_and_a_new_one_needs_no_restart(gateway, scene):
    register(scene, "passing", ["get_deployment_status"])
    workspace = gateway.gateway.workspace
    token = issue_token(workspace, "agent:passing", lifetime_seconds=900).token
    assert gateway.post("/v1/call", READ, token=token).status == 200
    assert scene.bywire("agents", "revoke", "passing", "--reason", "test", "--json").code == 0
    refused(gateway.post("/v1/call", READ, token=token), 401, "unauthenticated")


# Names and origins.


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "[::2]", "", "a,localhost"]
)
def test_a_name_that_is_not_ours_is_refused(gateway, host):
    refused(gateway.post("/v1/call", READ, headers={"Host": host}), 421, "invalid_parameters")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8750"])
def test_loopback_by_any_of_its_names_is_ours(gateway, host):
    assert gateway.post("/v1/call", READ, headers={"Host": host}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_may_not_call(gateway, origin):
    refused(gateway.post("/v1/call", READ, headers={"Origin": origin}), 403, "invalid_parameters")


def test_our_own_page_may(gateway):
    origin = f"http://127.0.0.1:{gateway.port}"
    assert gateway.post("/v1/call", READ, headers={"Origin": origin}).status == 200


# Bodies.

DEEP = b'{"tool":"t","parameters":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'"x"', 400),
        (b"{", 400),
        (b'{"tool":"shop.deploy","tool":"get_deployment_status"}', 400),
        (b'{"tool":"shop.list_orders","tool":"get_deployment_status"}', 400),
        (b'{"tool":"get_deployment_status","key":"a","k\\u0065y":"a"}', 400),
        (b'{"tool":"get_deployment_status","parameters":{},"parameters":{}}', 400),
        (b'{"tool":"get_deployment_status","parameters":{"a":1,"a":2}}', 400),
        (b'{"tool":"get_deployment_status","parameters":{"a":1,"\\u0061":2}}', 400),
        (b'{"tool":"get_deployment_status","parameters":{"a":NaN}}', 400),
        (b'{"tool":"get_deployment_status","parameters":{"a":1e999}}', 400),
        (b'{"tool":"get_deployment_status","parameters":{"a":"\\ud800"}}', 400),
        (b'{"tool":"get_deployment_status","parameters":{"a":"\xff"}}', 400),
        ('{"tool":"get_deployment_status"}'.encode("utf-16"), 400),
        (b'\xef\xbb\xbf{"tool":"get_deployment_status"}', 400),
        (b'{"tool":"get_deployment_status","service":"other"}', 400),
        (b'{"tool":"get_deployment_status","environment":"staging"}', 400),
        (b'{"tool":"get_deployment_status","parameters":{"x":1}}', 400),
        (DEEP, 400),
        (b'{"tool":"t","parameters":{"a":"' + b"x" * 70_000 + b'"}}', 413),
    ],
)
def test_a_body_has_one_reading_or_none(gateway, body, status):
    refused(gateway.post("/v1/call", body), status, "invalid_parameters")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_only_plain_json_is_read(gateway, headers):
    refused(gateway.post("/v1/call", json.dumps(READ).encode(), headers=headers), 415, "invalid_parameters")


def test_a_large_body_without_a_length_is_cut_off(gateway):
    part = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    head = (
        f"POST /v1/call HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {gateway.token()}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answer = gateway.raw(head.encode() + part * 40 + b"0\r\n\r\n", seconds=3)
    assert answer.startswith(b"HTTP/1.1 413")


def test_the_same_key_with_another_body_is_a_conflict(gateway):
    first = gateway.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "same"})
    assert first.status == 200
    other = gateway.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "b"}, "key": "same"})
    refused(other, 409, "conflict")


# Frames, over raw sockets. Each is answered with 400 or not at all, and the connection is closed.

LINE = b"POST /v1/call HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
        LINE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + SMUGGLED,
        LINE + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + SMUGGLED,
        LINE + b"Content-Length: 5, 5\r\n\r\nhello" + SMUGGLED,
        LINE + b"Content-Length: +5\r\n\r\nhello" + SMUGGLED,
        LINE + b"Content-Length: 0x5\r\n\r\nhello" + SMUGGLED,
        LINE + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
        LINE + b"Content-Length : 5\r\n\r\nhello" + SMUGGLED,
        LINE + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        LINE + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        LINE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        LINE + b"Transfer-Encoding: Chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        LINE + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        LINE + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        LINE + b"Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"POST /v1/call HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED,
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED,
        b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: localhost\n\n" + b"\x16\x03\x01",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 64,
    ],
)
def test_an_ambiguous_frame_is_refused_and_nothing_behind_it_is_read(gateway, data):
    answer = gateway.raw(data, seconds=5)
    assert b'"status":"ok"' not in answer, answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_two_hosts_are_refused(gateway):
    data = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert gateway.raw(data).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"a" * 100_000,
    ],
)
def test_a_head_is_bounded(gateway, head):
    answer = gateway.raw(head, seconds=5)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


def with_trailers(token, trailers):
    return (
        f"POST /v1/call HTTP/1.1\r\nHost: localhost\r\n{token}Content-Type: application/json\r\nConnection: close\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailers}\r\n"
    ).encode()


def test_trailers_are_bounded_as_a_head_is(gateway):
    token = f"Authorization: Bearer {gateway.token()}\r\n"
    heard = gateway.raw(with_trailers(token, "a: b\r\n"), seconds=5)
    assert heard.startswith(b"HTTP/1.1 400 ")  # it is no call, and was read to its end
    answer = gateway.raw(with_trailers(token, "a: b\r\n" * 10_000), seconds=5)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("ends", [b"0\r\nX: ", b"2;"])
def test_a_trailer_or_a_chunk_that_never_says_what_it_is_is_bounded_too(gateway, ends):
    """The parser tells of whole ones alone, and gathers the rest."""
    head = (
        "POST /v1/call HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {gateway.token()}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"
    ).encode()
    sent, most = 0, 64 * 1024 * 1024
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as sender:
        sender.sendall(head + ends)
        try:
            while sent < most:
                sent += sender.send(b"a" * 65_536)
        except OSError:
            pass
    assert sent < most


def test_a_body_in_many_small_parts_is_no_framing(gateway):
    body = json.dumps({"tool": "shop.list_orders", "parameters": {}, "key": "x" * 50_000}).encode()
    token = f"Authorization: Bearer {gateway.token()}\r\n"
    head = (
        f"POST /v1/call HTTP/1.1\r\nHost: localhost\r\n{token}Content-Type: application/json\r\nConnection: close\r\n"
    )
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[i : i + 7] for i in range(0, len(body), 7)))
    answer = gateway.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + parts + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"key" in answer


def test_a_trailer_is_no_header(gateway):
    """Who stands before the gateway has looked at the headers alone."""
    token = f"Authorization: Bearer {gateway.token()}\r\n"
    assert gateway.raw(with_trailers("", token), seconds=5).startswith(b"HTTP/1.1 401 ")


def test_pipelined_requests_are_answered_in_order(gateway):
    last = SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = gateway.raw(SMUGGLED * 3 + last)
    assert answer.count(b'{"status":"ok"}') == 4


# Time and number.


@pytest.fixture(scope="module")
def impatient(scene):
    with served(scene, request_seconds=1, idle_seconds=1, connections=24) as running:
        yield running


def test_a_request_that_never_ends_is_ended(impatient):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as slow:
        slow.sendall(b"POST /v1/call HTTP/1.1\r\nHost: localhost\r\n")
        found = b""
        stop = threading.Event()

        def drip():
            while not stop.wait(0.2):
                try:
                    slow.sendall(b"x: y\r\n")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            while part := slow.recv(4096):
                found += part
        except ConnectionResetError:
            pass
        finally:
            stop.set()
            thread.join()
    assert found.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 5


def test_a_body_that_never_ends_is_ended(impatient):
    token = impatient.token()
    head = f"POST /v1/call HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 99\r\n\r\n{{"
    began = time.monotonic()
    assert b"408" in impatient.raw(head.encode(), seconds=10)
    assert time.monotonic() - began < 5


def test_silence_closes_a_connection(impatient):
    assert impatient.raw(b"", seconds=5) == b""
    answer = impatient.raw(SMUGGLED, seconds=5)
    assert b"200 OK" in answer


def test_one_connection_too_many_is_told_busy(impatient):
    held = [socket.create_connection(("127.0.0.1", impatient.port), timeout=5) for _ in range(24)]
    try:
        deadline = time.monotonic() + 5
        while b"busy" not in (answer := impatient.raw(SMUGGLED, seconds=3)):
            assert time.monotonic() < deadline, answer
        assert answer.startswith(b"HTTP/1.1 503 ")
    finally:
        for one in held:
            one.close()
