"""Changes inside functions: the tests are collected once, and the process that holds them forks for each change."""

import gc
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from baseline import PLAIN, Baseline
from forks import Answer, Forks, Job, Mark, end, fork
from killers import Killers
from mutants import Mutant, Mutated

POLL_SECONDS = 0.05


class Inside:
    """A pytest plugin that, instead of running the collected tests once, runs some of them for each change."""

    def __init__(
        self, modules: dict[str, Mutated], baseline: Baseline, killers: Killers, forks: Forks, scratch: Path
    ) -> None:
        self._modules = modules
        self._baseline = baseline
        self._killers = killers
        self._forks = forks
        self._scratch = scratch
        self._told = scratch / "inside"
        self._found: list[tuple[str, Mutant]] = []
        self._chosen: Callable[[str, Mutant], list[str]] = lambda _path, _mutant: []
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)

    def judge(
        self, found: list[tuple[str, Mutant]], tests: list[str], chosen: Callable[[str, Mutant], list[str]]
    ) -> Iterator[Answer]:
        """What notices each change when the tests that `chosen` names are asked; `tests` are the files to collect."""
        if not found:
            return
        self._found, self._chosen = found, chosen
        self._told.write_text("")
        carrier = fork(lambda: int(pytest.main([*PLAIN, *tests], plugins=[self])))
        answered = 0
        try:
            for line in _lines_until_ended(self._told, carrier):
                yield Answer(*json.loads(line))
                answered += 1
        finally:
            end(carrier)
        if answered != len(found):
            raise SystemExit("the process that carries the changes died")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item in gc.get_objects():
            if isinstance(item, FunctionType):
                code = item.__code__
                self._functions[code.co_filename, code.co_qualname, code.co_firstlineno].append(item)
        gc.freeze()
        with self._told.open("a") as told:
            for answer in self._forks.run(self._jobs(session)):
                path, mutant = self._found[answer.number]
                self._killers.remember(path, mutant.owner, answer.killer)
                told.write(f"{json.dumps([answer.number, answer.killer])}\n")
                told.flush()
        return True

    def _jobs(self, session: pytest.Session) -> Iterator[Job]:
        items = {item.nodeid: item for item in session.items}
        for number, (path, mutant) in enumerate(self._found):
            names = self._killers.ordered(self._chosen(path, mutant), path, mutant.owner)
            chosen = [items[name] for name in names if name in items]

            def work(mark: Mark, path: str = path, mutant: Mutant = mutant, chosen: list[pytest.Item] = chosen) -> int:
                session.config.pluginmanager.register(mark)
                return self._run(session, path, mutant, chosen)

            yield Job(number, work, self._baseline.limit_seconds(names))

    def _run(self, session: pytest.Session, path: str, mutant: Mutant, chosen: list[pytest.Item]) -> int:
        changed = _code_named(self._modules[path].compiled(mutant), mutant.owner, mutant.owner_line)
        functions = self._functions[changed.co_filename, changed.co_qualname, changed.co_firstlineno]
        if not functions:
            return 0
        for function in functions:
            function.__code__ = changed
        base = self._scratch / f"tmp-{os.getpid()}"
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


def _lines_until_ended(told: Path, child: int) -> Iterator[str]:
    """The lines of a file that a child writes, as they come."""
    with told.open() as lines:
        torn = ""
        ended = False
        while not ended:
            ended = os.waitpid(child, os.WNOHANG)[0] != 0
            for line in lines:
                torn += line
                if torn.endswith("\n"):
                    yield torn
                    torn = ""
            time.sleep(0 if ended else POLL_SECONDS)


def _code_named(code: CodeType, qualname: str, first_line: int) -> CodeType:
    waiting = [code]
    while waiting:
        found = waiting.pop()
        if (found.co_qualname, found.co_firstlineno) == (qualname, first_line):
            return found
        waiting += [constant for constant in found.co_consts if isinstance(constant, CodeType)]
    raise LookupError(qualname)
