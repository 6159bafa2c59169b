"""The documentation is executed: a command that is shown is a command that works, or this file fails.

A ```console block right after `<!-- run: SCENE -->` is run line by line (`$ ` starts a command) in the repository that
`SCENES` prepares; `<!-- run: SCENE exit: N -->` expects N from the block's last command, every other one must end with
0. Blocks of one page with the same scene share it and run in the page's order. Where a command's output is shown, its
first line must come out again, digests, numbers and blanks aside. Ids as in `ap-0123456789ab` and `dl-0123456789` stand
for the newest of the scene. What is not run must at least parse: the sub-command and each of its options exist.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bywire.adapters import yaml_file
from bywire.adapters.local_target_client import LocalTarget
from bywire.cli.main import bywire
from bywire.config import asset_manifest, json_document, operator_config, service_intent

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND_SECONDS = 60

_BLOCK = re.compile(r"(?:<!-- run: (?P<scene>[a-z-]+)(?: exit: (?P<exit>\d))? -->\n)?```console\n(?P<body>.*?)```", re.S)
_FILE = re.compile(r"<!-- file: (?P<name>[a-z./]+) -->\n```(?:yaml|json)\n(?P<body>.*?)```", re.S)
_INLINE = re.compile(r"`(bywire [a-z][^`\n]*)`")
_VARIES = re.compile(r"\b[0-9a-f]{7,}\b|[0-9][0-9.,]*|\s+")

FILES = {
    "pyproject.toml": '[project]\nname = "greeter"\nversion = "1.0.0"\nlicense = "Apache-2.0"\ndependencies = []\n',
    "pytest.ini": "[pytest]\naddopts = -p no:cacheprovider\n",
    "greeter/__init__.py": '"""Greets people."""\n',
    "greeter/words.py": (
        '"""What the service says."""\n\n\ndef greet(name):\n    """At most 40 characters of a name."""\n'
        '    return f"hello, {name[:40] or \'world\'}"\n'
    ),
    "greeter/__main__.py": """\
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from greeter.words import greet


class Greeter(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"ok" if self.path == "/healthz" else greet(self.path.strip("/")).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Greeter).serve_forever()
""",
    "tests/test_words.py": """\
import greeter.__main__
from greeter.words import greet


def test_property_every_greeting_is_short():
    assert all(len(greet("x" * length)) <= 47 for length in range(200))


def test_fault_a_missing_name_is_greeted():
    assert greet("") == "hello, world"


def test_the_server_answers():
    answered = []
    handler = object.__new__(greeter.__main__.Greeter)
    handler.path = "/ada"
    handler.send_response = handler.send_header = lambda *_: None
    handler.end_headers = handler.log_message
    handler.wfile = type("File", (), {"write": staticmethod(answered.append)})
    handler.do_GET()
    assert answered == [b"hello, ada"]
