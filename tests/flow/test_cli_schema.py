"""`bywire schema`: what an editor and a CI job are given, without a workspace and without a terminal."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jsonschema_rs
import pytest
import yaml

from bywire.adapters.schema_files import FILES, published_schemas
from bywire.cli import main as command_line

GATEWAY = "# yaml-language-server: $schema=gateway.schema.json\nversion: 1\nlisten: {port: 8750}\n"
OPERATOR = "version: 1\nservice: shop\nagents_owner: person:dana\npeople: [{id: person:dana, roles: [service-owner]}]\n"
AGENTS = (
    "version: 1\nagents:\n"
    "  - {id: agent:bot, owner: person:dana, pattern: advisor, tools: [jobs.list], environments: [staging]}\n"
)
CONTRACT = (
    "version: 1\nupstream: jobs\n"
    "tools: [{name: list, category: read, risk: low, schema: {type: object, properties: {}}}]\n"
)
POLICY = "agent: bot\nactions: [{name: jobs.list}]\n"
BYWIRE = "version: 1\nservice: shop\n"
GOOD = {
    "bywire": {"bywire.yaml": BYWIRE},
    "operator": {"operator.yaml": OPERATOR},
    "agents": {"agents.yaml": AGENTS, "operator.yaml": OPERATOR},
    "gateway": {"gateway.yaml": GATEWAY},
    "contract": {"jobs.yaml": CONTRACT},
    "agent-policy": {"bot.yaml": POLICY},
}


def run(place, *words):
    """The command in a directory that is no repository, and has no workspace."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(place),
        mock.patch.object(sys, "argv", ["bywire", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            command_line.main()
        except SystemExit as ended:
            code = ended.code or 0
    return Ran(code, out.getvalue(), err.getvalue())


class Ran(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def test_a_job_without_terminal_home_or_repository_is_served(tmp_path):
    write(tmp_path, GOOD["gateway"])
    program = [str(Path(sys.executable).parent / "bywire"), "schema", "gateway"]
    place = {"cwd": tmp_path, "env": {"PATH": os.environ["PATH"]}, "stdin": subprocess.DEVNULL, "timeout": 60}
    printed = subprocess.run(program, **place, capture_output=True, check=True).stdout
    assert json.loads(printed)["title"] == "gateway.yaml, version 1"
    checked = subprocess.run([*program, "gateway.yaml"], **place, capture_output=True, check=True)
    assert (checked.stdout, checked.stderr) == (b"valid   gateway.yaml\n", b"")
    # Who reads only the beginning gets no traceback.
    with subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def write(place, files):
    for name, text in files.items():
        (place / name).write_text(text)


def test_the_list_says_what_each_is_for_and_where_an_editor_finds_it(tmp_path):
    told = run(tmp_path, "schema")
    assert told.returncode == 0
    assert told.stderr == ""
    for one in published_schemas():
        assert f"{one.file} " in told.stdout
        assert str(one.path) in told.stdout
    assert "# yaml-language-server: $schema=PATH" in told.stdout
    listed = json.loads(run(tmp_path, "schema", "--json").stdout)
    assert [(one["name"], one["file"]) for one in listed] == list(FILES.items())
    for one in listed:
        assert json.loads(Path(one["path"]).read_text())["$id"] == one["id"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_printed_as_it_is_published(name, tmp_path):
    plain, as_json = run(tmp_path, "schema", name), run(tmp_path, "schema", name, "--json")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout == as_json.stdout
    published = next(one.text() for one in published_schemas() if one.name == name)
    assert plain.stdout == published
    jsonschema_rs.meta.validate(json.loads(plain.stdout))


@pytest.mark.parametrize("name", FILES)
def test_a_good_file_is_valid_for_the_schema_and_for_the_check(name, tmp_path):
    write(tmp_path, GOOD[name])
    file = next(iter(GOOD[name]))
    jsonschema_rs.validate(json.loads(run(tmp_path, "schema", name).stdout), yaml.safe_load(GOOD[name][file]))
    checked = run(tmp_path, "schema", name, file)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, f"valid   {file}\n", "")
    answer = json.loads(run(tmp_path, "schema", name, file, "--json").stdout)
    assert answer == {"schema": name, "files": [{"file": file, "error": None}]}


@pytest.mark.parametrize("name", FILES)
def test_a_misspelt_key_fails_the_job_with_its_place(name, tmp_path):
    write(tmp_path, GOOD[name])
    file = next(iter(GOOD[name]))
    (tmp_path / file).write_text(f"{GOOD[name][file]}verison: 1\n")
    checked = run(tmp_path, "schema", name, file)
    last = len(GOOD[name][file].splitlines()) + 1
    assert checked.returncode == 1
    assert checked.stdout.startswith(f"wrong   {file}:{last}:1: unknown key 'verison'")
    assert "  next  rename 'verison' to 'version'" in checked.stdout


def test_each_file_of_several_is_told_and_one_wrong_one_is_enough(tmp_path):
    write(tmp_path, {"jobs.yaml": CONTRACT, "other.yaml": CONTRACT, "empty.yaml": ""})
    checked = run(tmp_path, "schema", "contract", "jobs.yaml", "other.yaml", "empty.yaml")
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[0] == "valid   jobs.yaml"
    # Only the reader knows the file's name: no schema could say it.
    assert "other.yaml:2:1: upstream: this file speaks for other, not for jobs" in checked.stdout
    assert "empty.yaml:1:1: the file is empty" in checked.stdout
    answer = json.loads(run(tmp_path, "schema", "contract", "jobs.yaml", "other.yaml", "--json").stdout)
    assert [one["error"] and one["error"]["code"] for one in answer["files"]] == [None, "config_invalid"]


def test_agents_are_checked_against_the_people_beside_them(tmp_path):
    write(tmp_path, {"agents.yaml": AGENTS})
    alone = run(tmp_path, "schema", "agents", "agents.yaml")
    assert alone.returncode == 1
    assert "owners are people of operator.yaml, which is not beside it" in alone.stdout
    write(tmp_path, {"operator.yaml": OPERATOR.replace("dana", "ines")})
    strangers = run(tmp_path, "schema", "agents", "agents.yaml")
    assert "person:dana is not one of the people" in strangers.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuch", "there is no schema 'nosuch'; there are bywire, operator"),
        ("gatewy", "there is no schema 'gatewy'; did you mean 'gateway'?"),
        ("../../../etc/passwd", "there is no schema '../../../etc/passwd'"),
        ("gateway.schema.json", "there is no schema 'gateway.schema.json'"),
        ("\x1b[31mgateway", r"there is no schema '\x1b[31mgateway'"),
        ("", "there is no schema ''"),
        ("x" * 5_000, "there is no schema 'xxx"),
    ],
)
def test_a_name_that_is_none_is_told_with_those_that_are(name, said, tmp_path):
    plain = run(tmp_path, "schema", name)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert "error  schema_unknown: " in plain.stderr
    assert said in plain.stderr
    assert len(plain.stderr) < 500
    as_json = run(tmp_path, "schema", name, "--json")
    assert (as_json.returncode, as_json.stderr) == (2, "")
    assert json.loads(as_json.stdout)["error"]["code"] == "schema_unknown"


@pytest.mark.parametrize("file", ["missing.yaml", "."])
def test_what_is_no_file_is_an_error_and_no_verdict(file, tmp_path):
    done = run(tmp_path, "schema", "gateway", file, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


def test_hostile_files_are_refused_soon(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    bomb = "a: &a [1, 1]\n" + "".join(f"b{n}: &b{n} [*{'a' if n == 0 else f'b{n - 1}'}, *a]\n" for n in range(90))
    write(
        tmp_path, {"bomb.yaml": bomb, "tag.yaml": "version: !!python/object:os.system x\n", "deep.yaml": "[" * 10_000}
    )
    (tmp_path / "big.yaml").write_bytes(b"#" * 2_000_000)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    files = ("pipe.yaml", "bomb.yaml", "tag.yaml", "deep.yaml", "big.yaml", "binary.yaml")
    done = run(tmp_path, "schema", "gateway", *files)
    assert done.returncode == 1
    assert done.stdout.count("wrong ") == len(files)
    assert "Traceback" not in done.stdout + done.stderr


def test_a_policy_is_read_as_strictly_as_it_is_compiled(tmp_path):
    write(tmp_path, {"bot.yaml": "agent: bot\nactions: &all [{name: jobs.list}]\n", "more.yaml": POLICY})
    (tmp_path / "twice.yaml").write_text("agent: &a bot\nactions: [{name: *a}]\n")
    done = run(tmp_path, "schema", "agent-policy", "bot.yaml", "twice.yaml", "more.yaml")
    assert [line[:8].strip() for line in done.stdout.splitlines()] == ["valid", "wrong", "next", "valid"]
    assert "aliases are not read here" in done.stdout
