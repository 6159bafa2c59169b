"""The documentation is executed: a command that is shown is a command that works, or this file fails.

A ```console block right after `<!-- run: SCENE -->` is run line by line (`$ ` starts a command, `> ` continues it) in
the repository that `SCENES` prepares; `<!-- run: SCENE exit: N -->` expects N from the block's last command, all others
must end with 0. Blocks of one page with the same scene share it and run in the page's order. Where a command's output
is shown, its first line must come out again, digests, numbers, absolute paths and blanks aside (as far as `...`, when
it ends so). Ids as in `ap-0123456789ab` stand for the newest of the scene. A block that cannot run here names who runs
it: `<!-- run by: tests/... -->`, or `<!-- drill: KEY -->` in the compromise drill. What is not run must at least parse:
the sub-command and each of its options exist, unless the paragraph begins with "Not yet".
"""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from docs_gateway import gateway_scene, in_background, in_scene
from scene import Scene, wait_until

from bywire.adapters import yaml_file
from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.cli.main import bywire
from bywire.config import agents_config, asset_manifest, gateway_config, json_document, operator_config, service_intent
from bywire.gateway.contracts import CONTRACTS
from bywire.gateway.devops_contracts import DEVOPS_CONTRACTS
from bywire.identity.trust import TrustRoot
from bywire.model.principal import KeyRole

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND_SECONDS = 60

_BLOCK = re.compile(
    r"(?:<!-- run: (?P<scene>[a-z-]+)(?: exit: (?P<exit>\d))? -->\n)?```console\n(?P<body>.*?)```", re.DOTALL
)
_TOLD = re.compile(r"(?:<!-- (?P<how>[^>]*) -->\n)?```console\n(?P<body>.*?)```", re.DOTALL)
_FILE = re.compile(r"<!-- file: (?P<name>[a-z./]+) -->\n```(?:yaml|json)\n(?P<body>.*?)```", re.DOTALL)
_NAMED = re.compile(r"`([a-z_]+/[a-z_/]+\.(?:py|rego|json))(?::([A-Za-z_.]+))?`")
_INLINE = re.compile(r"`(bywire [a-z][^`\n]*)`")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_VARIES = re.compile(r"(?<!\S)/\S+|\b[0-9a-f]{7,}\b|[0-9][0-9.,]*|\s+")


class Page:
    """A scene as the reader of a page sees it: a shell in the repository, the operator directory in the environment."""

    def __init__(self, scene):
        self._scene = scene
        self._environment = {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "HOME": str(scene.root),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "BYWIRE_OPERATOR_DIR": str(scene.operator),
            "SSH_AUTH_SOCK": getattr(scene, "agent_socket", ""),
        }

    def run(self, command):
        """What a command did. What it exports is there for the next; one that ends with `&` goes on till the end."""
        exported = shlex.quote(str(self._scene.root / "exported"))
        keeping = f"[ -e {exported} ] && . {exported}; trap 'export -p >{exported}' EXIT"
        command = self._newest(in_scene(self._scene, command))
        program = ["bash", "-c", f"{keeping}\n{command}"]
        place = {"cwd": self._scene.repo, "env": self._environment, "text": True, "stdout": subprocess.PIPE}
        if command.endswith(" &"):
            program[-1] = f"{keeping}; trap - EXIT\nexec {command.removesuffix('&')}"
            told = in_background(self._scene, lambda: subprocess.Popen(program, **place, stderr=subprocess.STDOUT))
            return subprocess.CompletedProcess(program, 0, told, "")
        return subprocess.run(program, **place, stderr=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False)

    def _newest(self, command):
        """`command` with the ids of the page replaced by those of the scene."""
        for example, (asked, newest) in _IDS.items():
            if re.search(example, command):
                command = re.sub(example, newest(self._scene.bywire(*asked, "--json").json), command)
        return command


# Pattern of an id: (who knows the real ones, which of them is the newest).
_IDS = {
    r"\bap-[0-9a-f]{12}\b": (("approvals", "list"), lambda known: known[0]["id"]),
    r"\bbg-[0-9a-f]{12}\b": (("break-glass", "list"), lambda known: known[0]["id"]),
    r"\bdl-[0-9a-f]{10}\b": (("status",), lambda known: known["deliveries"][-1]["id"]),
    r"\brf-[0-9a-f]{12}\b": (("reconcile",), lambda known: known["unexplained"][0]),
}
PEOPLE = [
    {"id": "person:dana", "emails": ["dana@example.test"], "roles": ["service-owner"]},
    {"id": "person:oncall", "roles": ["sre-oncall", "service-owner"]},
    {"id": "person:ines", "roles": ["incident-commander", "sre-oncall"]},
]


