"""The forward proxy, attacked over real sockets: what is not listed is not reached, in whatever way it is asked for."""

import socket
import ssl
import threading
import time

import httpx
import pytest
from egress_world import AGENT, HOST, OTHER, certificate, client_hello, head, read_answer, rule, says, site, world
from scene import wait_until

from bywire.adapters.egress_proxy import Admission
from bywire.model.gateway_egress import EgressLimits, EgressRule


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


# --- what works ---


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_real_client_works_through_a_tunnel_and_its_tls_is_its_own(tls, scheme):
    with site(tls[0]) as server, world([rule(server.server_port)]) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        given = {"auth": ("agent", "tok-deploy")} if scheme == "basic" else {}
        headers = {} if scheme == "basic" else {"Proxy-Authorization": "Bearer tok-deploy"}
        made = httpx.Proxy(url, headers=headers, **given)
        with httpx.Client(proxy=made, verify=tls[1], trust_env=False) as client:
            assert client.get(f"https://{HOST}:{server.server_port}/x").text == "hello"
        assert proxy.door.asked[0] == {
            "host": HOST,
            "port": server.server_port,
            "address_class": "loopback",
            "tunnel": False,
            "listed": True,
            "principal": AGENT,
            "trace": "",
        }
        wait_until(lambda: proxy.door.endings)
        (ended,) = proxy.door.endings
        assert (ended.principal, ended.why, ended.address) == (AGENT, "closed", "127.0.0.1")
        assert ended.sent > 200
        assert ended.received > 200


def test_a_plain_request_is_framed_anew_and_carries_nothing_of_the_way(tls):
    with site() as server, world([rule(server.server_port)]) as proxy:
        server.answer = says(200, b"done", [("Set-Cookie", "a=b"), ("Proxy-Authenticate", "Basic"), ("X-Kept", "1")])
        with httpx.Client(proxy=f"http://agent:tok-deploy@127.0.0.1:{proxy.port}", trust_env=False) as client:
            answer = client.post(
                f"http://{HOST}:{server.server_port}/a?b=c",
                content=iter([b"one", b"two"]),
                headers={
                    "Authorization": "Bearer tok-deploy",
                    "X-Forwarded-For": "1.2.3.4",
                    "Cookie": "c=d",
                    "X-Own": "1",
                },
            )
        assert (answer.status_code, answer.text, answer.headers["x-kept"]) == (200, "done", "1")
        assert "set-cookie" not in answer.headers
        assert "proxy-authenticate" not in answer.headers
        ((method, path, headers, body),) = server.seen
        assert (method, path, body) == ("POST", "/a?b=c", b"onetwo")
        sent = {name.lower(): value for name, value in headers}
        assert sent["host"] == f"{HOST}:{server.server_port}"
        assert sent["x-own"] == "1"
        gone = {"authorization", "proxy-authorization", "x-forwarded-for", "cookie", "proxy-connection", "forwarded"}
        assert not gone & set(sent)
        assert "tok-deploy" not in str(server.seen)


def test_the_host_header_of_a_plain_request_is_what_was_decided(tls):
    with site() as server, world([rule(server.server_port)]) as proxy:
        raw = (
            f"GET http://{HOST}:{server.server_port}/ HTTP/1.1\r\nHost: internal.example\r\n"
            "Proxy-Authorization: Bearer tok-deploy\r\n\r\n"
        )
        assert proxy.send(raw.encode()) == (200, b"hello")
        assert [value for name, value in server.seen[0][2] if name.lower() == "host"] == [
            f"{HOST}:{server.server_port}"
        ]


# --- who asks ---


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Proxy-Authorization: Bearer\r\n",
        "Proxy-Authorization: Digest tok-deploy\r\n",
        "Proxy-Authorization: Basic !!!\r\n",
        "Proxy-Authorization: Basic YTpi\x8d\r\n",
        "Proxy-Authorization: Basic YTqN\r\n",
        "Proxy-Authorization: Bearer tok-deploy\r\nProxy-Authorization: Bearer tok-other\r\n",
        "Authorization: Bearer tok-deploy\r\n",
        f"Proxy-Authorization: Bearer {'a' * 9000}\r\n",
    ],
)
def test_without_one_token_nothing_is_asked(header):
    with world([rule(443)]) as proxy:
        status, payload = proxy.ask(f"{HOST}:443", token="", extra=header)
        assert (status, payload["code"]) == (407, "unauthenticated")
        assert proxy.door.asked == []
        assert proxy.resolved == []


