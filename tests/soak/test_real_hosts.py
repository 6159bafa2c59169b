"""Claude Code and Codex as they are installed here, told by a scripted model what to run, under the hook of ours.

A host's next version may send, read or overlook something else: run this after each. BYWIRE_CLAUDE and BYWIRE_CODEX
name the programs (default: those on the path). They get an empty home, a model on loopback and no key of anybody's.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scene import Scene
from scripted_model import scripted
from serving import register

AGENT = "laptop"
SECONDS = 240
TUNNEL = "ssh -R 80:localhost:22 host.example.com"
OFF = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1"}
CONFIG = """model = "scripted"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
env_key = "NO_KEY"
[projects."{repo}"]
trust_level = "trusted"
"""


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path / "scene")
    assert scene.bywire("init").code == 0
    scene.configure(environment="non-production", criticality="internal")
    return scene


def program(name):
    found = os.environ.get(f"BYWIRE_{name.upper()}") or shutil.which(name)
    return found or pytest.skip(f"no {name} is installed here; BYWIRE_{name.upper()} names one")


def claude(scene, port):
    """The command line of Claude Code, and its environment."""
    words = [program("claude"), "-p", "go", "--allowedTools", "Bash", "Write"]
    return words, {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": "none"}


def codex(scene, port):
    """The command line of Codex, and its environment; nobody sits here to trust a hook."""
    home = scene.root / "home" / ".codex"
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(CONFIG.format(port=port, repo=scene.repo))
    return [program("codex"), "exec", "--dangerously-bypass-hook-trust", "go"], {"NO_KEY": "none"}


HOSTS = {
    "claude-code": (claude, lambda command: ("Bash", {"command": command})),
    "codex": (codex, lambda command: ("exec_command", {"cmd": command})),
}


def installed(scene, host):
    """The hook is in the host's configuration; returns the program that it starts."""
    done = scene.bywire("connect", host, "--pack", host, "--json")
    register(scene, AGENT, [f"{host}.{tool['tool']}" for tool in done.json["tools"]])
    put_in = scene.bywire("hook", "install", host, "--as", AGENT, "--json").json
    return Path(put_in["file"]), put_in["command"].split(" --repo ")[0]


def ran(scene, host, *commands):
    """What the host told its model of each command."""
    start, said = HOSTS[host]
    home = scene.root / "home"
    home.mkdir(exist_ok=True)
    with scripted([said(one) for one in commands]) as (script, port):
        words, more = start(scene, port)
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "*", **OFF, **more}
        done = subprocess.run(
            words, cwd=scene.repo, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        told = script.results()
    assert len(told) == len(commands), done
    sys.stderr.write("".join(f"{host}: {one[:200]}\n" for one in told))
    return told


@pytest.mark.soak
@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("host", HOSTS)
def test_what_is_denied_does_not_run_and_what_is_allowed_is_reported(scene, host):
    installed(scene, host)
    _, why = ran(scene, host, "echo hi > made.txt", f"touch tunnel.txt; {TUNNEL}")
    assert "names a host where none may be named" in why
    assert (scene.repo / "made.txt").read_text() == "hi\n"
    assert not (scene.repo / "tunnel.txt").exists()
    assert "1 by their callers, 0 of them not reported" in scene.bywire("status").out


@pytest.mark.soak
@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("broken", ["exit 1", "kill -9 $$", None])
def test_a_hook_that_does_not_run_stops_everything(scene, host, broken):
    place, ours = installed(scene, host)
    wrong = scene.root / "bywire"
    if broken:
        wrong.write_text(f"#!/bin/sh\n{broken}\n")
        wrong.chmod(0o755)
    place.write_text(place.read_text().replace(ours, str(wrong)))
    (why,) = ran(scene, host, "touch made.txt")
    assert "the hook did not run; nothing was allowed" in why
    assert not (scene.repo / "made.txt").exists()
