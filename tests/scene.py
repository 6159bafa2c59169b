"""A whole workspace on a tiny service: repository, operator directory, command line, traffic; for flow and fault tests.

The service is thirty lines of standard library with two tests, so that a delivery takes a second or two. Everything is
real: git, keys, sandbox, database, the local target and its router. `close` ends what the scene started, by its own id.
"""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import yaml

from bywire.adapters.local_target_client import LocalTarget
from bywire.cli import main as command_line
from bywire.model.errors import TargetError
from bywire.wiring.workspace import Workspace, open_workspace

GIT_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_DATE": "2026-01-05T10:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-05T10:00:00Z",
    "LC_ALL": "C",
}

SERVICE = '''"""Answers GET: /healthz with ok, anything else with a greeting."""

from http.server import BaseHTTPRequestHandler

GREETING = b"hello"
STATUS = 200


def answer(path):
    """Status and body of a path."""
    if path == "/healthz":
        return 200, b"ok"
    return STATUS, GREETING


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    log_message = lambda self, *_: None
    do_GET = lambda self: self.reply(*answer(self.path))
    reply = lambda self, status, body: (
        self.send_response(status),
        self.send_header("content-length", str(len(body))),
        self.end_headers(),
        self.wfile.write(body),
    )
'''

START = """import os
from http.server import ThreadingHTTPServer
from tiny.service import Handler
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

# The lines that the two tests reached, in the formats of JUnit and lcov; every executable line of the module counts.
RUN = '''"""Run two tests; write reports/junit.xml and reports/cover.lcov."""

import os
import sys
import types

sys.path.insert(0, os.getcwd())
SOURCES = [os.path.join("tiny", name) for name in sorted(os.listdir("tiny")) if name.endswith(".py")]
reached = set()


def trace(frame, event, _):
    reached.add((os.path.relpath(frame.f_code.co_filename), frame.f_lineno))
    return trace if frame.f_code.co_filename.startswith(os.path.join(os.getcwd(), "tiny")) else None


def test_health_property(service):
    assert service.answer("/healthz") == (200, b"ok")


def test_answer_while_the_network_is_at_fault(service):
    assert service.answer("/")[1] == service.GREETING


def executable(code):
    yield from (line for _, _, line in code.co_lines() if line)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType) and inner.co_name != "<lambda>":
            yield from executable(inner)


def main():
    sys.settrace(trace)
    from tiny import service

    cases, failed = [], 0
    for case in (test_health_property, test_answer_while_the_network_is_at_fault):
        try:
            case(service)
            inner = ""
        except AssertionError:
            inner, failed = "<failure message='assertion'/>", failed + 1
        cases.append(f"<testcase classname='tests.run' name='{case.__name__}' time='0.001'>{inner}</testcase>")
    sys.settrace(None)
    os.makedirs("reports", exist_ok=True)
    with open("reports/junit.xml", "w") as file:
        file.write(f"<testsuite name='tiny' tests='2' failures='{failed}' errors='0'>{''.join(cases)}</testsuite>")
    with open("reports/cover.lcov", "w") as file:
        for path in SOURCES:
            with open(path) as source:
                lines = sorted(set(executable(compile(source.read(), path, "exec"))))
            hits = "".join(f"DA:{line},{int((path, line) in reached)}\\n" for line in lines)
            file.write(f"SF:{path}\\n{hits}end_of_record\\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
'''

INTENT: dict[str, Any] = {
    "version": 1,
    "service": "tiny",
    "owners": ["team-tiny"],
    "commands": {
        "build": {"run": ["python", "-c", "import tiny.service"], "timeout_seconds": 20},
        "test": {
            "run": ["python", "tests/run.py"],
            "timeout_seconds": 20,
            "junit": "reports/junit.xml",
            "coverage": "reports/cover.lcov",
        },
        "start": {"run": ["python", "-c", START], "ready": "/healthz", "ready_timeout_seconds": 10},
    },
    "artifact": {"include": ["tiny/**"]},
    "slis": [{"name": "availability", "kind": "errors", "objective": 0.999}],
    "segments": {"header": "x-client-segment", "values": ["web"]},
    "rollout": {"steps": [40, 100]},
}

FILES = {
    "tiny/__init__.py": '"""Tiny."""\n',
    "tiny/service.py": SERVICE,
    "tests/run.py": RUN,
    "LICENSE": "SPDX-License-Identifier: Apache-2.0\n",
    "bywire.yaml": yaml.safe_dump(INTENT, sort_keys=False),
}

TRAFFIC = {"segments": {"web": 1.0}, "requests": [{"weight": 1, "path": "/hello"}]}

GREETED = {"tiny/service.py": SERVICE.replace('b"hello"', 'b"good morning"')}
FAILING = {"tiny/service.py": SERVICE.replace("STATUS = 200", "STATUS = 503")}


class Ran(NamedTuple):
    """What a command did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def approval(self) -> str:
        """The approval a pending delivery waits for."""
        return str(self.json["approval_id"])