def test_a_token_that_nobody_issued_opens_nothing():
    with world([rule(443)]) as proxy:
        assert proxy.ask(f"{HOST}:443", token="tok-nobody")[0] == 407


def test_what_is_listed_for_one_agent_is_not_for_another():
    with site() as server, world([rule(server.server_port)]) as proxy:
        assert proxy.ask(f"{HOST}:{server.server_port}", token="tok-other")[0] == 403
        assert proxy.door.asked[0]["principal"] == OTHER
        assert proxy.door.asked[0]["listed"] is False


def test_a_name_is_asked_for_only_by_whom_it_is_listed_for():
    with world([rule(443)]) as proxy:
        for token in ("tok-other", "tok-nobody"):
            assert proxy.ask(f"{HOST}:443", token=token)[0] in {403, 407}
        assert proxy.resolved == []


def test_an_allowlist_holds_whatever_the_policy_says():
    """A rule in shadow mode, or a policy that forgot egress, opens nothing that is not listed."""
    with site() as server, world([rule(server.server_port, agents=(OTHER,))]) as proxy:
        proxy.door.says = lambda principal: Admission(True, 200, {})
        assert proxy.ask(f"{HOST}:{server.server_port}")[0] == 403
        assert server.seen == []


# --- where to ---


RAW = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:0:0:1]",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "8.8.8.8",
    "127.0.0.1.",
    "0",
]


@pytest.mark.parametrize("host", RAW)
def test_an_address_in_any_spelling_is_no_destination(host):
    rules = [
        EgressRule((AGENT,), host.strip("[]"), (443,), private=True),
        EgressRule((AGENT,), host, (443,), private=True),
    ]
    with world(rules) as proxy:
        status, payload = proxy.ask(f"{host}:443")
        assert (status, payload["code"]) == (403, "policy_denied")
        # What gives out the machine's own credentials is refused as that, and no rule lifts it.
        metadata = host in {"169.254.169.254", "[fd00:ec2::254]"}
        assert proxy.door.asked[0]["address_class"] == ("metadata" if metadata else "raw")
        assert proxy.resolved == []


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        (["169.254.169.254"], "metadata"),
        (["169.254.10.1"], "link_local"),
        (["fe80::1"], "link_local"),
        (["100.100.100.200"], "metadata"),
        (["168.63.129.16"], "metadata"),
        (["fd00:ec2::254"], "metadata"),
        (["::ffff:169.254.169.254"], "metadata"),
        (["64:ff9b::a9fe:a9fe"], "metadata"),
        (["2002:a9fe:a9fe::"], "metadata"),
        (["0.0.0.0"], "reserved"),
        (["::"], "reserved"),
        (["224.0.0.1"], "reserved"),
        (["255.255.255.255"], "reserved"),
        (["127.0.0.1"], "loopback"),
        (["::ffff:127.0.0.1"], "loopback"),
        (["10.1.2.3"], "private"),
        (["100.64.0.1"], "private"),
        (["fd00::1"], "private"),
        (["93.184.215.14", "127.0.0.1"], "loopback"),
        (["93.184.215.14", "::1"], "loopback"),
        (["not an address"], "reserved"),
    ],
)
def test_rule_23_a_public_name_that_leads_inside_is_refused(addresses, found):
    with world([rule(443, private=False)], names={HOST: addresses}) as proxy:
        assert proxy.ask(f"{HOST}:443")[0] == 403
        assert proxy.door.asked[0]["address_class"] == found


@pytest.mark.parametrize("address", ["169.254.169.254", "169.254.7.7", "0.0.0.0", "224.0.0.1"])
def test_no_declaration_opens_metadata_or_what_is_nobodys_host(address):
    with world([rule(443, private=True)], names={HOST: [address]}) as proxy:
        assert proxy.ask(f"{HOST}:443")[0] == 403