def _fresh(scene):
    """A service in git that has never met bywire."""
    scene.git("rm", "--quiet", "bywire.yaml")
    scene.git("commit", "--quiet", "--message", "as it was")


def _start(scene):
    """The same with its bywire.yaml written, not yet committed."""
    text = (scene.repo / "bywire.yaml").read_text()
    _fresh(scene)
    (scene.repo / "bywire.yaml").write_text(text)


def _service(scene):
    """A service that `bywire init` prepared, with a judge that is quick."""
    scene.prepared()


def _released(scene):
    """The same with its first release in place."""
    scene.prepared().released()


def _people(scene):
    """The same with three people, two of whom hold approver keys, the shipped gates, and reminders at once."""
    scene.prepared()
    place = scene.operator / "operator.yaml"
    operator = {**yaml.safe_load(place.read_text()), "people": PEOPLE}
    del operator["gates"]
    operator["reminders"] = {"after_seconds": [1], "escalate_after_seconds": 2, "escalate_to": ["incident-commander"]}
    place.write_text(yaml.safe_dump(operator, sort_keys=False))
    keys = KeyFiles(OperatorDirectory(scene.operator))
    root = keys.trust()
    made = keys.create(KeyRole.APPROVER, "person:ines")
    keys.save_trust(TrustRoot(version=1, origin=root.origin, keys=(*root.keys, made)))


def _staging(scene):
    """A service in staging, with a connection to a CI system that answers; returns what ends that system."""
    scene.prepared()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ci)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    token = scene.root / "ci-token"
    token.write_text("tok-8c1f0b")
    token.chmod(0o600)
    routes = {
        "get_job_logs": {"method": "GET", "path": "/runs/{run_id}/jobs/{job_id}/logs"},
        "rerun_job": {"method": "POST", "path": "/runs/{run_id}/jobs/{job_id}/rerun"},
    }
    origin = f"http://127.0.0.1:{server.server_port}"
    ci = {"executor": "ci", "origin": origin, "private": True, "token_file": str(token), "routes": routes}
    scene.configure(environment="staging", connections=[ci])

    def end():
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _ssh(scene):
    """A service with a second person, who has no key yet, and an empty ssh-agent; returns what ends that agent."""
    if not all(map(shutil.which, ("ssh-agent", "ssh-add", "ssh-keygen"))):
        pytest.skip("openssh-client is not installed")
    scene.prepared()
    scene.configure(people=PEOPLE)
    place = Path(tempfile.mkdtemp())  # a socket's path is short
    scene.agent_socket = str(place / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", scene.agent_socket], stdout=subprocess.DEVNULL)
    wait_until(Path(scene.agent_socket).exists)

    def end():
        agent.terminate()
        agent.wait(20)
        shutil.rmtree(place)

    return end


class _Ci(BaseHTTPRequestHandler):
    """Answers a GET with a log, anything else with an empty object."""

    def _answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"FAILED tests/test_quote.py" if self.command == "GET" else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *args):
        pass


SCENES = {
    "fresh": _fresh,
    "start": _start,
    "service": _service,
    "released": _released,
    "people": _people,
    "staging": _staging,
    "ssh": _ssh,
    "gateway": gateway_scene,
}


def _blocks(document):
    found = _BLOCK.finditer(document.read_text()) if document.exists() else ()
    return [{**match.groupdict(), "at": match.start()} for match in found]


def _steps(body):
    """(command, first line shown after it or empty) of a console block."""
    steps = []
    for line in body.splitlines():
        if line.startswith("$ "):
            steps.append([line[2:], ""])
        elif (line == ">" or line.startswith("> ")) and steps and not steps[-1][1]:
            steps[-1][0] += f"\n{line[2:]}"
        elif steps and not steps[-1][1]:
            steps[-1][1] = line
    return steps


def _alike(shown, real):
    """Whether a line came out again; one that was shortened ends with `...`."""
    wanted, said = _VARIES.sub(" ", shown).strip(), _VARIES.sub(" ", real).strip()
    return said.startswith(wanted.removesuffix("...").rstrip()) if wanted.endswith("...") else said == wanted


