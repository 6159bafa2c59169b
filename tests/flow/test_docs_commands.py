"""The documentation is executed: a command that is shown is a command that works, or this file fails.

A ```console block right after `<!-- run: SCENE -->` is run line by line (`$ ` starts a command, `> ` continues it) in
the repository that `SCENES` prepares; `<!-- run: SCENE exit: N -->` expects N from the block's last command, all others
must end with 0. Blocks of one page with the same scene share it and run in the page's order. Where a command's output
is shown, its first line must come out again, digests, numbers and blanks aside. Ids as in `ap-0123456789ab` stand for
the newest of the scene. What is not run must at least parse: the sub-command and each of its options exist, unless the
paragraph begins with "Not yet".
"""

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
from scene import Scene

from bywire.adapters import yaml_file
from bywire.cli.main import bywire
from bywire.config import asset_manifest, json_document, operator_config, service_intent

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND_SECONDS = 60

_BLOCK = re.compile(
    r"(?:<!-- run: (?P<scene>[a-z-]+)(?: exit: (?P<exit>\d))? -->\n)?```console\n(?P<body>.*?)```", re.DOTALL
)
_FILE = re.compile(r"<!-- file: (?P<name>[a-z./]+) -->\n```(?:yaml|json)\n(?P<body>.*?)```", re.DOTALL)
_NAMED = re.compile(r"`([a-z_]+/[a-z_/]+\.(?:py|rego|json))(?::([A-Za-z_.]+))?`")
_INLINE = re.compile(r"`(bywire [a-z][^`\n]*)`")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_VARIES = re.compile(r"\b[0-9a-f]{7,}\b|[0-9][0-9.,]*|\s+")


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
        }

    def run(self, command):
        return subprocess.run(
            ["bash", "-c", self._newest(command)],
            cwd=self._scene.repo,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def _newest(self, command):
        """`command` with the ids of the page replaced by those of the scene."""
        for example, asked in _IDS.items():
            if re.search(example, command):
                known = self._scene.bywire(*asked, "--json").json
                newest = known[0] if isinstance(known, list) else known["deliveries"][-1]
                command = re.sub(example, newest["id"], command)
        return command


_IDS = {r"\bap-[0-9a-f]{12}\b": ("approvals", "list"), r"\bdl-[0-9a-f]{10}\b": ("status",)}


def _fresh(scene):
    """A service in git that has never met bywire."""
    scene.git("rm", "--quiet", "bywire.yaml")
    scene.git("commit", "--quiet", "--message", "as it was")


def _start(scene):
    """The same with its bywire.yaml written, not yet committed."""
    text = (scene.repo / "bywire.yaml").read_text()
    _fresh(scene)
    (scene.repo / "bywire.yaml").write_text(text)


SCENES = {"fresh": _fresh, "start": _start, "service": Scene.prepared}


def _blocks(document):
    return [match.groupdict() for match in _BLOCK.finditer(document.read_text())] if document.exists() else []


def _steps(body):
    """(command, first line shown after it or empty) of a console block."""
    steps = []
    for line in body.splitlines():
        if line.startswith("$ "):
            steps.append([line[2:], ""])
        elif line.startswith("> ") and steps and not steps[-1][1]:
            steps[-1][0] += f"\n{line[2:]}"
        elif steps and not steps[-1][1]:
            steps[-1][1] = line
    return steps


def _alike(shown, real):
    return _VARIES.sub(" ", shown).strip() == _VARIES.sub(" ", real).strip()


RUNS = sorted({(doc, block["scene"]) for doc in DOCUMENTS for block in _blocks(doc) if block["scene"]})


@pytest.mark.parametrize(("document", "name"), RUNS, ids=[f"{doc.stem}-{name}" for doc, name in RUNS])
def test_a_marked_block_does_what_it_shows(document, name, tmp_path):
    scene = Scene(tmp_path / "scene")
    try:
        SCENES[name](scene)
        for block in _blocks(document):
            if block["scene"] == name:
                _play(Page(scene), block)
    finally:
        scene.close()


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
        elif word.startswith("-"):
            name, equals, _ = word.partition("=")
            if name not in options:
                return f"{context.command_path} has no {word}"
            takes_value = options[name] and not equals
        elif word in {">", "2>"}:
            break
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
        for path, name in _NAMED.findall(page.read_text()):
            place = next((p for p in (ROOT / path, ROOT / "src" / "bywire" / path) if p.is_file()), None)
            last = name.rpartition(".")[2]
            if place is None or (last and not re.search(rf"\b{last}\b", place.read_text())):
                missing.append(f"{page.name}: {path}:{name}")
    assert not missing


@pytest.mark.skipif(shutil.which("bash") is None, reason="blocks are run by bash")
def test_pages_have_blocks_to_run():
    assert {doc.name for doc, _ in RUNS} >= {"operations.md"}
