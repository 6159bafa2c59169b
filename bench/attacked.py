"""A served gateway before an upstream that says and lists whatever it is told: what published attacks are tried on.

`bywire serve` is a process of its own, made ready by the command line as docs/gateway.md says: closed contracts that
say what their parameters mean, an agent policy that lists tools, hosts and programs. Nothing here knows an attack.
"""

import base64
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from bench.gateway import open_bench
from bench.mcp import PROGRAM, VERSION, announced, program
from bywire.gateway.tool_definition import definition_digest

AGENT = "agent:corpus"
APPROVER = "dana"
TEXT = {"type": "string", "maxLength": 65_536}
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Upstream:
    """An MCP server of the newest version. `done` lists the calls that reached it."""

    def __init__(self, tools):
        self.tools = {tool["name"]: tool for tool in tools}
        self.answer = None
        self.done = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                """Quiet."""

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                said = {"jsonrpc": "2.0", "id": asked.get("id"), **upstream.said(asked["method"], asked.get("params"))}
                body = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def said(self, method, params):
        """A result or an error by its name."""
        complete = {"resultType": "complete"}
        if method == "server/discover":
            return {
                "result": complete | {"supportedVersions": [VERSION], "capabilities": {"tools": {}, "resources": {}}}
            }
        if method == "tools/list":
            listed = [*self.tools.values()]
            return {"result": complete | {"tools": listed, "ttlMs": 0, "cacheScope": "private"}}
        self.done.append({"method": method, **{key: params[key] for key in params if key != "_meta"}})
        if self.answer is not None and "error" in self.answer:
            return {"error": {"code": -32000, "message": self.answer["error"]["message"]}}
        plain = {"contents": []} if method == "resources/read" else {"content": [{"type": "text", "text": "done"}]}
        return {"result": complete | (self.answer or plain)}

    def close(self):
        """End the server."""
        self.server.shutdown()
        self.server.server_close()


def tool(name, properties, description="A tool."):
    """A definition as `tools/list` gives it."""
    return {
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": properties},
    }


def contract(definition, **more):
    """A reviewed contract: a write that is undone by another, or whatever `more` says."""
    schema = {**definition["inputSchema"], "additionalProperties": False}
    counted = {} if more.get("category") == "read" else {"undo": "reversible", "rate_per_hour": 2_000}
    return {
        "name": definition["name"],
        "category": "harmless_reversible",
        "risk": "low",
        "reviewed": True,
        "definition": definition_digest(definition),
        "description": definition["description"],
        "schema": schema,
        **counted,
        **more,
    }


class Attacked:
    """A gateway, the upstreams behind it, and one agent before it."""

    def __init__(self, directory, port, upstreams):
        self._place = ("--repo", str(directory / "repo"), "--operator", str(directory / "operator"))
        self.port, self.upstreams = port, upstreams
        self._runs = 0

    def run(self):
        """A token of a session that has read nothing yet."""
        self._runs += 1
        return bywire(self._place, "agents", "token", AGENT, "--run", f"run-{self._runs}").strip()

    def send(self, upstream, method, params, token, headers=None):
        """(status, document) of one MCP request."""
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
        name = params.get("uri" if method == "resources/read" else "name")
        sent = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION,
            "mcp-method": method,
            **({"mcp-name": worded(name)} if name is not None else {}),
            **({"authorization": f"Bearer {token}"} if token else {}),
        }
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", f"/mcp/{upstream}", json.dumps(document).encode(), sent | (headers or {}))
            answer = connection.getresponse()
            body = answer.read()
        try:
            return answer.status, json.loads(body)
        except ValueError:
            return answer.status, {"raw": body.decode("utf-8", "replace")[:400]}

    def call(self, upstream, name, arguments, token):
        """(carried out?, what the agent was answered) of one tools/call."""
        before = len(self.upstreams[upstream].done)
        _, document = self.send(upstream, "tools/call", {"name": name, "arguments": arguments}, token)
        return len(self.upstreams[upstream].done) > before, document

    def listed(self, upstream, token):
        """Names of the tools that the agent is shown."""
        _, document = self.send(upstream, "tools/list", {}, token)
        return {one["name"] for one in document.get("result", {}).get("tools", ())}


def worded(name):
    """A header value as the specification writes what is no plain ASCII."""
    plain = name.isascii() and name.isprintable() and name == name.strip()
    return name if plain else f"=?base64?{base64.b64encode(name.encode()).decode()}?="


def rules(document):
    """Rules, or else the code, of a refusal; empty for what was done."""
    result = document.get("result", {})
    said = result.get("structuredContent", {}) if result.get("isError") else document.get("error", {})
    said = said.get("data", said)
    named = {rule["rule"] for rule in said.get("rules", ())} if isinstance(said.get("rules"), list) else set()
    return sorted(named - {"allow.table"}) or ([str(said.get("code"))] if said else [])


def bywire(place, *words):
    """The command line in a process of its own; its standard output."""
    command = [sys.executable, "-c", PROGRAM, *place, *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if ran.returncode:
        raise RuntimeError(f"bywire {' '.join(words)}: {ran.stdout}{ran.stderr}")
    return ran.stdout


@contextlib.contextmanager
def attacked(upstreams, contracts, policy, extra=()):
    """`upstreams`: name -> Upstream; `contracts`: name -> entries; `policy`: the agent's actions."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        workspace = open_bench(directory)
        owner = workspace.operator.agents_owner.partition(":")[2]
        workspace.close()
        operator = directory / "operator"
        place = ("--repo", str(directory / "repo"), "--operator", str(operator))
        document = yaml.safe_load((operator / "operator.yaml").read_text())
        document["environment"], document["criticality"] = "non-production", "internal"
        (operator / "operator.yaml").write_text(yaml.safe_dump(document))
        _written(operator, upstreams, contracts, policy)
        names = [f"{name}.{entry['name']}" for name, entries in contracts.items() for entry in entries]
        chosen = [word for name in (*names, *extra) for word in ("--tool", name)]
        register = ("agents", "register", AGENT, "--owner", owner, "--pattern", "constrained-executor")
        bywire(place, *register, "--environment", "non-production", *chosen)
        bywire(place, "policy", "compile")
        bywire(place, "policy", "sign", "--as", APPROVER)
        bywire(place, "policy", "activate")
        with program("-c", PROGRAM, *place, "serve", "--port", "0", "--json") as served:
            yield Attacked(directory, announced(served), upstreams)


def _written(operator, upstreams, contracts, policy):
    """gateway.yaml, contracts, and the agent's policy."""
    (operator / "contracts").mkdir(mode=0o700)
    (operator / "agent-policies").mkdir(mode=0o700)
    for name, entries in contracts.items():
        document = {"version": 1, "upstream": name, "tools": entries}
        (operator / "contracts" / f"{name}.yaml").write_text(json.dumps(document))
    leading = [
        {
            "name": name,
            "kind": "mcp",
            "url": f"http://127.0.0.1:{one.server.server_port}/mcp",
            "private": True,
            "environment": "non-production",
        }
        for name, one in upstreams.items()
    ]
    gateway = {"version": 1, "listen": {"port": 0}, "upstreams": leading}
    (operator / "gateway.yaml").write_text(yaml.safe_dump(gateway))
    agent = {"agent": AGENT.partition(":")[2], "actions": policy}
    (operator / "agent-policies" / "corpus.yaml").write_text(yaml.safe_dump(agent))
