"""The MCP conformance suite, direct and through the gateway: the difference is the defect.

`python tests/conformance/mcp_suite.py --install DIRECTORY` installs the suite and the node that it needs with npm, and
runs; with a directory that holds them already nothing is installed. Prints one line a scenario and exits 1 when a check
ends otherwise through the gateway than direct, unless `EXPECTED` says so.
"""

import argparse
import contextlib
import json
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
SUITE, NODE_VERSION = "@modelcontextprotocol/conformance@0.1.16", "22.23.3"
# npm's packages of the node that the suite needs, by what this machine says of itself.
SYSTEMS = {"linux": "linux", "darwin": "darwin"}
MACHINES = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
SECONDS_MAX = 240
# What the gateway does otherwise, on purpose (RULES 23): a server asks nothing of a client's model or user.
EXPECTED = {
    "tools-call-sampling": "server-initiated sampling is denied",
    "tools-call-elicitation": "server-initiated elicitation is denied",
    "elicitation-sep1034-defaults": "server-initiated elicitation is denied",
    "elicitation-sep1330-enums": "server-initiated elicitation is denied",
}
_SUMMARY = re.compile(r"^[✓✗] ([a-z0-9-]+): (\d+) passed, (\d+) failed", re.MULTILINE)


class Unavailable(Exception):
    """The suite cannot run here; says why."""


def installed(directory):
    """(node, the suite's program) below `directory`, installed by npm if they are not there."""
    directory, package = directory.resolve(), node_package()
    modules = directory / "node_modules"
    node = modules / package / "bin" / "node"
    program = modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    if not node.exists() or not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise Unavailable("there is no npm")
        directory.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(directory)]
        command += [SUITE, f"{package}@{NODE_VERSION}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise Unavailable(f"npm install failed: {done.stderr[-300:]}")
    return node, program


def node_package():
    """The name of node's package for this machine."""
    system, machine = SYSTEMS.get(sys.platform), MACHINES.get(platform.machine().lower())
    if system is None or machine is None:
        raise Unavailable(f"npm has no node for {sys.platform} on {platform.machine()}")
    return f"node-{system}-{machine}"


def results(node, program, url):
    """scenario -> (checks passed, checks failed)."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(node), str(program), "server", "--url", url, "--suite", "all"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS_MAX, cwd=scratch)
    found = {name: (int(passed), int(failed)) for name, passed, failed in _SUMMARY.findall(done.stdout)}
    if not found:
        raise Unavailable(f"the suite said nothing: {done.stdout[-300:]} {done.stderr[-300:]}")
    return found


@contextlib.contextmanager
def server():
    """The reference server as a process of its own; gives its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(HERE / "everything_server.py"), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise Unavailable("the reference server does not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def gateway(url):
    """A gateway before it, with every tool and request approved; gives the URL of an endpoint that adds the token."""
    sys.path[:0] = [str(HERE.parent), str(HERE.parent / "flow")]
    from mcp_world import REQUESTS, UPSTREAM, connected, contract, listing, served

    with tempfile.TemporaryDirectory() as directory:
        tools = [contract(tool) for tool in listing()]
        requests = (*REQUESTS, "logging/setLevel")
        scene = connected(
            Path(directory) / "scene", {UPSTREAM: {"url": url, "private": True}}, tools, requests=requests
        )
        with contextlib.closing(scene), served(scene, around=with_token) as running:
            yield f"http://127.0.0.1:{running.port}/mcp/{UPSTREAM}"


def with_token(application, gateway):
    """ASGI: the gateway's own application behind an agent that adds its token, since the suite sends none."""

    async def app(scope, receive, send):
        token = gateway.workspace.token("agent:fixer", "conformance")
        headers = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        headers.append((b"authorization", f"Bearer {token}".encode()))
        await application({**scope, "headers": headers}, receive, send)

    return app


def compared(direct, proxied):
    """(scenario, direct, proxied, what that is) of every scenario; a scenario that did not run proxied is a defect."""
    for name, before in sorted(direct.items()):
        after = proxied.get(name)
        # A check that only streams have does not run where an object is the answer; what runs must not fail.
        same = after is not None and bool(after[1]) == bool(before[1])
        yield name, before, after, "same" if same else EXPECTED.get(name, "DEFECT")


def compare(directory):
    """Run both; the lines."""
    node, program = installed(directory)
    with server() as url:
        direct = results(node, program, url)
    with server() as url, gateway(url) as before:
        proxied = results(node, program, before)
    return list(compared(direct, proxied))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", type=Path, required=True, help="where node and the suite are, or go")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    lines = compare(chosen.install)
    for name, before, after, said in lines:
        shown = {"scenario": name, "direct": before, "proxied": after, "said": said}
        print(json.dumps(shown) if chosen.json else f"{name:<34} {before!s:<8} {after!s:<8} {said}", flush=True)
    return 1 if any(line[3] == "DEFECT" for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
