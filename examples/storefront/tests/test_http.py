"""The service answers what the README says, and a malformed or oversized request never reaches a route."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storefront import VERSION
from storefront.server import serving
from storefront.wire import BODY_BYTES_MAX, HEAD_BYTES_MAX, Refused, Request, Response, read_request


def read(raw):
    """Parse one request from bytes."""

    async def parse():
        reader = asyncio.StreamReader(limit=HEAD_BYTES_MAX)
        reader.feed_data(raw)
        reader.feed_eof()
        return await read_request(reader)

    return asyncio.run(parse())


def test_one_connection_serves_every_route(client):
    assert client.get("/healthz") == (200, {"status": "ok"})
    assert client.send("GET", "/version") == (200, VERSION.encode())
    status, quote = client.get("/quote?product=17&currency=USD")
    assert (status, quote["product"], quote["currency"]) == (200, 17, "USD")
    assert client.post("/assistant", {"question": "hello"})[1]["intent"] == "greeting"
    status, warmed = client.post("/internal/warm", {})
    assert status == 200
    assert set(warmed) == {"warmed"}


@pytest.mark.parametrize(
    ("method", "path", "document", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("GET", "/pay", None, 405),
        ("GET", "/quote?product=400&currency=EUR", None, 404),
        ("GET", "/quote?product=17&currency=XXX", None, 400),
        ("GET", "/quote?" + "a=1&" * 20, None, 400),
        ("POST", "/assistant", [], 400),
        ("POST", "/assistant", {"question": ""}, 400),
        ("POST", "/assistant", {"question": "x" * 1001}, 400),
    ],
)
def test_refusals_name_their_status(client, method, path, document, status):
    body = b"" if document is None else json.dumps(document).encode()
    assert client.send(method, path, body)[0] == status


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length : 1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1), 413),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 65 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\na: " + b"b" * HEAD_BYTES_MAX + b"\r\n\r\n", 431),
    ],
)
def test_a_malformed_message_is_refused(raw, status):
    with pytest.raises(Refused) as refused:
        read(raw)
    assert refused.value.status == status


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_nothing_or_a_refusal(raw):
    try:
        request = read(raw)
    except Refused as refused:
        assert 400 <= refused.status < 600
    else:
        assert request is None or request.path.startswith("/")


def test_deep_json_is_refused():
    with pytest.raises(Refused, match="not JSON"):
        Request("POST", "/", {}, {}, b"[" * 15000).json()


def test_a_broken_request_is_answered_500_and_the_connection_lives_on(capfd):
    async def answer(request):
        if request.path == "/broken":
            raise KeyError("secret detail")
        return Response(200, b"{}")

    with serving(answer) as port, socket.create_connection(("127.0.0.1", port), 5) as peer:
        peer.sendall(b"GET /broken HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nconnection: close\r\n\r\n")
        received = b"".join(iter(lambda: peer.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"HTTP/1.1 200 OK" in received
    assert b"secret detail" not in received
    assert "KeyError" in capfd.readouterr().err


def test_sigterm_drains_and_ends_the_process():
    environment = {"PORT": "0", "PATH": os.environ.get("PATH", "")}
    process = subprocess.Popen([sys.executable, "-m", "storefront"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        port = int(line.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 5) as idle:
            process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b""
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_port_that_is_no_number_is_refused():
    run = subprocess.run(
        [sys.executable, "-m", "storefront"], env={"PORT": "http"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "PORT" in run.stderr