RUNS = sorted({(doc, block["scene"]) for doc in DOCUMENTS for block in _blocks(doc) if block["scene"]})


@pytest.mark.parametrize(("document", "name"), RUNS, ids=[f"{doc.stem}-{name}" for doc, name in RUNS])
def test_a_marked_block_does_what_it_shows(document, name, tmp_path):
    scene = Scene(tmp_path / "scene")
    with contextlib.ExitStack() as ending:
        ending.callback(scene.close)
        ending.callback(SCENES[name](scene) or _nothing)
        for block in _blocks(document):
            if block["scene"] == name:
                getattr(scene, "reached", _nothing)(block["at"])
                _play(Page(scene), block)


def _nothing(_=0):
    """What ends a scene that started nothing, and what is written where nothing is shown."""


def _play(page, block):
    steps = _steps(block["body"])
    for number, (command, shown) in enumerate(steps, 1):
        wanted = int(block["exit"] or 0) if number == len(steps) else 0
        done = page.run(command)
        said = f"$ {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == wanted, said
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        assert shown in ("", "...") or (lines and _alike(shown, lines[0])), said


def test_the_check_itself_can_fail(tmp_path):
    page = Page(Scene(tmp_path / "scene"))
    body = "$ echo built 12 files in 0.8 s\nbuilt 7 files in 1.25 s\n$ false\n"
    _play(page, {"scene": "fresh", "exit": "1", "body": body})
    with pytest.raises(AssertionError, match="built"):
        _play(page, {"scene": "fresh", "exit": None, "body": "$ echo built 1 file\nbuilt nothing\n"})
    with pytest.raises(AssertionError, match="false"):
        _play(page, {"scene": "fresh", "exit": None, "body": "$ false\n"})


def _mentions():
    """Every `bywire ...` command line of the documentation, with its page."""
    for document in DOCUMENTS:
        for block in _blocks(document):
            for command, _ in _steps(block["body"]):
                for part in re.split(r"&&|\|\||[;|()]", _QUOTED.sub("X", command)):
                    words = part.split()
                    if words[:1] == ["bywire"]:
                        yield document.name, part.strip()
        paragraphs = document.read_text().split("\n\n") if document.exists() else []
        for text in (
            text for paragraph in paragraphs if not paragraph.startswith("Not yet") for text in _inline(paragraph)
        ):
            yield document.name, text


def _inline(paragraph):
    return _INLINE.findall(paragraph)


def _unknown(text):
    """What of a command line does not exist, or nothing. `a|b` names alternatives, brackets what may be left out."""
    words = shlex.split(text.replace("|", ":::").translate(str.maketrans("", "", "[]")), comments=True)[1:]
    command, context, takes_value = bywire, click.Context(bywire, info_name="bywire"), False
    options = _options(command)
    for word in words:
        if takes_value:
            takes_value = False
        elif word in {">", "2>", "--"}:  # what follows is a file, or another program's
            break
        elif word.startswith("-"):
            name, equals, _ = word.partition("=")
            if name not in options:
                return f"{context.command_path} has no {word}"
            takes_value = options[name] and not equals
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z:-]+", word):
            found = [command.get_command(context, name) for name in word.split(":::")]
            if None in found:
                return f"{context.command_path} has no {word}"
            command, context = found[0], click.Context(found[0], info_name=word, parent=context)
            options |= _options(command)
    return ""


def _options(command):
    """Name of each option, and whether a value follows it."""
    named = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    known = {name: not option.is_flag for option in named for name in (*option.opts, *option.secondary_opts)}
    return known | {"--help": False, "-h": False}


MENTIONS = sorted(set(_mentions()))


@pytest.mark.parametrize(("document", "text"), MENTIONS, ids=[f"{page}: {text}"[:80] for page, text in MENTIONS])
def test_a_command_that_is_named_exists(document, text):
    assert not _unknown(text)


def test_a_command_that_does_not_exist_is_noticed():
    assert _unknown("bywire obey")
    assert _unknown("bywire audit verify --forgive")
    assert _unknown("bywire --operator somewhere obey")
    assert not _unknown("bywire --operator somewhere approvals list|show [--json]")


def test_every_command_explains_itself():
    def walk(command, words):
        shown = CliRunner().invoke(bywire, [*words, "--help"])
        assert shown.exit_code == 0, words
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                walk(command.get_command(context, name), [*words, name])

    walk(bywire, [])


