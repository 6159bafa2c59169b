"""Runs tests against mutants, each in a forked process of its own."""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import coverage
import hypothesis
import pytest
from mutants import Mutant, Mutated

# Imported once, before any fork: mutants change none of these.
HEAVY = ("cryptography.hazmat.primitives.serialization", "msgspec", "pydantic", "regorus", "rfc8785", "sqlite3")
PROFILE = "mutation"
# Processor time counts; the clock on the wall only for what waits for ever, so that a busy machine kills nothing.
SECONDS_MIN = 10.0
SLOWNESS_MAX = 6.0
WALL_FACTOR = 6.0
POLL_SECONDS = 0.002
# A test that waits for ever is noticed by itself, not by the limit of all.
TEST_SECONDS_MAX = 30
PLAIN = [
    "-o",
    f"timeout={TEST_SECONDS_MAX}",
    "-q",
    "-p",
    "no:cacheprovider",
    "--no-header",
    "--no-summary",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
]


class Trial:
    """The tests of one room, and what they make of changes to its modules."""

    def __init__(self, copy: Path, tests: list[str], modules: dict[str, Mutated], workers: int) -> None:
        self._copy = copy
        self._tests = tests
        self._modules = modules
        self._workers = workers
        self._seconds: dict[str, float] = {}
        self.reached: set[tuple[str, int]] = set()
        self._scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=copy.parent))
        os.chdir(copy)
        sys.path.insert(0, str(copy / "src"))
        for name in HEAVY:
            importlib.import_module(name)
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(PROFILE, derandomize=True, database=None, deadline=None, phases=phases)
        hypothesis.settings.load_profile(PROFILE)

    def survivors(self, wanted: dict[str, list[Mutant]]) -> list[tuple[str, Mutant]]:
        """The changes that no test noticed."""
        lines = self._baseline()
        inside: list[tuple[str, Mutant]] = []
        outside: list[tuple[str, Mutant]] = []
        for path, mutants in wanted.items():
            for mutant in mutants:
                tests = [name for name in lines[path].get(mutant.line, []) if name]
                at_import = not mutant.owner or "" in lines[path].get(mutant.line, [])
                mutant.tests = sorted(tests, key=self._seconds.__getitem__)
                if tests or at_import:
                    self.reached.add((path, mutant.number))
                (outside if at_import else inside).append((path, mutant))
        reached = [found for found in inside if found[1].tests]
        first = set(map(id, self._inside(reached, everything=False)))
        survived = [found for found in reached if id(found) in first]
        second = set(map(id, self._inside(survived, everything=True)))
        unreached = [found for found in inside if not found[1].tests]
        return [
            *(found for found in survived if id(found) in second),
            *unreached,
            *self._outside(outside),
        ]

    # --- which test reaches what ---

    def _baseline(self) -> dict[str, dict[int, list[str]]]:
        """path: line: names of the tests that run it, with "" for the import."""
        told = self._scratch / "baseline.json"
        child = _fork(lambda: self._cover(told), keep_output=True)
        _, status = os.waitpid(child, 0)
        if status != 0 or not told.exists():
            raise SystemExit("the tests fail without any change: mend them first")
        document = json.loads(told.read_text())
        self._seconds = document["seconds"]
        return {
            path: {int(line): names for line, names in document["lines"].get(path, {}).items()}
            for path in self._modules
        }

    def _cover(self, told: Path) -> int:
        sources = [str(self._copy / path) for path in self._modules]
        measured = coverage.Coverage(data_file=None, include=sources, config_file=False, concurrency=["thread"])
        watch = _Watch(measured)
        measured.start()
        code = int(pytest.main([*PLAIN, *self._tests], plugins=[watch]))
        measured.stop()
        data = measured.get_data()
        lines = {path: data.contexts_by_lineno(str(self._copy / path)) for path in self._modules}
        told.write_text(json.dumps({"seconds": watch.seconds, "lines": lines}))
        return code

    # --- changes inside functions: collected once, forked for each ---

    def _inside(self, found: list[tuple[str, Mutant]], *, everything: bool) -> list[tuple[str, Mutant]]:
        if not found:
            return []
        told = self._scratch / f"inside-{everything}.json"
        loop = _Loop(self, found, everything=everything, told=told)
        child = _fork(lambda: int(pytest.main([*PLAIN, *self._tests], plugins=[loop])))
        os.waitpid(child, 0)
        if not told.exists():
            raise SystemExit("the process that carries the changes died")
        return [found[number] for number in json.loads(told.read_text())]

    def limit_seconds(self, tests: list[str]) -> float:
        """How much processor time these tests may take with a change before it counts as noticed."""
        return SECONDS_MIN + SLOWNESS_MAX * sum(self._seconds.get(name, 0.0) for name in tests)

    def run_all(self, jobs: Iterator[tuple[int, Callable[[], int], float]]) -> list[int]:
        """The numbers of those jobs that ended with 0, some at a time; one that takes too long is killed."""
        running: dict[int, tuple[int, float]] = {}
        well: list[int] = []
        more = True
        while more or running:
            while more and len(running) < self._workers:
                job = next(jobs, None)
                more = job is not None
                if job is not None:
                    number, work, seconds = job
                    child = _fork(lambda work=work, seconds=seconds: _within(seconds, work))
                    running[child] = (number, time.monotonic() + WALL_FACTOR * seconds)
            for child, (number, deadline) in list(running.items()):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    del running[child]
                    _end(child)  # what a test forked may still wait
                    well += [number] if status == 0 else []
                elif time.monotonic() > deadline:
                    _end(child)
            time.sleep(POLL_SECONDS)
        return well

    def code_of(self, path: str, mutant: Mutant) -> CodeType:
        """The whole changed module."""
        return self._modules[path].compiled(mutant)

    def base_temp(self, number: int) -> Path:
        """A directory for one child's files."""
        return self._scratch / f"tmp-{number}"

    # --- changes that act at import: imported afresh ---

    def _outside(self, found: list[tuple[str, Mutant]]) -> list[tuple[str, Mutant]]:
        whole = self.limit_seconds(list(self._seconds))

        def jobs() -> Iterator[tuple[int, Callable[[], int], float]]:
            for number, (path, mutant) in enumerate(found):
                yield number, lambda path=path, mutant=mutant: self._import_changed(path, mutant), whole

        return [found[number] for number in self.run_all(jobs())]

    def _import_changed(self, path: str, mutant: Mutant) -> int:
        name = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        sys.meta_path.insert(0, _ChangedModule(name, str(self._copy / path), self.code_of(path, mutant)))
        base = Path(tempfile.mkdtemp(dir=self._scratch))
        stem = Path(path).stem
        # Most changes are noticed by the module's own tests: the others are not even collected then.
        own = [test for test in self._tests if stem in Path(test).name]
        others = sorted(set(self._tests) - set(own), key=self._file_seconds)
        code = 0
        for tests in filter(None, (own, others)):
            code = code or int(pytest.main([*PLAIN, "-x", f"--basetemp={base}", *tests]))
        shutil.rmtree(base, ignore_errors=True)
        return code

    def _file_seconds(self, test: str) -> float:
        return sum(seconds for name, seconds in self._seconds.items() if name.startswith(f"{test}::"))


