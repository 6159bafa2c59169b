"""The forward proxy before a whole gateway: each connection is decided by the shipped policy and is in the ledger."""

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
from contextlib import contextmanager

import httpx
import msgspec
import pytest
from egress_world import HOST, certificate, head, read_answer, says, site
from scene import wait_until
from serving import prepared, register

from bywire.adapters.listening import listen, port_of
from bywire.api.app import build_app
from bywire.api.egress import egress_proxy
from bywire.api.serve import running
from bywire.model.ask import Ask
from bywire.wiring.gateway import Gateway
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.workspace import open_workspace

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


class Out:
    """A served forward proxy on `port`, with its gateway."""

    def __init__(self, gateway, port):
        self.gateway = gateway
        self.port = port

    def token(self, agent="agent:traveller", run="run-1"):
        return self.gateway.workspace.token(agent, run)

    def ask(self, target, token=None):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(f"{head(target, 'CONNECT', token or self.token())}\r\n".encode())
            return read_answer(client)

    def client(self, tls, token=None):
        proxy = f"http://agent:{token or self.token()}@127.0.0.1:{self.port}"
        return httpx.Client(proxy=proxy, verify=tls[1], trust_env=False)

    def recorded(self, kind):
        """Documents of one kind in the ledger, oldest first."""
        workspace = self.gateway.workspace
        workspace.journal.flush_reads()
        workspace.writer.run(lambda tx: None)
        found = []
        for _, leaf, _ in workspace.ledger.rows(0):
            entry = msgspec.json.decode(leaf)
            if entry["kind"] == kind and entry.get("record"):
                found.append(msgspec.json.decode(workspace.ledger.blob(entry["record"])))
        return found