def test_rule_23_the_checked_address_is_connected_to():
    """DNS rebinding: the second answer would lead to the metadata service."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    with site() as server, world([rule(server.server_port)], names={HOST: lambda: next(answers)}) as proxy:
        raw = head(f"http://{HOST}:{server.server_port}/") + "\r\n"
        assert proxy.send(raw.encode()) == (200, b"hello")
        assert proxy.resolved == [HOST]


def test_a_name_that_nothing_lists_is_not_even_asked_for():
    """A question to a name server carries whatever the name says out of the house."""
    with world([rule(443), EgressRule((AGENT,), "*.example.org", (443,))]) as proxy:
        for name in ("c2VjcmV0.attacker.example", "a.b.example.org", "example.org", f"x.{HOST}", HOST[4:]):
            assert proxy.ask(f"{name}:443")[0] == 403
        assert proxy.ask(f"{HOST}:8443")[0] == 403
        assert proxy.resolved == []
        assert {one["address_class"] for one in proxy.door.asked} == {"unresolved"}


@pytest.mark.parametrize(
    "target",
    [
        "ssh.github.com:443",
        "x.ngrok.io:443",
        "a.trycloudflare.com:443",
        "hidden.onion:443",
        f"{HOST}:22",
        f"{HOST}:1080",
    ],
)
def test_ssh_and_tunnels_are_refused_even_where_they_are_listed(target):
    host, _, port = target.rpartition(":")
    with world([EgressRule((AGENT,), host, (int(port),), private=True)]) as proxy:
        assert proxy.ask(target)[0] == 403
        assert proxy.door.asked[0]["tunnel"] is True
        assert proxy.door.asked[0]["listed"] is False


@pytest.mark.parametrize(
    "target",
    [
        f"{HOST}",
        f"{HOST}:",
        f"{HOST}:0",
        f"{HOST}:65536",
        f"{HOST}:0443",
        f"{HOST}:+443",
        f"{HOST}:443:443",
        f"user@{HOST}:443",
        f"{HOST}%00.evil.example:443",
        f"{HOST}\\.evil.example:443",
        f"{HOST}/x:443",
        f"-{HOST}:443",
        f"{HOST}..:443",
        "\u0430pi.example.test:443".encode().decode("latin-1"),
        "a" * 64 + ".example:443",
        "[::1%25lo]:443x",
        ":443",
        "*.example.test:443",
    ],
)
def test_a_destination_that_two_readers_could_take_for_two_is_none(target):
    with world([rule(443)]) as proxy:
        status, payload = proxy.ask(target)
        assert (status, payload["code"]) == (400, "invalid_parameters")
        assert proxy.resolved == []


def test_case_and_the_dot_at_the_end_make_no_other_host():
    with site() as server, world([rule(server.server_port)]) as proxy:
        for host in (HOST.upper(), f"{HOST}."):
            with proxy.tunnel(f"{host}:{server.server_port}"):
                pass
        assert {one["host"] for one in proxy.door.asked} == {HOST}


def test_the_gateway_is_not_reached_through_itself():
    with site() as server, world([rule(server.server_port)], own_ports=(server.server_port,)) as proxy:
        assert proxy.ask(f"{HOST}:{server.server_port}")[0] == 403
        assert server.seen == []
    with world([rule(1)]) as proxy:
        proxy.door.rules = proxy.destinations._rules = (rule(proxy.port),)
        status, _ = proxy.ask(f"{HOST}:{proxy.port}")
        assert status == 403


def test_a_request_that_went_through_here_before_goes_no_further():
    with site() as server, world([rule(server.server_port)]) as proxy:
        target = f"http://{HOST}:{server.server_port}/"
        assert proxy.ask(target, method="GET", extra="Via: 1.1 bywire\r\n")[0] == 400
        assert server.seen == []


def test_a_host_that_cannot_be_reached_says_so():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with world([rule(port)]) as proxy:
        status, payload = proxy.ask(f"{HOST}:{port}")
        assert (status, payload["code"]) == (502, "upstream_failed")
    with world([rule(443)], names={HOST: OSError("no such name")}) as proxy:
        status, payload = proxy.ask(f"{HOST}:443")
        assert status == 403
        assert "cannot be reached" in payload["reason"]


# --- what travels in a tunnel ---


class Silent:
    """A destination that keeps what it gets, and says what it was told to."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.server_port = self._listener.getsockname()[1]
        self.got = b""
        self.says = b""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                connection.sendall(self.says)
                while part := connection.recv(65_536):
                    self.got += part
            except OSError:
                pass

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def silent():
    made = Silent()
    yield made
    made.close()


