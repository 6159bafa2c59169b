"""`bywire serve` as a process before a real MCP server and a real HTTP API, with the policy of one deploying agent.

Every tool stands behind three doors: `cluster.TOOL` is the MCP server's, `orchestrator.TOOL` the HTTP API's, and
`local.TOOL` is carried out by the agent's own program with the SDK. `effects` holds what any of them did.
"""

import asyncio
import contextlib
import http.client
import json
import socket
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import httpx2
import yaml
from bywire_sdk import Client, GatewayError, governed
from bywire_sdk.protocol import Answer
from egress_world import site
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp_world import on_uvicorn
from scene import Scene
from telemetry_world import collecting, plain

from bywire.gateway.tool_definition import definition_digest

AGENT = "agent:deploy-manager"
APPROVED, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGE = f"registry.example/app@{APPROVED}"
HOURS_A_DAY = 2_000
# The minimal policy of seed 003, with a digest, and beside it what its table of guardrails names.
POLICY = f"""agent: deploy-manager

actions:

  - name: deploy

    allowed_environments: ["staging"]

    approval_needed: env == "production"

    allowed_images:

      - digest: "{APPROVED}"

    max_replicas: 50

  - name: pay

    allowed_environments: ["staging"]

    max_amount: 500

    currency: EUR

    approval_needed: amount > 100

  - name: open_connection

    egress: ["registry.example"]

budgets:

  per_day: {{replica_hours: {HOURS_A_DAY}}}
"""
# An agent that may do little in a minute, whatever it is.
BRIEF = "agent:brief"
POLICY_OF_BRIEF = "agent: brief\nactions: [{name: deploy}, {name: pay}]\nbudgets: {per_minute: 3}\n"
TEXT = {"type": "string", "maxLength": 400}
SCHEMAS: dict[str, dict[str, Any]] = {
    "deploy": {"env": TEXT, "image": TEXT, "replicas": {"type": "integer"}, "note": TEXT, "remote": TEXT},
    "pay": {"to": TEXT, "amount": {"type": "number"}, "currency": TEXT},
}
MORE: dict[str, dict[str, Any]] = {
    "deploy": {
        "environment_from": {
            "parameter": "env",
            "values": {"staging": "staging", "dev": "non-production", "production": "production"},
        },
        "meaning": {"image": "image", "replicas": "replicas", "host": "remote"},
        "cost": [{"unit": "replica_hours", "parameter": "replicas", "factor": 24}],
    },
    "pay": {"meaning": {"amount": "amount", "currency": "currency"}},
}
WITHIN: dict[str, dict[str, Any]] = {
    "deploy": {"env": "staging", "image": IMAGE, "replicas": 2},
    "pay": {"to": "supplier-17", "amount": 20, "currency": "EUR"},
}


class Effect(NamedTuple):
    """Something that was done to the world."""

    surface: str
    tool: str
    values: dict[str, Any]


class Said(NamedTuple):
    """What a surface answered: done, or the one payload."""

    done: bool
    payload: dict[str, Any]

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(rule["rule"] for rule in self.payload.get("rules", ()))


def mcp_server(effects, says):
    """An MCP server with the two tools; `says` is what a deployment is answered."""
    server = MCPServer("cluster", version="1.0.0")

    @server.tool()
    def deploy(env: str, image: str, replicas: int, note: str = "", remote: str = "") -> str:
        """Deploy an image."""
        effects.append(Effect("mcp", "deploy", {"env": env, "image": image, "replicas": replicas}))
        return says

    @server.tool()
    def pay(to: str, amount: float, currency: str) -> str:
        """Pay somebody."""
        effects.append(Effect("mcp", "pay", {"to": to, "amount": amount, "currency": currency}))
        return "paid"

    return server


def answers(effects, says):
    """The HTTP API: what it is asked is done; `says` is in its answer."""

    def answer(handler):
        _, path, _, body = handler.server.seen[-1]
        effects.append(Effect("http", {"/deployments": "deploy", "/payments": "pay"}[path], json.loads(body)))
        said = json.dumps({"done": True, "says": says}).encode()
        handler.send_response(201)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said)

    return answer