""",
}
COVERAGE = "python, -m, coverage, run, --source=greeter, -m, pytest, -q, --junitxml=reports/junit.xml"


class Scene:
    """One repository with its operator directory beside it."""

    def __init__(self, place):
        self.repo = place / "greeter"
        self.operator = place / "operator"
        self.environment = {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "HOME": str(place),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "BYWIRE_OPERATOR_DIR": str(self.operator),
        }

    def run(self, command):
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.repo,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def must(self, command, exit_code=0):
        done = self.run(command)
        assert done.returncode == exit_code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def newest(self, command):
        """`command` with the ids of the page replaced by those of the scene."""
        if re.search(r"\bap-[0-9a-f]{12}\b", command):
            command = re.sub(r"\bap-[0-9a-f]{12}\b", self.approval(), command)
        if re.search(r"\bdl-[0-9a-f]{10}\b", command):
            known = json.loads(self.must("bywire status --json"))["deliveries"]
            command = re.sub(r"\bdl-[0-9a-f]{10}\b", known[-1]["id"], command)
        return command

    def approval(self):
        return json.loads(self.must("bywire approvals list --json"))[0]["id"]

    def close(self):
        if (self.operator / "target" / "target.pid").exists():
            LocalTarget(self.operator / "target", search_path=()).shutdown()


def _fresh(scene):
    """A service in git that has never met bywire."""
    for name, text in FILES.items():
        path = scene.repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    scene.must("git init -q -b main && git config user.name Dana && git config user.email dana@example.com")
    scene.must("git add -A && git commit -q -m 'A service that greets'")


def _service(scene):
    """The same after `bywire init`, with coverage declared, and intervals of one second instead of sixty."""
    _fresh(scene)
    scene.must("bywire init")
    intent = scene.repo / "bywire.yaml"
    drafted = intent.read_text()
    text = re.sub(r"run: \[python, -m, pytest[^\]]*\]", f"run: [{COVERAGE}]", drafted)
    text = text.replace("#    coverage: ", "    coverage: ")
    assert text.count("coverage") > drafted.count("coverage")
    intent.write_text(text)
    limits = scene.operator / "operator.yaml"
    quick = {"interval_seconds": 1, "verify_intervals": 1, "intervals_min": 1}
    text = limits.read_text()
    for name, value in quick.items():
        text = re.sub(rf"(?m)^  {name}: \d+$", f"  {name}: {value}", text)
    limits.write_text(text)
    scene.must("git add -A && git commit -q -m 'bywire.yaml'")


def _released(scene):
    """The same with the first release serving."""
    _service(scene)
    scene.must("bywire deliver --goal 'first release'", exit_code=3)
    scene.must(f"bywire approvals approve {scene.approval()} --as oncall --yes")
    scene.must("bywire deliver --goal 'first release'")


SCENES = {"fresh": _fresh, "service": _service, "released": _released}


def _blocks(document):
    return [match.groupdict() for match in _BLOCK.finditer(document.read_text())] if document.exists() else []


def _steps(body):
    """(command, first line shown after it or empty) of a console block."""
    steps = []
    for line in body.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            steps.append([line[2:], ""])
        elif steps and not steps[-1][1]:
            steps[-1][1] = line
    return steps


def _alike(shown, real):
    return _VARIES.sub(" ", shown).strip() == _VARIES.sub(" ", real).strip()


RUNS = sorted({(doc, block["scene"]) for doc in DOCUMENTS for block in _blocks(doc) if block["scene"]})


@pytest.mark.parametrize(("document", "name"), RUNS, ids=[f"{doc.stem}-{name}" for doc, name in RUNS])
def test_a_marked_block_does_what_it_shows(document, name, tmp_path):
    scene = Scene(tmp_path)
    scene.repo.mkdir()
    try:
        SCENES[name](scene)
        for block in _blocks(document):
            if block["scene"] == name:
                _play(scene, block)
    finally:
        scene.close()


def _play(scene, block):
    steps = _steps(block["body"])
    for number, (command, shown) in enumerate(steps, 1):
        wanted = int(block["exit"] or 0) if number == len(steps) else 0
        done = scene.run(scene.newest(command))
        said = f"$ {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == wanted, said
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        assert shown in ("", "...") or (lines and _alike(shown, lines[0])), said


def test_the_check_itself_can_fail(tmp_path):
    scene = Scene(tmp_path)
    scene.repo.mkdir()
    body = "$ echo built 12 files in 0.8 s\nbuilt 7 files in 1.25 s\n$ false\n"
    _play(scene, {"scene": "fresh", "exit": "1", "body": body})
    with pytest.raises(AssertionError, match="built"):
        _play(scene, {"scene": "fresh", "exit": None, "body": "$ echo built 1 file\nbuilt nothing\n"})
    with pytest.raises(AssertionError, match="false"):
        _play(scene, {"scene": "fresh", "exit": None, "body": "$ false\n"})


def _mentions():
    """Every `bywire ...` command line of the documentation, with its page."""
    for document in DOCUMENTS:
        for block in _blocks(document):
            for command, _ in _steps(block["body"]):
                for part in re.split(r"&&|\|\||[;|()]", command):
                    words = part.split()
                    if words[:1] == ["bywire"]:
                        yield document.name, part.strip()
        if document.exists():
            for text in _INLINE.findall(document.read_text()):
                yield document.name, text


def _unknown(text):
    """What of a command line does not exist, or nothing. `a|b` names alternatives."""
    words = shlex.split(text.replace("|", ":::"), comments=True)[1:]
    command, context = bywire, click.Context(bywire, info_name="bywire")
    options = _options(command)
    for word in words:
        if word.startswith("-"):
            if word.partition("=")[0] not in options:
                return f"{context.command_path} has no {word}"
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z:-]+", word):
            found = [command.get_command(context, name) for name in word.split(":::")]
            if None in found:
                return f"{context.command_path} has no {word}"
            command, context = found[0], click.Context(found[0], info_name=word, parent=context)
            options |= _options(command)
        elif word in (">", "2>"):
            break
    return ""


def _options(command):
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return known | {"--help", "-h", "--version"}


MENTIONS = sorted(set(_mentions()))


@pytest.mark.parametrize(("document", "text"), MENTIONS, ids=[f"{page}: {text}"[:80] for page, text in MENTIONS])
def test_a_command_that_is_named_exists(document, text):
    assert not _unknown(text)


def test_a_command_that_does_not_exist_is_noticed():
    assert _unknown("bywire obey")
    assert _unknown("bywire audit verify --forgive")
    assert not _unknown("bywire approvals list|show --json")


def test_every_command_explains_itself():
    def walk(command, words):
        shown = CliRunner().invoke(bywire, [*words, "--help"])
        assert shown.exit_code == 0, words
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                walk(command.get_command(context, name), [*words, name])

    walk(bywire, [])


PARSERS = {
    "bywire.yaml": lambda data: yaml_file.parse(data, "bywire.yaml", service_intent.parse),
    "operator.yaml": lambda data: yaml_file.parse(data, "operator.yaml", operator_config.parse),
    "assets/assistant.json": lambda data: asset_manifest.parse(json_document.load(data, "assistant.json"), "it"),
}


def test_files_that_are_shown_are_valid():
    shown = [match for page in DOCUMENTS if page.exists() for match in _FILE.finditer(page.read_text())]
    assert {match["name"] for match in shown} == set(PARSERS)
    for match in shown:
        PARSERS[match["name"]](match["body"].encode())


def test_links_between_pages_lead_somewhere():
    pages = [*DOCUMENTS, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]
    dead = [
        f"{page.name}: {target}"
        for page in pages
        if page.exists()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not dead


def test_named_files_and_functions_exist():
    """`path/file.py:name` in ARCHITECTURE.md and SECURITY.md is a definition, `tests/...` a file."""
    missing = []
    for page in (ROOT / "ARCHITECTURE.md", ROOT / "SECURITY.md"):
        for path, name in re.findall(r"`([a-z_/]+\.(?:py|rego|json))(?::([A-Za-z_.]+))?`", page.read_text()):
            place = next((p for p in (ROOT / path, ROOT / "src" / "bywire" / path) if p.is_file()), None)
            last = name.rpartition(".")[2]
            if place is None or (last and not re.search(rf"\b{last}\b", place.read_text())):
                missing.append(f"{page.name}: {path}:{name}")
    assert not missing


@pytest.mark.skipif(shutil.which("bash") is None, reason="blocks are run by bash")
def test_pages_have_blocks_to_run():
    assert {doc.name for doc, _ in RUNS} >= {"operations.md"}