def through(proxy, target, first, *, half=True):
    """Send the first bytes of a tunnel; what came back until it was closed."""
    with proxy.tunnel(f"{HOST}:{target.server_port}") as client:
        got = b""
        try:
            for part in first if isinstance(first, list) else [first]:
                client.sendall(part)
            if half:
                client.shutdown(socket.SHUT_WR)
            while part := client.recv(65_536):
                got += part
        except OSError:
            pass
        return got


def why(proxy):
    wait_until(lambda: proxy.door.endings)
    return proxy.door.endings[-1].why


ALERT = b"\x15\x03\x03\x00\x02\x02\x70"


def record(body, kind=22):
    return bytes([kind, 3, 1]) + len(body).to_bytes(2, "big") + body


HELLO = client_hello(HOST)
MESSAGE = HELLO[5:]


def test_a_tunnel_is_for_the_host_that_was_asked_for(tls):
    with site(tls[0]) as server, world([rule(server.server_port)]) as proxy:
        with (
            proxy.tunnel(f"{HOST}:{server.server_port}") as raw,
            pytest.raises(ssl.SSLError, match=r"(?i)unrecognized"),
        ):
            tls[1].wrap_socket(raw, server_hostname="evil.example")
        assert why(proxy) == "hello_refused"
        assert proxy.door.endings[0].sent == 0
        assert server.seen == []


@pytest.mark.parametrize(
    "first",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"GET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n",
        b"\x05\x01\x00",
        b"\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        client_hello("evil.example"),
        client_hello(f"{HOST}.evil.example"),
        client_hello(None),
        record(MESSAGE, kind=23),
        record(MESSAGE + b"GET / HTTP/1.1"),
        record(MESSAGE) + record(b"x", kind=21)[:3] + b"\xff\xff",
        record(b"\x02" + MESSAGE[1:]),
        record(b""),
        b"".join(record(MESSAGE[at : at + 1]) for at in range(64)),
        record(b"\x01\xff\xff\xff" + b"a" * 16_000),
        record(b"\x01\x00\x3f\xff" + b"a" * 16_000) * 3,
        HELLO[:40],
        b"",
    ],
    ids=[f"opening-{number}" for number in range(18)],
)
def test_nothing_but_one_whole_hello_for_that_host_opens_a_tunnel(silent, first):
    with world([rule(silent.server_port)], EgressLimits(hello_seconds=2)) as proxy:
        got = through(proxy, silent, first)
        if first[:43] == HELLO[:43] and len(first) > len(
            HELLO
        ):  # a whole hello, and then what is the server's to judge
            return
        assert got in {ALERT, b""}
        assert why(proxy) == "hello_refused"
        assert silent.got == b""


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_hello_in_pieces_is_read_whole(silent, size):
    with world([rule(silent.server_port)]) as proxy:
        through(proxy, silent, [HELLO[at : at + size] for at in range(0, len(HELLO), size)])
        wait_until(lambda: silent.got == HELLO)
    middle = len(MESSAGE) // 2
    split = record(MESSAGE[:middle]) + record(MESSAGE[middle:])
    silent.got = b""
    with world([rule(silent.server_port)]) as proxy:
        through(proxy, silent, split)
        wait_until(lambda: silent.got == split)


def test_nothing_goes_to_the_destination_before_the_hello_was_read(silent):
    with world([rule(silent.server_port)]) as proxy, proxy.tunnel(f"{HOST}:{silent.server_port}") as client:
        client.sendall(HELLO[:-1])
        time.sleep(0.1)
        assert silent.got == b""
        client.sendall(HELLO[-1:])
        wait_until(lambda: silent.got == HELLO)


def test_what_the_destination_says_first_is_not_heard_before_the_hello(silent):
    """An SSH server speaks first; a client that hears it would need no TLS at all."""
    silent.says = b"SSH-2.0-OpenSSH_9.6\r\n"
    with world([rule(silent.server_port)]) as proxy:
        assert b"SSH" not in through(proxy, silent, b"SSH-2.0-client\r\n")


# --- bounds ---


