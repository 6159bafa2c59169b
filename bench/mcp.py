"""The bars of MCP through the gateway: a read, turn about direct and proxied, and the gateway's CPU for each.

Upstream, gateway (`bywire serve`, shipped policy) and this client are three processes. Both ways send the same bytes on
a connection that is kept. CPU is that of the whole gateway process. Run alone: python -m bench mcp
"""

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from bench.gateway import open_bench
from bench.mcp_upstream import TOOL
from bench.measured import at_most, tell
from bywire.gateway.tool_definition import definition_digest
from bywire.wiring.identities import issue_token, register

DIFFERENCE_MS_MAX, CPU_MS_MAX = 3.0, 1.0
CALLS, WARM = 1_500, 200
CPU_CALLS, CPU_ROUNDS = 500, 7
AGENT = "agent:bench"
VERSION = "2026-07-28"
PROGRAM = "import sys; from bywire.cli.main import main; sys.argv[0] = 'bywire'; main()"
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": TOOL["name"],
        "arguments": {"name": "storefront"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": VERSION,
    "mcp-method": "tools/call",
    "mcp-name": TOOL["name"],
}


class Way:
    """One endpoint on a kept connection."""

    def __init__(self, port, path, token=""):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._path = path
        self._headers = HEADERS | ({"authorization": f"Bearer {token}"} if token else {})
        self._body = json.dumps(CALL).encode()

    def call(self):
        """Milliseconds of one call."""
        began = time.perf_counter_ns()
        self._connection.request("POST", self._path, self._body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        took = time.perf_counter_ns() - began
        if answer.status != 200 or b"storefront@sha256" not in said or b'"isError":true' in said:
            raise RuntimeError(f"{answer.status}: {said[:400]!r}")
        return took / 1e6

    def close(self):
        self._connection.close()


@contextlib.contextmanager
def program(*arguments):
    """A process of ours, with its standard output."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def prepare(directory, port):
    """A workspace whose gateway leads to the upstream; returns a token of an agent that may use it."""
    contract = {
        "name": TOOL["name"],
        "category": "read",
        "risk": "low",
        "reviewed": True,
        "definition": definition_digest(TOOL),
        "description": TOOL["description"],
        "schema": TOOL["inputSchema"],
    }
    upstream = {"name": "bench", "kind": "mcp", "url": f"http://127.0.0.1:{port}/mcp", "private": True}
    workspace = open_bench(directory)
    try:
        operator = workspace.directory.path
        (operator / "contracts").mkdir(mode=0o700)
        document = {"version": 1, "upstream": "bench", "tools": [contract]}
        (operator / "contracts" / "bench.yaml").write_text(yaml.safe_dump(document))
        (operator / "gateway.yaml").write_text(
            yaml.safe_dump({"version": 1, "listen": {"port": 0}, "upstreams": [upstream]})
        )
        register(
            workspace,
            {
                "id": AGENT,
                "owner": workspace.operator.agents_owner,
                "pattern": "constrained-executor",
                "tools": [f"bench.{TOOL['name']}"],
                "environments": [workspace.operator.environment],
            },
        )
        return issue_token(workspace, AGENT, run="bench", lifetime_seconds=900).token
    finally:
        workspace.close()


def announced(process):
    """The port that `bywire serve --json` says it listens on."""
    said = ""
    for line in process.stdout:
        said += line
        with contextlib.suppress(ValueError):
            return int(json.loads(said)["url"].rpartition(":")[2])
    raise RuntimeError(f"the gateway did not start: {said[:400]}")


def measure(direct, proxied, gateway):
    """(p50 direct, p50 proxied, gateway CPU ms per call), turn about."""
    for _ in range(WARM):
        direct.call()
        proxied.call()
    pairs = [(direct.call(), proxied.call()) for _ in range(CALLS)]
    spent = statistics.median(cpu_of(proxied, gateway) for _ in range(CPU_ROUNDS))
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), spent


def cpu_of(way, process):
    """CPU ms of a process for each of a round of calls; the system counts in steps of 10 ms."""
    before = process.cpu_times()
    for _ in range(CPU_CALLS):
        way.call()
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) * 1_000 / CPU_CALLS


@contextlib.contextmanager
def governed(directory, port):
    """The way through `bywire serve` before the upstream on that port, and the gateway's process."""
    token = prepare(directory, port)
    repo, operator = Path(directory) / "repo", Path(directory) / "operator"
    command = ("-c", PROGRAM, "--repo", str(repo), "--operator", str(operator), "serve", "--port", "0", "--json")
    with program(*command) as served, contextlib.closing(Way(announced(served), "/mcp/bench", token)) as way:
        yield way, psutil.Process(served.pid)


def bars():
    """Two bars."""
    with tempfile.TemporaryDirectory() as directory, program("-m", "bench.mcp_upstream") as upstream:
        port = int(upstream.stdout.readline())
        with governed(directory, port) as (proxied, gateway), contextlib.closing(Way(port, "/mcp")) as direct:
            before, after, cpu = measure(direct, proxied, gateway)
    tell(f"tools/call: direct {before:.2f} ms, proxied {after:.2f} ms (p50), gateway {cpu:.2f} ms CPU")
    yield at_most("mcp_read_p50_difference", after - before, "ms", DIFFERENCE_MS_MAX)
    yield at_most("mcp_read_cpu", cpu, "ms", CPU_MS_MAX)
