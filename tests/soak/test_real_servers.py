"""The contract packs before the MCP servers that they were written for, as their projects ship them.

`BYWIRE_REAL_SERVERS` names a directory with their programs (`kubernetes-mcp-server`, `mcp-grafana`, `argocd-mcp`,
`github-mcp-server`); who is not there is skipped. The platforms behind them are small ones of our own, on loopback.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from mcp import Client, StdioServerParameters
from platform_doubles import ARGOCD, GITHUB, GRAFANA, KUBERNETES, certificate, kubeconfig, platform
from scene import Scene
from serving import register

PLACE = Path(os.environ.get("BYWIRE_REAL_SERVERS", "/nowhere"))
PROGRAM = "import sys; from bywire.cli.main import main; sys.argv[0] = 'bywire'; main()"
TOKEN = "platform-token-4711"
pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]


# Its host is named without a port.
GITHUB_ADDRESS = "127.0.0.77"
PAYLOAD = (
    "code",
    "effect",
    "status",
    "reason",
    "rules",
    "next_step",
    "approval",
    "retry",
    "policy_version",
    "decision_id",
)


class Server(NamedTuple):
    """How a real server is started, and a read, a write and a grave call, each with what it comes to there."""

    program: str
    arguments: tuple[str, ...]
    variables: dict[str, str]
    answers: dict[str, Any]
    known_min: int
    refused: str
    check: int
    secret: bool
    read: tuple[str, dict[str, Any], str]
    write: tuple[str, dict[str, Any], str]
    grave: tuple[str, dict[str, Any], str]


SERVERS = {
    "kubernetes": Server(
        "kubernetes-mcp-server",
        ("--kubeconfig", "{kubeconfig}", "--toolsets", "core,config,helm"),
        {},
        KUBERNETES,
        22,
        "policy_denied",
        0,
        False,
        ("pods_list_in_namespace", {"namespace": "dev"}, "GET /api/v1/namespaces/dev/pods"),
        ("pods_delete", {"name": "web", "namespace": "dev"}, "DELETE /api/v1/namespaces/dev/pods/web"),
        ("pods_delete", {"name": "web", "namespace": "production"}, "DELETE /api/v1/namespaces/production/pods/web"),
    ),
    "argocd": Server(
        "argocd-mcp",
        ("stdio",),
        {"ARGOCD_BASE_URL": "http://127.0.0.1:{port}"},
        ARGOCD,
        16,
        "approval_needed",
        0,
        True,
        ("list_applications", {}, "GET /api/v1/applications"),
        ("sync_application", {"applicationName": "web"}, "POST /api/v1/applications/web/sync"),
        ("delete_application", {"applicationName": "web"}, "DELETE /api/v1/applications/web"),
    ),
    "grafana": Server(
        "mcp-grafana",
        (),
        {"GRAFANA_URL": "http://127.0.0.1:{port}", "GRAFANA_USAGE_STATS": "disabled"},
        GRAFANA,
        70,
        "approval_needed",
        0,
        True,
        ("search_dashboards", {"query": "web"}, "GET /api/search"),
        ("create_annotation", {"text": "deployed", "tags": ["deploy"]}, "POST /api/annotations"),
        ("delete_annotation", {"id": 7}, "DELETE /api/annotations/7"),
    ),
    "github": Server(
        "github-mcp-server",
        ("stdio", "--toolsets", "all", "--gh-host", f"http://{GITHUB_ADDRESS}"),
        {},
        GITHUB,
        50,
        "approval_needed",
        # What can be had as a package is a year older than what the pack describes.
        1,
        True,
        ("list_branches", {"owner": "o", "repo": "r"}, "GET /api/v3/repos/o/r/branches"),
        ("create_issue", {"owner": "o", "repo": "r", "title": "t", "body": "b"}, "POST /api/v3/repos/o/r/issues"),
        (
            "merge_pull_request",
            {"owner": "o", "repo": "r", "pullNumber": 5},
            "PUT /api/v3/repos/o/r/pulls/5/merge",
        ),
    ),
}


@pytest.fixture(params=SERVERS)
def connected(request, tmp_path):
    """(the scene, the platform, the server), connected with its pack in a place that is not production."""
    name = request.param
    server = SERVERS[name]
    program = PLACE / server.program
    if not program.exists():
        pytest.skip(f"{server.program} is not in BYWIRE_REAL_SERVERS")
    scene = Scene(tmp_path / "scene")
    assert scene.bywire("init").code == 0
    scene.configure(environment="non-production")
    secret = tmp_path / "token"
    secret.write_text(TOKEN)
    secret.chmod(0o600)
    pem = certificate(tmp_path / "platform.pem") if name == "kubernetes" else None
    where = (GITHUB_ADDRESS, 80) if name == "github" else ("127.0.0.1", 0)
    with platform(server.answers, certificate=pem, address=where) as behind:
        named = {"port": behind.port, "kubeconfig": tmp_path / "kubeconfig"}
        if pem is not None:
            kubeconfig(tmp_path / "kubeconfig", behind.port, pem)
        else:
            credentials = {name: {"origin": f"stdio:{name}", "token_file": str(secret)}}
            (scene.operator / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, "credentials": credentials}))
        command = [str(program), *(one.format(**named) for one in server.arguments)]
        pairs = [f"{key}={value.format(**named)}" for key, value in server.variables.items()]
        variables = [word for pair in pairs for word in ("--set", pair)]
        secret = ["--credential", name] if server.secret else []
        done = scene.bywire("connect", name, "--pack", name, "--json", *variables, *secret, "--", *command)
        assert done.code == 0, done
        tools = {one["tool"]: one for one in done.json["tools"]}
        register(scene, "fixer", [f"{name}.{tool}" for tool in tools])
        yield scene, behind, name, command, tools
    scene.close()


def calls(scene, name, asked, run="run-1"):
    """What a real client gets for these calls, and the names it is listed; it starts `bywire mcp` as its server."""
    words = ["-I", "-c", PROGRAM, "--repo", str(scene.repo), "--operator", str(scene.operator)]
    words += ["mcp", "--as", "fixer", "--upstream", name, "--run", run]

    async def work():
        async with Client(StdioServerParameters(command=sys.executable, args=words)) as session:
            listed = [tool.name for tool in (await session.list_tools()).tools]
            return listed, [await session.call_tool(tool, parameters) for tool, parameters, _ in asked]

    return asyncio.run(work())


def done_by(behind):
    """What the platform was asked for, without what a server asks for itself."""
    return [f"{method} {path.partition('?')[0]}" for method, path, *_ in behind.seen]


def test_a_real_client_reads_and_its_writes_wait_for_a_person(connected):
    scene, behind, name, _, tools = connected
    server = SERVERS[name]
    listed, (write, grave, read) = calls(scene, name, (server.write, server.grave, server.read))
    known = {tool for tool, one in tools.items() if one["state"] == "known" and one["reviewed"]}
    assert known <= set(listed)
    assert len(known) >= server.known_min
    assert not read.is_error, read
    assert server.read[2] in done_by(behind)
    assert {server.write[2], server.grave[2]}.isdisjoint(done_by(behind))
    assert write.is_error
    assert write.structured_content["code"] == "approval_needed"
    assert set(PAYLOAD) <= set(write.structured_content)
    assert grave.is_error
    assert grave.structured_content["code"] == server.refused
    if server.secret:
        assert {authorization for *_, authorization, _ in behind.seen} == {f"Bearer {TOKEN}"}
    # The same call, once a person agreed: once, whatever is asked again.
    assert scene.approve(write.structured_content["approval"]["id"]).code == 0
    for _ in range(2):
        _, (again,) = calls(scene, name, (server.write,))
        assert not again.is_error, again
    assert done_by(behind).count(server.write[2]) == 1
    assert TOKEN not in json.dumps([one.model_dump(mode="json") for one in (read, again)])


def test_a_server_that_says_something_else_is_seen_before_and_not_called_after(connected):
    scene, behind, name, command, _ = connected
    server = SERVERS[name]
    same = scene.bywire("connect", name, "--check", "--json")
    assert (same.code, same.json["drifted"]) == (0, False)
    path = scene.operator / "contracts" / f"{name}.yaml"
    before = path.read_text()
    if name == "kubernetes":
        # With a second context each of its tools takes one more parameter.
        place = Path(command[command.index("--kubeconfig") + 1])
        kubeconfig(place, behind.port, place.with_name("platform.pem"), ("one", "two"))
    else:
        document = yaml.safe_load(before)
        for tool in document["tools"]:
            tool["definition"] = f"sha256:{'0' * 64}"
        path.write_text(yaml.safe_dump(document))
    after = scene.bywire("connect", name, "--check", "--json")
    assert after.code == 1
    changed = [one["tool"] for one in after.json["tools"] if one["state"] == "changed"]
    assert {server.read[0], server.write[0], server.grave[0]} <= set(changed)
    asked = len(behind.seen)
    listed, (read, write) = calls(scene, name, (server.read, server.write), run="run-2")
    assert {server.read[0], server.write[0], server.grave[0]}.isdisjoint(listed)
    assert read.is_error
    assert write.structured_content["code"] == "policy_denied"
    assert "contract.definition_changed" in json.dumps(write.structured_content)
    assert not {server.read[2], server.write[2]} & set(done_by(behind)[asked:])


def test_what_the_pack_says_of_the_server_is_what_it_said_when_they_were_compared(connected):
    scene, _, name, command, _ = connected
    server = SERVERS[name]
    # Without the credential, as whoever tries another version of the server does.
    words = ["env", "GITHUB_PERSONAL_ACCESS_TOKEN=none", *command] if name == "github" else command
    variables = [word for pair in server.variables for word in ("--set", f"{pair}=http://127.0.0.1:9")]
    found = scene.bywire("connect", "tried", "--check", "--pack", name, "--json", *variables, "--", *words)
    assert found.code != 2, found
    moved = [one["tool"] for one in found.json["tools"] if one["state"] == "moved"]
    assert (found.code, found.code == 0) == (server.check, not moved), moved
