"""A gateway before a real MCP server, and a real MCP client before the gateway; all on loopback."""

import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
import msgspec
import uvicorn
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from scene import Scene
from serving import Served, on_thread, register

from bywire.adapters.listening import listen, port_of
from bywire.api.app import build_app
from bywire.gateway.tool_definition import definition_digest
from bywire.wiring.gateway import Gateway
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.workspace import open_workspace

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
import everything_server

UPSTREAM, OLDER = "every", "older"
AGENT = "agent:fixer"
EFFECTS = {
    "append": ("harmless_reversible", "low"),
    "fail_write": ("harmless_reversible", "low"),
    "release": ("production_orchestration", "high"),
}
REQUESTS = (
    "resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe",
    "prompts/list", "prompts/get", "completion/complete",
)  # fmt: skip


@contextmanager
def on_uvicorn(app):
    """An ASGI application on a loopback port; gives the port."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield port_of(listener)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def everything(lines=None, *, older=False, **options):
    """The reference server, or as one that knows nothing of the newest version; gives its URL."""
    application = everything_server.application(lines, **options)
    with on_uvicorn(without_newest(application) if older else application) as port:
        yield f"http://127.0.0.1:{port}/mcp"


def without_newest(application):
    """ASGI: answers what the newest version sends as servers did before it."""

    async def app(scope, receive, send):
        if dict(scope.get("headers", ())).get(b"mcp-protocol-version") == MODERN.encode():
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"Bad Request"})
            return
        await application(scope, receive, send)

    return app


def listing():
    """The definitions of the reference server, as it lists them."""
    import asyncio

    async def ask():
        async with Client(everything_server.build()) as client:
            return (await client.list_tools()).tools

    tools = asyncio.run(ask())
    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]


def contract(tool, **changes):
    """A reviewed contract of a definition, a read unless it is one of EFFECTS."""
    category, risk = EFFECTS.get(tool["name"], ("read", "low"))
    drafted = {
        "name": tool["name"],
        "category": category,
        "risk": risk,
        "reviewed": True,
        "definition": definition_digest(tool),
        "description": tool.get("description", ""),
        "schema": tool["inputSchema"],
        **({"undo": "reversible", "rate_per_hour": 1_000} if tool["name"] in EFFECTS else {}),
    }
    return {**drafted, **changes}


def request_contract(method):
    """The contract of a request that is no tool."""
    return {"name": method, "category": "read", "risk": "low", "reviewed": True, "schema": {"type": "object"}}


def connected(root, upstreams, tools=None, *, environment="non-production", requests=REQUESTS, hidden=(), **gateway):
    """A scene whose gateway leads to MCP upstreams, `{name: {"url"}}` or `{name: {"command"}}`, with the same tools."""
    scene = Scene(root)
    assert scene.bywire("init").code == 0
    scene.configure(environment=environment, criticality="internal")
    tools = [contract(tool) for tool in listing()] if tools is None else tools
    tools = [*tools, *map(request_contract, requests)]
    for name in upstreams:
        write_contracts(scene, tools, name)
    entries = [{"name": name, "kind": "mcp", **entry} for name, entry in upstreams.items()]
    document = {"version": 1, "listen": {"port": 0}, "upstreams": entries, **gateway}
    (scene.operator / "gateway.yaml").write_text(yaml.safe_dump(document))
    seen = [tool["name"] for tool in tools if tool["name"] not in hidden]
    register(scene, "fixer", [f"{name}.{tool}" for name in upstreams for tool in seen])
    return scene


def write_contracts(scene, tools, upstream=UPSTREAM):
    """contracts/UPSTREAM.yaml."""
    place = scene.operator / "contracts"
    place.mkdir(mode=0o700, exist_ok=True)
    document = {"version": 1, "upstream": upstream, "tools": tools}
    (place / f"{upstream}.yaml").write_text(yaml.safe_dump(document))


@contextmanager
def served(scene, around=lambda app, gateway: app, **limits):
    """The gateway of a scene on a thread; `around` wraps its application."""
    workspace = open_workspace(scene.repo, scene.operator)
    try:
        settings = read_gateway(workspace)
        with listen("127.0.0.1", 0) as listener:
            bound = msgspec.structs.replace(settings.listen, port=port_of(listener))
            chosen = msgspec.structs.replace(settings.limits, **limits)
            gateway = Gateway(workspace, msgspec.structs.replace(settings, listen=bound, limits=chosen))
            try:
                with on_thread(around(build_app(gateway), gateway), listener, chosen):
                    yield Served(gateway, bound.port)
            finally:
                gateway.close()
    finally:
        workspace.close()


@contextmanager
def gated(root, lines=None, **more):
    """A served gateway before the reference server, and (`OLDER`) before one of the versions with a handshake."""
    with everything(lines) as url, everything(lines, older=True) as older:
        entries = {UPSTREAM: {"url": url, "private": True}, OLDER: {"url": older, "private": True}}
        scene = connected(root, entries, **more)
        with served(scene) as running:
            running.scene = scene
            yield running
        scene.close()


@asynccontextmanager
async def client(running, *, token=None, upstream=UPSTREAM, **options):
    """A real client of the gateway."""
    url = f"http://127.0.0.1:{running.port}/mcp/{upstream}"
    headers = {"authorization": f"Bearer {token or running.token()}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http), **options) as connected_client,
    ):
        yield connected_client


def rpc(method, params=None, message_id=1):
    """A request as JSON."""
    return {"jsonrpc": "2.0", "id": message_id, "method": method, **({} if params is None else {"params": params})}


MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}
ACCEPT = {"accept": "application/json, text/event-stream"}


def modern(running, method, params=None, *, meta=None, headers=None, message_id=1, upstream=UPSTREAM, **more):
    """One request of the newest version, over plain HTTP."""
    full = {**(params or {}), "_meta": {**META, **(meta or {})}}
    sent = {**ACCEPT, "mcp-protocol-version": MODERN, "mcp-method": method}
    name = full.get("uri" if method == "resources/read" else "name")
    sent |= {"mcp-name": name} if name and method in {"tools/call", "prompts/get", "resources/read"} else {}
    wanted = {key: value for key, value in {**sent, **(headers or {})}.items() if value is not None}
    return running.post(f"/mcp/{upstream}", rpc(method, full, message_id), headers=wanted, **more)


def call(running, name, arguments=None, **more):
    """One modern `tools/call`; its result."""
    answer = modern(running, "tools/call", {"name": name, "arguments": arguments or {}}, **more)
    assert answer.status == 200, answer
    return answer.json["result"]


def encoded(value):
    return msgspec.json.encode(value)
