"""A workspace that is served on a loopback port, with one HTTP upstream and an agent that may use it."""

import http.client
import json
import socket
import threading
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import yaml
from scene import Scene

from bywire.adapters.listening import listen, port_of
from bywire.api.app import build_app
from bywire.api.serve import running
from bywire.wiring.gateway import Gateway
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.workspace import open_workspace

AGENT = "agent:fixer"
UPSTREAM = "shop"
CONTRACTS: dict[str, Any] = {
    "version": 1,
    "upstream": UPSTREAM,
    "tools": [
        {
            "name": "list_orders",
            "category": "read",
            "risk": "low",
            "reviewed": True,
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"limit": {"type": "integer"}},
            },
            "request": {"method": "GET", "path": "/orders", "query": ["limit"]},
        },
        {
            "name": "restart",
            "category": "harmless_reversible",
            "risk": "low",
            "reviewed": True,
            "undo": "reversible",
            "rate_per_hour": 500,
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["job"],
                "properties": {"job": {"type": "string", "maxLength": 64}},
            },
            "request": {"method": "POST", "path": "/jobs/{job}/restart"},
        },
        {
            "name": "deploy",
            "category": "production_orchestration",
            "risk": "high",
            "reviewed": True,
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["version"],
                "properties": {"version": {"type": "string", "maxLength": 64}},
            },
            "request": {"method": "POST", "path": "/deploy"},
        },
    ],
}
TOOLS = [f"{UPSTREAM}.{tool['name']}" for tool in CONTRACTS["tools"]]


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


def prepared(root, *, upstream_url="http://127.0.0.1:9", environment="non-production", **gateway):
    """A scene with a registered agent, contracts and gateway.yaml."""
    scene = Scene(root)
    assert scene.bywire("init").code == 0
    scene.configure(environment=environment)
    (scene.operator / "contracts").mkdir(mode=0o700)
    (scene.operator / "contracts" / f"{UPSTREAM}.yaml").write_text(yaml.safe_dump(CONTRACTS))
    shop = {"name": UPSTREAM, "kind": "http", "url": upstream_url, "private": True}
    document = {"version": 1, "listen": {"port": 0}, "upstreams": [shop], **gateway}
    (scene.operator / "gateway.yaml").write_text(yaml.safe_dump(document))
    register(scene, "fixer", [*TOOLS, "get_deployment_status"])
    return scene


def register(scene, name, tools, pattern="constrained-executor", owner="dana"):
    chosen = [word for tool in tools for word in ("--tool", tool)]
    ran = scene.bywire("agents", "register", name, "--owner", owner, "--pattern", pattern, *chosen, "--json")
    assert ran.code == 0, ran


def changed(scene, agent=AGENT, **fields):
    """An agent's registration in agents.yaml with other values."""
    place = scene.operator / "agents.yaml"
    document = yaml.safe_load(place.read_text())
    (mine,) = [one for one in document["agents"] if one["id"] == agent]
    mine |= fields
    place.write_text(yaml.safe_dump(document))


class Served:
    """A gateway that answers on `port`."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway = gateway
        self.port = port

    def token(self, agent=AGENT, run="run-1"):
        return self.gateway.workspace.token(agent, run)

    def send(self, method, path, body=None, *, headers=None, token=None):
        """One request; `body` is JSON unless bytes, `token` None sends the agent's, "" none."""
        token = self.token() if token is None else token
        sent = {"content-type": "application/json"} if body is not None else {}
        sent |= {"authorization": f"Bearer {token}"} if token else {}
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, data, sent | (headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, path, body, **more):
        return self.send("POST", path, body, **more)

    def raw(self, data: bytes, *, seconds=10.0, half_close=False) -> bytes:
        """Whatever comes back on a connection that sends `data`, until it is closed or silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            found = b""
            try:
                while part := connection.recv(65536):
                    found += part
            except (TimeoutError, ConnectionResetError):
                pass
            return found


@contextmanager
def served(scene, **limits):
    """The gateway of a scene, on a thread with its own event loop."""
    workspace = open_workspace(scene.repo, scene.operator)
    try:
        settings = read_gateway(workspace)
        listener = listen(settings.listen.host, 0)
        bound = msgspec.structs.replace(settings.listen, port=port_of(listener))
        chosen = msgspec.structs.replace(settings.limits, **limits) if limits else settings.limits
        settings = msgspec.structs.replace(settings, listen=bound, limits=chosen)
        gateway = Gateway(workspace, settings)
        try:
            with listener, on_thread(build_app(gateway), listener, chosen):
                yield Served(gateway, settings.listen.port)
        finally:
            gateway.close()
    finally:
        workspace.close()


@contextmanager
def on_thread(app, listener, limits):
    """`app` served by a thread; ended and joined afterwards."""
    server = running(app, limits)
    up = threading.Event()
    thread = threading.Thread(target=server.run_on, args=(listener, up.set), daemon=True)
    thread.start()
    try:
        assert up.wait(20)
        yield
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
