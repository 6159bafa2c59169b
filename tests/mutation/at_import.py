"""Changes that act at import (constants, bounds of structs, defaults): imported afresh with the change in it.

Asked are the tests of the module's own test files, and those that reach what the changed statement gives its meaning,
or name it: as many of each as fit into CHOSEN_SECONDS_MAX. Only their files are collected.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from baseline import PLAIN, Baseline
from forks import Answer, Forks, Job, Mark
from imports import module_of
from killers import Killers
from mentions import Mentions, functions_mentioning
from mutants import Mutant, Mutated

CHOSEN_SECONDS_MAX = 12.0
# Files collected before all others: most changes are noticed there.
LIKELY_FILES_MAX = 3
PASSED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class AtImport:
    """The changes of one room that act at import."""

    def __init__(
        self, copy: Path, modules: dict[str, Mutated], baseline: Baseline, killers: Killers, forks: Forks
    ) -> None:
        self._copy = copy
        self._modules = modules
        self._baseline = baseline
        self._killers = killers
        self._forks = forks
        self._by_file: dict[str, list[str]] = defaultdict(list)
        for test in baseline.seconds:
            self._by_file[_file(test)].append(test)
        self._mentions = Mentions({path: (copy / path).read_text() for path in modules}, baseline.runs_at_import)
        self._mentioning = {test: functions_mentioning((copy / test).read_text()) for test in self._by_file}

    def judge(
        self, found: list[tuple[str, Mutant]], chosen: Callable[[str, Mutant], list[str]], scratch: Path
    ) -> Iterator[Answer]:
        """What notices each change when the tests that `chosen` names are asked."""

        def jobs() -> Iterator[Job]:
            for number, (path, mutant) in enumerate(found):
                tests = chosen(path, mutant)

                def work(mark: Mark, path: str = path, mutant: Mutant = mutant, tests: list[str] = tests) -> int:
                    return self._run(path, mutant, tests, mark, scratch)

                yield Job(number, work, self._baseline.limit_seconds(tests))

        for answer in self._forks.run(jobs()):
            path, mutant = found[answer.number]
            self._killers.remember(path, mutant.owner, answer.killer)
            yield answer

    def chosen(self, path: str, mutant: Mutant) -> list[str]:
        """The tests that the first look asks, likeliest first."""
        seconds = self._baseline.seconds
        telling = self._telling(path, mutant)
        own = {test for file in self._own_files(path) for test in self._by_file[file]}
        recent = [test for test in self._killers.recent(path, mutant.owner) if test in telling or test in own]
        # Each has its own time: what many tests reach would crowd out the module's own, or the other way round.
        near = self._within_time([*recent, *sorted(own, key=lambda test: (test not in telling, seconds[test]))])
        far = self._within_time(sorted(telling - own, key=seconds.__getitem__))
        return self._killers.ordered(list(dict.fromkeys([*near, *far])), path, mutant.owner)

    def _within_time(self, tests: list[str]) -> list[str]:
        kept, budget = [], CHOSEN_SECONDS_MAX
        for test in dict.fromkeys(tests):
            if self._baseline.seconds[test] <= budget:
                budget -= self._baseline.seconds[test]
                kept.append(test)
        return kept

    def _telling(self, path: str, mutant: Mutant) -> set[str]:
        """The tests that reach a line, or are written in words, that mention what the changed statement acts on."""
        found = set(self._baseline.reaching(path, mutant.line))
        for place in self._mentions.lines(mutant.named):
            found.update(self._baseline.reaching(*place))
        for file, mentioning in self._mentioning.items():
            functions = mentioning(mutant.named)
            found.update(test for test in self._by_file[file] if functions & _functions(test))
        return found or {test for line in self._baseline.lines[path] for test in self._baseline.reaching(path, line)}

    def _own_files(self, path: str) -> list[str]:
        return [file for file in self._by_file if Path(path).stem in Path(file).name]

    def _run(self, path: str, mutant: Mutant, tests: list[str], mark: Mark, scratch: Path) -> int:
        code = self._modules[path].compiled(mutant)
        sys.meta_path.insert(0, _ChangedModule(module_of(path), str(self._copy / path), code))
        files = list(dict.fromkeys(map(_file, tests)))
        recent = {_file(test) for test in self._killers.recent(path, mutant.owner)}
        likely = [file for file in files if file in recent or file in self._own_files(path)][:LIKELY_FILES_MAX]
        base = Path(tempfile.mkdtemp(dir=scratch))
        passed = True
        for part in filter(None, (likely, [file for file in files if file not in likely])):
            asked = _Asked([test for test in tests if _file(test) in part], self._baseline.seconds)
            plugins = [mark, asked]
            passed = passed and pytest.main([*PLAIN, "-x", f"--basetemp={base}", *part], plugins=plugins) in PASSED
        shutil.rmtree(base, ignore_errors=True)
        return int(not passed)


class _Asked:
    """A pytest plugin that leaves only some tests, in their order, and those that are there only since the change."""

    def __init__(self, tests: list[str], known: dict[str, float]) -> None:
        self._rank = {test: rank for rank, test in enumerate(tests)}
        self._known = known

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        left = [item for item in items if item.nodeid in self._rank or item.nodeid not in self._known]
        items[:] = sorted(left, key=lambda item: self._rank.get(item.nodeid, len(self._rank)))


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


def _file(test: str) -> str:
    return test.partition("::")[0]


def _functions(test: str) -> set[str]:
    """The class and the function of a node id, without the row."""
    return set(test.partition("[")[0].split("::")[1:])