def _elsewhere():
    """(page, test file, command) of every block that a test of its own runs."""
    for document in DOCUMENTS:
        for found in _TOLD.finditer(document.read_text()):
            how, _, place = (found["how"] or "").partition(": ")
            if how == "run by":
                yield from ((document.name, place, command) for command, _ in _steps(found["body"]))


@pytest.mark.parametrize(("document", "place", "command"), sorted(set(_elsewhere())))
def test_what_another_test_runs_is_run_there(document, place, command):
    text = (ROOT / place).read_text()
    words = [word for word in shlex.split(command)[1:3] if re.fullmatch(r"[a-z][a-z-]+", word)]
    assert all(f'"{word}"' in text for word in words), f"{place} never runs `{command}`"


def test_every_block_of_the_pages_is_run_by_somebody():
    """README shows the demo, whose output its own test compares; a page of docs/ shows nothing that nobody runs."""
    idle = [
        f"{document.name}: {found['body'][:60]}"
        for document in DOCUMENTS
        if document.parent != ROOT
        for found in _TOLD.finditer(document.read_text())
        if not re.match(r"run: |run by: |drill: ", found["how"] or "")
    ]
    assert not idle


TOOLS = tuple(contract.name for contract in (*CONTRACTS, *DEVOPS_CONTRACTS))
PARSERS = {
    "agents.yaml": lambda data: yaml_file.parse(
        data, "agents.yaml", lambda value, name: agents_config.parse(value, name, people={"person:dana"}, tools=TOOLS)
    ),
    "bywire.yaml": lambda data: yaml_file.parse(data, "bywire.yaml", service_intent.parse),
    "operator.yaml": lambda data: yaml_file.parse(data, "operator.yaml", operator_config.parse),
    "assets/assistant.json": lambda data: asset_manifest.parse(json_document.load(data, "assistant.json"), "it"),
}


def test_files_that_are_shown_are_valid():
    shown = [match for page in DOCUMENTS if page.exists() for match in _FILE.finditer(page.read_text())]
    assert {match["name"] for match in shown} == set(PARSERS)
    for match in shown:
        PARSERS[match["name"]](match["body"].encode())


def test_what_is_shown_of_gateway_yaml_is_valid():
    page = (ROOT / "docs" / "gateway.md").read_text()
    shown = re.findall(r"```yaml\n(# gateway.yaml\n.*?)```", page, re.DOTALL)
    assert len(shown) >= 5
    for text in shown:
        yaml_file.parse(text.encode(), "gateway.yaml", gateway_config.parse)


def test_the_policy_page_names_every_tool_and_every_hard_rule():
    page = (ROOT / "docs" / "policy.md").read_text()
    tables = ROOT / "src" / "bywire" / "pkb" / "table"
    capabilities, hard = (
        json_document.load((tables / f"{name}.json").read_bytes(), name) for name in ("capabilities", "hard_rules")
    )
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    told = page.split("## Hard rules")[1].split("##")[0]
    assert [tool for tool, cells in capabilities.items() if f"`{tool}`" not in rows or cells["row"] not in rows] == []
    assert set(re.findall(r"`([a-z_]+\.[a-z_]+)`", told)) == set(hard)


def anchors(page):
    """What a page's headings are called in links."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere():
    pages = [*DOCUMENTS, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]
    dead = []
    for page in filter(Path.exists, pages):
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            place = page.parent / target if target else page
            if not place.exists() or (anchor and anchor not in anchors(place)):
                dead.append(f"{page.name}: {target}#{anchor}")
    assert not dead


def test_named_files_and_functions_exist():
    """`path/file.py:name` in the pages about the code is a definition, `tests/...` a file."""
    missing = []
    for page in (ROOT / "ARCHITECTURE.md", ROOT / "SECURITY.md", ROOT / "docs" / "security.md"):
        for path, name in _NAMED.findall(page.read_text()):
            place = next((p for p in (ROOT / path, ROOT / "src" / "bywire" / path) if p.is_file()), None)
            last = name.rpartition(".")[2]
            if place is None or (last and not re.search(rf"\b{last}\b", place.read_text())):
                missing.append(f"{page.name}: {path}:{name}")
    assert not missing


@pytest.mark.skipif(shutil.which("bash") is None, reason="blocks are run by bash")
def test_pages_have_blocks_to_run():
    pages = {"operations", "approvals", "agents", "gateway", "keys", "ledger", "policy", "reconcile"}
    assert {doc.stem for doc, _ in RUNS} >= pages