class _Watch:
    """A pytest plugin: tells coverage which test runs, and notes how long each takes."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self._measured.switch_context(item.nodeid)
        began = time.monotonic()
        done = yield
        self.seconds[item.nodeid] = time.monotonic() - began
        self._measured.switch_context("")
        return done


class _Loop:
    """A pytest plugin that, instead of running the collected tests once, runs some of them for each change."""

    def __init__(self, trial: Trial, found: list[tuple[str, Mutant]], *, everything: bool, told: Path) -> None:
        self._trial = trial
        self._found = found
        self._everything = everything
        self._told = told
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item in gc.get_objects():
            if isinstance(item, FunctionType):
                code = item.__code__
                self._functions[code.co_filename, code.co_qualname, code.co_firstlineno].append(item)
        gc.freeze()
        self._told.write_text(json.dumps(self._trial.run_all(self._jobs(session))))
        return True

    def _jobs(self, session: pytest.Session) -> Iterator[tuple[int, Callable[[], int], float]]:
        items = {item.nodeid: item for item in session.items}
        for number, (path, mutant) in enumerate(self._found):
            names = [name for name in items if name not in mutant.tests] if self._everything else mutant.tests
            chosen = [items[name] for name in names if name in items]

            def work(path: str = path, mutant: Mutant = mutant, chosen: list[pytest.Item] = chosen) -> int:
                return self._run(session, path, mutant, chosen)

            yield number, work, self._trial.limit_seconds(names)

    def _run(self, session: pytest.Session, path: str, mutant: Mutant, chosen: list[pytest.Item]) -> int:
        changed = _code_named(self._trial.code_of(path, mutant), mutant.owner, mutant.owner_line)
        functions = self._functions[changed.co_filename, changed.co_qualname, changed.co_firstlineno]
        if not functions:
            return 0
        for function in functions:
            function.__code__ = changed
        base = self._trial.base_temp(os.getpid())
        session.config._tmp_path_factory._basetemp = base
        base.mkdir()
        failed = _Failed()
        session.config.pluginmanager.register(failed)
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if failed.any:
                break
        shutil.rmtree(base, ignore_errors=True)
        return int(failed.any)


class _Failed:
    """A pytest plugin that remembers whether any test failed."""

    any = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.any |= report.failed


class _ChangedModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from changed code."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        self._name = name
        self._path = path
        self._code = code

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        package = [str(Path(self._path).parent)] if self._path.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=self, submodule_search_locations=package
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


def _code_named(code: CodeType, qualname: str, first_line: int) -> CodeType:
    waiting = [code]
    while waiting:
        found = waiting.pop()
        if (found.co_qualname, found.co_firstlineno) == (qualname, first_line):
            return found
        waiting += [constant for constant in found.co_consts if isinstance(constant, CodeType)]
    raise LookupError(qualname)


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _within(seconds: float, work: Callable[[], int]) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    return work()


def _fork(work: Callable[[], int], *, keep_output: bool = False) -> int:
    """Run `work` in a child that leads a process group of its own; its answer is the exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setpgid(0, 0)
        if keep_output:
            os.dup2(2, 1)
        else:
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