def test_a_head_that_drips_is_cut_off():
    with world([rule(443)], EgressLimits(head_seconds=1)) as proxy, proxy.connect() as client:
        begun = time.monotonic()
        client.sendall(b"CONNECT api.example.test:443 HTTP/1.1\r\nX: ")
        assert read_answer(client)[0] == 408
        assert time.monotonic() - begun < 4


def test_a_silent_client_is_cut_off():
    with world([rule(443)], EgressLimits(head_seconds=1)) as proxy, proxy.connect() as client:
        assert read_answer(client)[0] == 408


def test_a_head_has_a_size():
    with world([rule(443)], EgressLimits(head_bytes=2_048)) as proxy:
        assert proxy.send(b"CONNECT api.example.test:443 HTTP/1.1\r\nX: " + b"a" * 70_000)[0] in {400, 431, 0}


def test_a_hello_that_drips_is_cut_off(silent):
    with world([rule(silent.server_port)], EgressLimits(hello_seconds=1)) as proxy:
        begun = time.monotonic()
        through(proxy, silent, HELLO[:20], half=False)
        assert time.monotonic() - begun < 4
        assert why(proxy) == "hello_refused"


@pytest.mark.parametrize("name", ["idle_seconds", "total_seconds"])
def test_a_tunnel_has_an_end(silent, name):
    with world([rule(silent.server_port)], EgressLimits(**{name: 1})) as proxy:
        begun = time.monotonic()
        with proxy.tunnel(f"{HOST}:{silent.server_port}") as client:
            client.sendall(HELLO)
            client.settimeout(0.1)
            while time.monotonic() - begun < 6:
                try:
                    if name == "total_seconds":
                        client.sendall(b"x")
                    assert client.recv(1) == b""
                    break
                except TimeoutError:
                    continue
                except OSError:
                    break
        assert time.monotonic() - begun < 5
        assert why(proxy) == name


def test_a_tunnel_ends_when_what_allowed_it_does_not_hold_any_more(silent):
    with world([rule(silent.server_port)], EgressLimits(recheck_seconds=1)) as proxy:
        with proxy.tunnel(f"{HOST}:{silent.server_port}") as client:
            client.sendall(HELLO)
            wait_until(lambda: silent.got)
            proxy.door.held = False
            assert client.recv(1) == b""
        assert why(proxy) == "withdrawn"


def test_an_upload_has_an_end(silent):
    with world([rule(silent.server_port)], EgressLimits(upload_bytes=200_000)) as proxy:
        through(proxy, silent, [HELLO, *[b"x" * 65_536] * 64])
        assert why(proxy) == "upload_bytes"
        assert len(silent.got) <= 200_000 + 65_536


def test_a_download_has_an_end(silent):
    silent.says = b"x" * 4_000_000
    with world([rule(silent.server_port)], EgressLimits(download_bytes=200_000)) as proxy:
        assert len(through(proxy, silent, HELLO, half=False)) <= 200_000 + 65_536
        assert why(proxy) == "download_bytes"


def test_an_endless_plain_upload_has_an_end():
    with site() as server, world([rule(server.server_port)], EgressLimits(upload_bytes=100_000)) as proxy:
        with proxy.connect() as client:
            start = head(f"http://{HOST}:{server.server_port}/", "POST")
            client.sendall(f"{start}Transfer-Encoding: chunked\r\n\r\n".encode())
            try:
                for _ in range(200):
                    client.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            except OSError:
                pass
        assert why(proxy) == "upload_bytes"
        assert server.seen == []


def test_one_agent_does_not_take_every_connection(silent):
    with world([rule(silent.server_port, agents=(AGENT, OTHER))], EgressLimits(connections_per_agent=2)) as proxy:
        target = f"{HOST}:{silent.server_port}"
        with proxy.tunnel(target), proxy.tunnel(target):
            status, payload = proxy.ask(target)
            assert (status, payload["code"]) == (429, "busy")
            with proxy.tunnel(target, token="tok-other"):
                pass
        wait_until(lambda: len(proxy.door.endings) == 3)
        with proxy.tunnel(target):
            pass


def test_the_proxy_takes_so_many_connections_and_no_more():
    with world([rule(443)], EgressLimits(connections=2)) as proxy, proxy.connect(), proxy.connect():
        wait_until(lambda: proxy.proxy._open == 2)
        assert proxy.send(b"")[0] == 503


