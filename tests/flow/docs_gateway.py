"""The scene of docs/gateway.md: two upstreams run, and files that are shown are written where they are shown."""

import contextlib
import json
import re
from pathlib import Path
from threading import Thread

from abuse_world import definitions_of, free_port
from egress_world import site
from mcp.server.mcpserver import MCPServer
from mcp_world import on_uvicorn

from bywire.gateway.tool_definition import definition_digest

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"
_WRITTEN = re.compile(r"<!-- written: (?P<name>[a-z./-]+) -->\n```(?:yaml|python)\n(?P<body>.*?)```", re.DOTALL)
# Ports of the page, each another one where the page is run.
SERVED, EGRESS, MCP, API = "127.0.0.1:8750", "egress_port: 8751", "127.0.0.1:9100", "127.0.0.1:9200"


def jobs():
    """The MCP server of the page."""
    server = MCPServer("jobs", version="1.0.0")

    @server.tool()
    def list_jobs() -> str:
        """List the jobs."""
        return "nightly, weekly"

    @server.tool()
    def restart_job(job: str) -> str:
        """Restart a job."""
        return f"{job} restarted"

    return server


def _deployed(handler):
    said = json.dumps({"deployment": 42, "sent_with": handler.headers["authorization"]}).encode()
    handler.send_response(201)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(said)))
    handler.end_headers()
    handler.wfile.write(said)


def gateway_scene(scene):
    """A service in staging beside an MCP server and an HTTP API; returns what ends them."""
    scene.prepared()
    scene.configure(environment="staging", criticality="internal", tier_floor="trivial")
    held = contextlib.ExitStack()
    server = jobs()
    listed = definitions_of(server)
    api = held.enter_context(site())
    api.answer = _deployed
    port = held.enter_context(on_uvicorn(server.streamable_http_app()))
    served, way_out = free_port(), free_port()
    scene.places = {
        SERVED: f"127.0.0.1:{served}",
        EGRESS: f"egress_port: {way_out}",
        "8751": str(way_out),
        "port: 8750": f"port: {served}",
        MCP: f"127.0.0.1:{port}",
        API: f"127.0.0.1:{api.server_port}",
    }
    secret = scene.root / "deployer-token"
    secret.write_text("tok-5b0c9e21")
    secret.chmod(0o600)
    scene.places["/run/secrets/deployer"] = str(secret)
    reader = scene.root / "opa-reader"
    reader.write_text("opa-reads-3f9a41c7")
    reader.chmod(0o600)
    scene.places["/run/secrets/opa-reader"] = str(reader)
    digests = {tool["name"]: definition_digest(tool) for tool in listed}
    scene.held, scene.written = held, set()
    scene.reached = lambda at: _write(scene, digests, at)
    return held.close


def _write(scene, digests, at):
    """The files that the page shows before `at`."""
    for match in _WRITTEN.finditer(PAGE.read_text()):
        if match.start() >= at or match.start() in scene.written:
            continue
        scene.written.add(match.start())
        text = in_scene(scene, match["body"])
        for name, digest in digests.items():
            text = re.sub(
                rf"(name: {name}\n(?:(?! *- name:).*\n)*? *definition: )sha256:[0-9a-f]+", rf"\g<1>{digest}", text
            )
        place = (
            scene.repo / match["name"]
            if "/" not in match["name"] and match["name"] != "gateway.yaml"
            else scene.operator / match["name"]
        )
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.write_text(text)
        place.chmod(0o600)


def in_scene(scene, text):
    """A text of the page, with its ports and places as they are here."""
    places = getattr(scene, "places", {})
    if not places:
        return text
    return re.sub("|".join(map(re.escape, places)), lambda match: places[match[0]], text)


def in_background(scene, start):
    """Keep what `start` began until the scene ends; its first line."""
    process = start()

    def end():
        process.terminate()
        process.wait(30)
        reading.join(10)
        process.stdout.close()

    first = process.stdout.readline()
    reading = Thread(target=process.stdout.read, daemon=True)
    reading.start()
    scene.held.callback(end)
    return first