@contextmanager
def outward(root, ports, **gateway):
    rules = [{"agents": ["agent:traveller"], "host": HOST, "ports": list(ports), "private": True}]
    scene = prepared(root / "scene", egress=rules, **gateway)
    register(scene, "traveller", ["open_connection"])
    register(scene, "homebody", ["get_deployment_status"])
    workspace = open_workspace(scene.repo, scene.operator)
    gateway = Gateway(workspace, read_gateway(workspace))
    listener = listen("127.0.0.1", 0)
    port = port_of(listener)
    proxy = egress_proxy(gateway, listener, resolve=lambda host, _: ["127.0.0.1"])
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(10)
    try:
        made = Out(gateway, port)
        made.scene = scene
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(proxy.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        gateway.close()
        workspace.close()
        scene.close()


@pytest.fixture(scope="module")
def out(tmp_path_factory, tls):
    with site(tls[0]) as server, outward(tmp_path_factory.mktemp("out"), [server.server_port]) as made:
        made.site = server
        yield made


def test_a_listed_host_is_reached_and_the_connection_is_on_record(out, tls):
    out.site.answer = says()
    with out.client(tls) as client:
        assert client.get(f"https://{HOST}:{out.site.server_port}/").text == "hello"
    wait_until(lambda: out.recorded("connection"))
    (ended,) = out.recorded("connection")
    assert ended["principal"] == "agent:traveller"
    assert (ended["host"], ended["address"], ended["why"]) == (HOST, "127.0.0.1", "closed")
    assert ended["bytes_sent"] > 0 < ended["bytes_received"]
    (decided,) = [item for batch in out.recorded("reads") for item in batch if "destination" in item["input"]["action"]]
    assert decided["input"]["action"]["destination"]["listed"] is True
    assert decided["decision"]["effect"] == "allow"
    assert out.token() not in str(out.recorded("reads"))


@pytest.mark.parametrize(
    ("target", "rules"),
    [
        ("evil.example:443", {"egress.not_listed"}),
        (f"{HOST}:22", {"egress.not_listed", "egress.tunnel"}),
        ("169.254.169.254:443", {"egress.metadata", "egress.not_listed"}),
        ("[::1]:443", {"egress.raw_address", "egress.not_listed"}),
        ("metadata.google.internal:443", {"egress.metadata", "egress.not_listed"}),
        ("ssh.github.com:443", {"egress.not_listed", "egress.tunnel"}),
    ],
)
def test_what_is_not_listed_is_denied_with_the_payload_of_every_surface(out, target, rules):
    status, said = out.ask(target)
    assert (status, said["code"], said["effect"]) == (403, "policy_denied", "deny")
    assert {rule["rule"] for rule in said["rules"]} == rules
    assert said["decision_id"]
    assert said["policy_version"]
    assert all(said[name] for name in ("reason", "next_step"))


def test_an_agent_without_the_tool_or_the_rule_connects_nowhere(out):
    status, said = out.ask(f"{HOST}:{out.site.server_port}", token=out.token("agent:homebody"))
    assert (status, said["code"]) == (403, "policy_denied")


def test_a_token_that_is_none_is_asked_for(out):
    status, said = out.ask(f"{HOST}:{out.site.server_port}", token="nonsense")
    assert (status, said["code"]) == (407, "unauthenticated")


def test_a_stop_closes_the_way_out_and_what_is_open_on_it(tmp_path, tls):
    with site(tls[0]) as server, outward(tmp_path, [server.server_port], egress_limits={"recheck_seconds": 1}) as out:
        target = f"{HOST}:{server.server_port}"
        with socket.create_connection(("127.0.0.1", out.port), timeout=10) as raw:
            raw.sendall(f"{head(target, 'CONNECT', out.token())}\r\n".encode())
            assert raw.recv(4096).startswith(b"HTTP/1.1 200")
            with tls[1].wrap_socket(raw, server_hostname=HOST) as tunnel:
                assert out.scene.bywire("stop", "--reason", "test").code == 0
                tunnel.settimeout(10)
                with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
                    assert tunnel.recv(1) == b""
        status, said = out.ask(target)
        assert (status, said["code"]) == (403, "policy_denied")
        wait_until(lambda: out.recorded("connection"))
        assert out.recorded("connection")[0]["why"] == "withdrawn"


def test_asking_elsewhere_opens_nothing(out):
    """`open_connection` through the API names no destination that anybody checked."""
    answered = out.gateway.call(out.token(), Ask("open_connection", {"host": HOST, "port": 443}, surface="api"))
    assert answered.code == "policy_denied"


def test_the_token_works_as_the_password_that_many_clients_send(out, tls):
    token = base64.b64encode(f"x:{out.token()}".encode()).decode()
    with httpx.Client(
        proxy=httpx.Proxy(f"http://127.0.0.1:{out.port}", headers={"Proxy-Authorization": f"Basic {token}"}),
        verify=tls[1],
        trust_env=False,
    ) as client:
        assert client.get(f"https://{HOST}:{out.site.server_port}/").status_code == 200


def test_it_is_served_beside_the_gateway(tmp_path, tls):
    with site(tls[0]) as server:
        rules = [{"agents": ["agent:traveller"], "host": "localhost", "ports": [server.server_port], "private": True}]
        scene = prepared(tmp_path / "scene", egress=rules)
        register(scene, "traveller", ["open_connection"])
        workspace = open_workspace(scene.repo, scene.operator)
        gateway = Gateway(workspace, read_gateway(workspace))
        listener, out = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
        port = port_of(out)
        served = running(build_app(gateway), gateway.settings.limits, [egress_proxy(gateway, out)])
        up = threading.Event()
        thread = threading.Thread(target=served.run_on, args=(listener, up.set), daemon=True)
        thread.start()
        try:
            assert up.wait(20)
            made = Out(gateway, port)
            status, said = made.ask("evil.example:443")
            assert (status, said["code"]) == (403, "policy_denied")
        finally:
            served.should_exit = True
            thread.join(20)
            listener.close()
            gateway.close()
            workspace.close()
            scene.close()
        assert not thread.is_alive()