def contract(tool, **more):
    return {
        "name": tool,
        "category": "environment_write",
        "risk": "low",
        "reviewed": True,
        "undo": "reversible",
        "rate_per_hour": 500,
        **MORE[tool],
        **more,
    }


def closed(tool):
    properties = SCHEMAS[tool]
    return {"type": "object", "additionalProperties": False, "properties": properties}


def contracts(definitions):
    """Contract files by upstream."""
    paths = {"deploy": "/deployments", "pay": "/payments"}
    listed = [
        contract(
            one["name"],
            definition=definition_digest(one),
            description=one["description"],
            schema={**one["inputSchema"], "additionalProperties": False},
        )
        for one in definitions
    ]
    routed = [contract(tool, schema=closed(tool), request={"method": "POST", "path": paths[tool]}) for tool in SCHEMAS]
    own = [contract(tool, schema=closed(tool)) for tool in SCHEMAS]
    return {
        "cluster": {"version": 1, "upstream": "cluster", "tools": listed},
        "orchestrator": {"version": 1, "upstream": "orchestrator", "tools": routed},
        "local": {"version": 1, "upstream": "local", "environment": "staging", "tools": own},
    }


def definitions_of(server):
    async def ask():
        async with McpClient(server) as client:
            return (await client.list_tools()).tools

    return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in asyncio.run(ask())]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class World:
    """The served gateway, what happened behind it, and an agent at each of its doors."""

    def __init__(self, scene, told, effects, collector):
        self.scene, self.effects, self.collector = scene, effects, collector
        self.url, self.egress_port = told["url"], told["egress_port"]
        self.asked = 0
        self.agent = AGENT
        self.told: list[tuple[str, dict[str, Any]]] = []

    def token(self, run):
        ran = self.scene.bywire("agents", "token", self.agent, "--run", run)
        assert ran.code == 0, ran
        return ran.out.strip()

    def attempt(self, surface, tool, values, *, key="", run=""):
        """One attempt, in a run of its own unless it goes on with one."""
        self.asked += 1
        run = run or f"{surface}-{self.asked}"
        return getattr(self, surface)(tool, values, key or f"key-{self.asked}", self.token(run))

    def mcp(self, tool, values, key, token):
        async def ask():
            headers = {"authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=20) as http,
                McpClient(streamable_http_client(f"{self.url}/mcp/cluster", http_client=http)) as client,
            ):
                return await client.call_tool(tool, values, meta={"bywire/key": key})

        result = asyncio.run(ask())
        if not result.is_error:
            return Said(done=True, payload={})
        assert json.loads(result.content[0].text) == result.structured_content
        return Said(done=False, payload=result.structured_content)

    def http(self, tool, values, key, token):
        path = {"deploy": "deployments", "pay": "payments"}[tool]
        headers = {"authorization": f"Bearer {token}", "idempotency-key": key}
        answer = httpx.post(f"{self.url}/route/orchestrator/{path}", json=values, headers=headers, timeout=20)
        if answer.status_code == 201:
            return Said(done=True, payload={})
        said = answer.json()["error"]
        assert answer.status_code == {"policy_denied": 403, "approval_needed": 202}[said["code"]], answer
        return Said(done=False, payload=said)

    def sdk_call(self, tool, values, key, token):
        with Client(self.url, token=token) as client:
            return self._told(lambda: client.call(f"orchestrator.{tool}", values, key=key))

    def sdk_governed(self, tool, values, key, token):
        with Client(self.url, token=token, run=key) as client:

            @governed(tool=f"local.{tool}", client=client, key=lambda _: key)
            def carried_out(**given):
                self.effects.append(Effect("sdk", tool, given))
                return "done"

            return self._told(lambda: carried_out(**values))

    @staticmethod
    def _told(work):
        try:
            answer = work()
        except GatewayError as error:
            return Said(done=False, payload=error.payload)
        assert answer == "done" or (isinstance(answer, Answer) and answer.status == "committed")
        return Said(done=True, payload={})

    def connect(self, host, port):
        """CONNECT through the forward proxy: (status, payload)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.egress_port, timeout=20)
        with contextlib.closing(connection):
            head = {"Proxy-Authorization": f"Bearer {self.token(f'tunnel-{host}')}", "Host": f"{host}:{port}"}
            connection.request("CONNECT", f"{host}:{port}", headers=head)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body)["error"] if answer.status != 200 else {}

    def get(self, path, run="looking"):
        return httpx.get(f"{self.url}{path}", headers={"authorization": f"Bearer {self.token(run)}"}, timeout=20)

    def spans(self):
        """Attributes of every span that the collector was sent, by decision and surface: two may tell of one."""
        found = [plain(span) for span in self.collector.spans]
        decided = [one for one in found if "bywire.decision.id" in one]
        return {(one["bywire.decision.id"], one["bywire.surface"]): one for one in decided}


def prepared(root, mcp_port, http_port, collector, definitions):
    """The operator's part: contracts, gateway.yaml, the agent, and its policy compiled, signed and activated."""
    scene = Scene(root).prepared()
    scene.configure(environment="staging", criticality="internal", tier_floor="trivial")
    (scene.operator / "contracts").mkdir(mode=0o700)
    for name, document in contracts(definitions).items():
        (scene.operator / "contracts" / f"{name}.yaml").write_text(yaml.safe_dump(document))
    gateway = {
        "version": 1,
        "listen": {"port": 0, "egress_port": free_port()},
        "upstreams": [
            {"name": "cluster", "kind": "mcp", "url": f"http://127.0.0.1:{mcp_port}/mcp", "private": True},
            {"name": "orchestrator", "kind": "http", "url": f"http://127.0.0.1:{http_port}", "private": True},
        ],
        "egress": [{"agents": [AGENT], "host": "registry.example", "ports": [443]}],
        "telemetry": {"otlp": {"url": collector.url, "private": True, "logs": True}, "metrics": {"open": True}},
    }
    (scene.operator / "gateway.yaml").write_text(yaml.safe_dump(gateway))
    tools = [f"{upstream}.{tool}" for upstream in ("cluster", "orchestrator", "local") for tool in SCHEMAS]
    chosen = [word for tool in (*tools, "open_connection") for word in ("--tool", tool)]
    places = [word for place in ("staging", "non-production", "production") for word in ("--environment", place)]
    owner = yaml.safe_load((scene.operator / "operator.yaml").read_text())["people"][0]["id"]
    register = ("agents", "register", AGENT, "--owner", owner, "--pattern", "constrained-executor")
    done(scene.bywire(*register, *chosen, *places))
    done(scene.bywire(*(BRIEF if word == AGENT else word for word in register), *chosen, *places))
    (scene.operator / "agent-policies").mkdir(mode=0o700)
    (scene.operator / "agent-policies" / "deploy-manager.yaml").write_text(POLICY)
    (scene.operator / "agent-policies" / "brief.yaml").write_text(POLICY_OF_BRIEF)
    done(scene.bywire("policy", "compile"))
    done(scene.bywire("policy", "sign", "--as", "oncall"))
    done(scene.bywire("policy", "activate"))
    return scene


def done(ran):
    assert ran.code == 0, ran
    assert "warning" not in ran.out + ran.err, ran
    return ran


@contextmanager
def serving(scene):
    """What `bywire serve` says of itself, while it runs."""
    child = scene.spawn("serve", "--json")
    try:
        told = line = ""
        while line != "}\n":
            line = child.stdout.readline()
            assert line, child.stderr.read()
            told += line
        yield json.loads(told)
    finally:
        child.terminate()
        _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (0, "")


@contextmanager
def abused(root, says="deployed"):
    """The whole world; `says` is what the upstreams answer to a deployment."""
    effects = []
    server = mcp_server(effects, says)
    listed = definitions_of(server)
    with collecting() as collector, site() as api, on_uvicorn(server.streamable_http_app()) as mcp_port:
        api.answer = answers(effects, says)
        scene = prepared(root, mcp_port, api.server_port, collector, listed)
        try:
            with serving(scene) as told:
                yield World(scene, told, effects, collector)
        finally:
            scene.close()