class Scene:
    """One repository with its operator directory below `root`."""

    def __init__(self, root: Path, files: Mapping[str, str] = FILES) -> None:
        self.root = root
        self.repo = root / "repo"
        self.operator = root / "operator"
        self._traffic: subprocess.Popen[bytes] | None = None
        if self.repo.exists():
            return
        self.repo.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Dana")
        self.git("config", "user.email", "dana@example.test")
        self.commit("first", files)

    def clone(self, root: Path) -> "Scene":
        """A copy elsewhere, of a scene whose target never ran."""
        shutil.copytree(self.root, root, symlinks=True)
        return Scene(root)

    def prepared(self, **judge: Any) -> "Scene":
        """`bywire init`, with a judge that is quick: intervals of a second, few of them, and a large first step."""
        assert self.bywire("init").code == 0
        quick = {"interval_seconds": 1, "dispersion": 1.0, "intervals_min": 1, "verify_intervals": 1, **judge}
        self.configure(judge=quick, limits={"rollout_first_step": 40})
        return self

    def configure(self, **sections: Any) -> None:
        """Change sections of operator.yaml."""
        place = self.operator / "operator.yaml"
        document = yaml.safe_load(place.read_text())
        for name, value in sections.items():
            document[name] = {**document.get(name, {}), **value} if isinstance(value, dict) else value
        place.write_text(yaml.safe_dump(document, sort_keys=False))

    def released(self) -> "Scene":
        """With the first release in place."""
        pending = self.deliver("first release")
        assert pending.code == 3, pending
        assert self.approve(pending.approval).code == 0
        done = self.deliver("first release")
        assert done.code == 0, done
        return self

    def git(self, *arguments: str) -> str:
        """Run git in the repository."""
        environment = {**GIT_ENVIRONMENT, "HOME": str(self.root)}
        done = subprocess.run(
            ["git", *arguments], cwd=self.repo, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, message: str, files: Mapping[str, str], *, branch: str = "") -> str:
        """Commit `files` (on a new `branch`, if named) and return the commit."""
        if branch:
            self.git("switch", "--quiet", "--create", branch)
        for name, text in files.items():
            place = self.repo / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def bywire(self, *arguments: str, operator: Path | None = None, repo: Path | None = None) -> Ran:
        """Run the command line in this process, as a person would; what it does not catch reaches the test."""
        place = ["--repo", str(repo or self.repo), "--operator", str(operator or self.operator)]
        out, err = io.StringIO(), io.StringIO()
        argv = ["bywire", *place, *arguments]
        with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                command_line.main()
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        return Ran(code, out.getvalue(), err.getvalue())

    def spawn(self, *arguments: str, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
        """Start the command line as a process of its own."""
        program = "import sys; from bywire.cli.main import main; sys.argv[0] = 'bywire'; main()"
        place = ["--repo", str(self.repo), "--operator", str(self.operator)]
        return subprocess.Popen(
            [*prefix, sys.executable, "-I", "-c", program, *place, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def deliver(self, goal: str, *more: str) -> Ran:
        """`bywire deliver --json`."""
        return self.bywire("deliver", "--json", "--goal", goal, *more)

    def approve(self, approval: str, who: str = "oncall") -> Ran:
        """`bywire approvals approve`."""
        return self.bywire("approvals", "approve", approval, "--as", who, "--yes", "--json")

    def workspace(self) -> Workspace:
        """The open workspace; close it."""
        return open_workspace(self.repo, self.operator)

    @property
    def target(self) -> LocalTarget:
        """The local target, spoken to directly."""
        return LocalTarget(self.operator / "target", search_path=())

    def traffic(self, rate: int = 100) -> None:
        """Real requests at `rate` a second until `close`."""
        spec = self.root / "traffic.json"
        spec.write_text(json.dumps(TRAFFIC))
        url = f"http://127.0.0.1:{self.target.status()['router_port']}"
        module = ["-I", "-m", "bywire.adapters.traffic", "--url", url, "--spec", str(spec)]
        self._traffic = subprocess.Popen(
            [sys.executable, *module, "--rate", str(rate), "--seed", "1", "--seconds", "3600"],
            stdout=subprocess.DEVNULL,
        )
        since = self.target.status()["interval_now"]
        wait_until(lambda: any(row.requests for row in self.target.telemetry(since)))

    def close(self) -> None:
        """End the traffic and the target."""
        if self._traffic is not None:
            self._traffic.terminate()
            self._traffic.wait(20)
        if (self.operator / "target" / "target.pid").exists():
            with contextlib.suppress(TargetError):
                self.target.shutdown()


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def refused(ran: Ran, code: str) -> dict[str, str]:
    """The one JSON error of a command that ended with 2 and said nothing else."""
    assert ran.code == 2, ran
    assert ran.err == ""
    error: dict[str, str] = ran.json["error"]
    assert error["code"] == code, ran
    assert error["message"]
    assert error["next_step"]
    return error


def approving(ran: Ran) -> str:
    """The approval that a pending delivery waits for."""
    assert (ran.code, ran.json["phase"]) == (3, "approving"), ran
    return ran.approval


def snapshot(scene: Scene) -> dict[str, Any]:
    """What would show that something was half done: the log, machines, intents, approvals and branches."""
    counted = ("entries", "machines", "intents", "approvals", "work")
    found: dict[str, Any] = dict.fromkeys(counted, 0)
    database = scene.operator / "bywire.db"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as connection:
        for name in counted:
            found[name] = connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    return found


def untouched(scene: Scene) -> bool:
    """Whether the target was never asked to change anything."""
    kept = scene.operator / "target" / "target.json"
    return not kept.exists() or json.loads(kept.read_text())["version"] == 0
