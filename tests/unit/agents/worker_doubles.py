"""In-memory doubles of what the workers need: a repository of two commits, worktrees over it, a scripted sandbox."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from bywire.agents.ports import WorktreeFile
from bywire.model.change import Author, Change, ChangedFile
from bywire.model.intent import Command, ServiceIntent
from bywire.model.operator import Limits, OperatorConfig, Person
from bywire.seal.digest import sha256_hex

BASE, HEAD = "b" * 40, "c" * 40
PEOPLE = (Person("person:dana", ("dana@shop.example",), ("service-owner",)),)
OPERATOR = OperatorConfig(service="web", people=PEOPLE, limits=Limits())
CLASSES = {"ci_workflows": r"(?im)^\.github/workflows/.+$", "deployment_manifests": r"(?im)^deploy/.+$"}
TEST = Command(run=("run-tests",), timeout_seconds=9, junit="reports/junit.xml", coverage="reports/coverage.json")
INTENT = ServiceIntent(service="web", owners=("shop",), test=TEST, artifact_include=("web/**",))


class MemoryRepository:
    def __init__(self, base, head):
        self.trees = {BASE: base, HEAD: head}

    def read(self, commit, path):
        return self.trees[commit].get(path)

    def list(self, commit, prefix=""):
        return [
            SimpleNamespace(path=path, mode="100644", oid=sha256_hex(data))
            for path, data in sorted(self.trees[commit].items())
            if path.startswith(prefix)
        ]


class MemoryWorktree:
    def __init__(self, files):
        self.root = Path("/tree")
        self.contents = dict(files)

    def read_file(self, relative):
        return self.contents.get(relative)

    def files(self):
        return [WorktreeFile(path, False, len(data)) for path, data in sorted(self.contents.items())]


class World:
    """Repository, worktrees and sandbox in one. `scripts` maps argv to (exit code, files written, stdout)."""

    def __init__(self, head, base=None, scripts=None):
        self.repository = MemoryRepository(base or {}, head)
        self.scripts = scripts or {}
        self.ran = []
        self.current = None

    @contextmanager
    def worktrees(self, commit):
        self.current = MemoryWorktree(self.repository.trees[commit])
        yield self.current

    def run(self, argv, *, cwd, timeout_seconds, env_allow=None):
        self.ran.append((tuple(argv), timeout_seconds))
        exit_code, written, stdout = self.scripts.get(tuple(argv), (127, {}, ""))
        self.current.contents.update(written)
        return SimpleNamespace(
            exit_code=exit_code,
            stdout=stdout,
            stderr="tail",
            timed_out=exit_code == -1,
            duration_seconds=0.25,
            isolation="namespaces",
        )


DANA = (Author("Dana", "Dana@shop.example"),)


def change(*files, authors=DANA, messages=()):
    return Change("feature", "main", BASE, HEAD, tuple(files), tuple(authors), tuple(messages))


def changed(path, *lines, status="M"):
    return ChangedFile(path, status, tuple(lines), 0)