def test_a_destination_that_drips_is_silent_in_the_end():
    listener = socket.create_server(("127.0.0.1", 0))
    with world([rule(listener.getsockname()[1])], EgressLimits(idle_seconds=1)) as proxy:
        status, payload = proxy.ask(f"http://{HOST}:{listener.getsockname()[1]}/", method="GET")
        assert (status, payload["code"]) == (504, "upstream_failed")
        assert why(proxy) == "idle_seconds"
    listener.close()


# --- requests that two readers could take for two ---


@pytest.mark.parametrize(
    "extra",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Content-Length: +5\r\n",
        "Content-Length : 5\r\n",
        "X: a\x00b\r\n",
        " folded: x\r\n",
        "Host: other\r\n",
    ],
)
def test_a_head_with_two_readings_is_refused(extra):
    with site() as server, world([rule(server.server_port)]) as proxy:
        status, _ = proxy.ask(f"http://{HOST}:{server.server_port}/", method="POST", extra=extra)
        assert status in {400, 407, 501}
        assert server.seen == []
        assert proxy.door.asked == []


@pytest.mark.parametrize(
    "target",
    ["/", "*", "https://api.example.test/", "http://api.example.test", "ftp://api.example.test/", "http:///x",
     "http://api.example.test:80@evil.example/", "http://api.example.test\\@evil.example/", "http:/api.example.test/"],
)  # fmt: skip
def test_what_a_forward_proxy_is_not_asked_for_is_refused(target):
    with world([rule(443)]) as proxy:
        status, _ = proxy.ask(target, method="GET")
        assert status == (403 if target == "http://api.example.test" else 400)
        assert proxy.resolved == []


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "CONNECT", "get"])
def test_other_methods_are_refused(method):
    with world([rule(443)]) as proxy:
        assert proxy.ask(f"http://{HOST}/", method=method)[0] == 400


def test_a_second_request_on_the_connection_is_not_heard():
    """Pipelined after the first, it would never have been decided."""
    with site() as server, world([rule(server.server_port)]) as proxy:
        one, two = (head(f"http://{HOST}:{server.server_port}/{number}") for number in (1, 2))
        assert proxy.send(f"{one}\r\n{two}\r\n".encode())[0] == 200
        assert [path for _, path, _, _ in server.seen] == ["/1"]


def test_a_redirect_is_the_clients_to_follow_and_asks_anew():
    with site() as server, world([rule(server.server_port)]) as proxy:
        server.answer = says(302, b"", [("Location", "http://169.254.169.254/latest/")])
        with httpx.Client(
            proxy=f"http://agent:tok-deploy@127.0.0.1:{proxy.port}", trust_env=False, follow_redirects=True
        ) as client:
            answer = client.get(f"http://{HOST}:{server.server_port}/")
        assert answer.status_code == 403
        assert proxy.door.asked[-1]["address_class"] == "metadata"


def test_an_answer_that_is_no_http_is_the_destinations_failure(silent):
    silent.says = b"SSH-2.0-OpenSSH_9.6\r\n\r\n"
    with world([rule(silent.server_port)]) as proxy:
        status, payload = proxy.ask(f"http://{HOST}:{silent.server_port}/", method="GET")
        assert (status, payload["code"]) == (502, "upstream_failed")
        assert "SSH" not in payload["reason"]


def test_an_upgrade_does_not_travel(silent):
    with world([rule(silent.server_port)], EgressLimits(idle_seconds=1)) as proxy:
        proxy.ask(
            f"http://{HOST}:{silent.server_port}/",
            method="GET",
            extra="Upgrade: websocket\r\nConnection: Upgrade, X-A\r\nX-A: b\r\n",
        )
        wait_until(lambda: b"onnection: close" in silent.got)
        assert b"pgrade" not in silent.got
        assert b"X-A" not in silent.got
        assert silent.got.count(b"onnection: close") == 1


def test_closing_the_proxy_ends_what_is_open(silent):
    with world([rule(silent.server_port)]) as proxy:
        client = proxy.tunnel(f"{HOST}:{silent.server_port}")
        client.sendall(HELLO)
        wait_until(lambda: silent.got)
    with client:
        assert client.recv(10) == b""
