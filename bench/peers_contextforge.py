"""ContextForge before the bench's upstream, set for speed as its compose file and its guides advise.

One process, SQLite, caches in memory; no admin pages, plugins, observability, compression, access log or rate limit
(the default is 100 calls a minute). Sessions are kept at both ends, which is not its default: the client's, and for it
one to the upstream. The client's token is made by its own tool. It speaks 2025-11-25.
"""

import contextlib
import http.client
import json
import secrets
import subprocess
import time

from bench.mcp import Way
from bench.mcp_upstream import HANDSHAKE_VERSION, TOOL
from bench.peers_installed import NotStartedError, free_port, running, surroundings

NAME = "contextforge"
VARIABLE = "BYWIRE_BENCH_CONTEXTFORGE"
DISTRIBUTION = "mcp-contextforge-gateway"
VERSION = HANDSHAKE_VERSION
USER = "admin@example.com"
TOKEN_MINUTES = 60
LISTED_SECONDS = 30
SETTINGS = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "sqlite:///./mcp.db",
    "CACHE_TYPE": "memory",
    "LOG_LEVEL": "ERROR",
    "MCPGATEWAY_UI_ENABLED": "false",
    "MCPGATEWAY_ADMIN_API_ENABLED": "false",
    "PLUGINS_ENABLED": "false",
    "OBSERVABILITY_ENABLED": "false",
    "COMPRESSION_ENABLED": "false",
    "CORRELATION_ID_ENABLED": "false",
    "RATE_LIMITING_ENABLED": "false",
    "USE_STATEFUL_SESSIONS": "true",
    "SSRF_ALLOW_LOCALHOST": "true",
    "PLATFORM_ADMIN_EMAIL": USER,
}


class Session(Way):
    """A client's session with it: `initialize` first, then calls that name the session."""

    def __init__(self, port, path, token, tool):
        super().__init__(port, path, token)
        for name in ("mcp-protocol-version", "mcp-method", "mcp-name"):
            self._headers.pop(name)
        client = {"name": "bench", "version": "1"}
        started = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client}
        answer, body = self._post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": started})
        self._headers["mcp-protocol-version"] = json.loads(body)["result"]["protocolVersion"]
        self._headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        call = {"name": tool, "arguments": {"name": "storefront"}}
        self._body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode()

    def _post(self, document):
        self._connection.request("POST", self._path, json.dumps(document).encode(), self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 202):
            raise RuntimeError(f"{answer.status}: {body[:400]!r}")
        return answer, body


def ask(port, method, path, token="", document=None):
    """What its HTTP interface answers, read as JSON."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        body = None if document is None else json.dumps(document).encode()
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path}: {answer.status}: {said[:400]!r}")
    return json.loads(said)


def made_token(installed, directory, settings):
    """A token of its own tool."""
    key = settings["JWT_SECRET_KEY"]
    command = [installed.program("python"), "-m", "mcpgateway.utils.create_jwt_token"]
    command += ["--username", USER, "--exp", str(TOKEN_MINUTES), "--secret", key]
    environment = surroundings(directory) | settings
    made = subprocess.run(
        command, check=False, cwd=directory, env=environment, capture_output=True, text=True, timeout=120
    )
    if made.returncode or not made.stdout.strip():
        raise NotStartedError(f"its token tool ended with {made.returncode}: {made.stderr[-400:]}")
    return made.stdout.split()[-1]


def listed_tool(tools):
    """The upstream's one tool among those that it lists."""
    for tool in tools:
        if tool.get("originalName") == TOOL["name"]:
            return tool
    raise NotStartedError(f"it did not list the upstream's {TOOL['name']}")


def published(port, token, upstream_port):
    """(path, name of the tool) once the upstream is registered and behind a virtual server."""
    url = f"http://127.0.0.1:{upstream_port}/mcp"
    upstream = {"name": "bench", "url": url, "transport": "STREAMABLEHTTP", "visibility": "public"}
    ask(port, "POST", "/gateways", token, upstream)
    deadline = time.monotonic() + LISTED_SECONDS
    while not (tools := ask(port, "GET", "/tools", token)) and time.monotonic() < deadline:
        time.sleep(0.2)
    tool = listed_tool(tools)
    server = {"server": {"name": "bench", "associated_tools": [tool["id"]]}, "visibility": "public"}
    return f"/servers/{ask(port, 'POST', '/servers', token, server)['id']}/mcp", tool["name"]


@contextlib.contextmanager
def opened(installed, directory, upstream_port):
    """The way through it, and its process."""
    port = free_port()
    drawn = {name: secrets.token_urlsafe(48) for name in ("JWT_SECRET_KEY", "AUTH_ENCRYPTION_SECRET")}
    settings = SETTINGS | drawn | {"PLATFORM_ADMIN_PASSWORD": f"Aa1-{secrets.token_urlsafe(24)}"}
    command = [installed.program("mcpgateway"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--no-access-log", "--log-level", "error"]
    with running(command, directory, settings, lambda: bool(ask(port, "GET", "/health"))) as process:
        try:
            token = made_token(installed, directory, settings)
            path, tool = published(port, token, upstream_port)
            way = Session(port, path, token, tool)
            way.call()
        except (
            OSError,
            http.client.HTTPException,
            subprocess.SubprocessError,
            KeyError,
            ValueError,
            RuntimeError,
        ) as error:
            raise NotStartedError(f"did not carry the call: {error}") from error
        with contextlib.closing(way):
            yield way, process
