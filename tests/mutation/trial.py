"""The tests of one room, and what they make of changes to its modules: a first look, and a second at what is left."""

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from at_import import AtImport
from baseline import measured, preload
from forks import Answer, Forks
from imports import module_of, untouched
from inside import Inside
from killers import Killers
from mutants import Mutant, Mutated

Found = tuple[str, Mutant]


class Trial:
    """The first look asks the tests that reach a change, the second all others."""

    def __init__(self, copy: Path, tests: list[str], modules: dict[str, Mutated], workers: int) -> None:
        self._tests = tests
        self._scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=copy.parent))
        os.chdir(copy)
        sys.path.insert(0, str(copy / "src"))
        self._baseline = measured(copy, tests, modules, self._scratch)
        preload(self._baseline.installed())
        preload(untouched(copy, modules, self._baseline.imported))
        if early := {module_of(path) for path in modules} & sys.modules.keys():
            raise SystemExit(f"imported before its change: {', '.join(sorted(early))}")
        gc.freeze()
        self._killers = Killers(self._baseline.seconds)
        forks = Forks(workers, self._scratch)
        self._inside = Inside(modules, self._baseline, self._killers, forks, self._scratch)
        self._at_import = AtImport(copy, modules, self._baseline, self._killers, forks)

    def reached(self, path: str, mutant: Mutant) -> bool:
        """Whether any test, or the import, runs the changed line."""
        return not mutant.owner or bool(self._baseline.lines[path].get(mutant.line))

    def first_look(self, found: list[Found]) -> Iterator[tuple[Found, str | None]]:
        """Each change and what noticed it, or None; what no test reaches is unnoticed."""
        yield from ((change, None) for change in found if not self.reached(*change))
        yield from self._judged(
            [change for change in found if self.reached(*change)],
            lambda path, mutant: self._baseline.reaching(path, mutant.line),
            self._at_import.chosen,
        )

    def second_look(self, found: list[Found]) -> Iterator[tuple[Found, str | None]]:
        """The same for all tests that the first look left out. What no test reaches is left alone."""
        yield from self._judged(
            [change for change in found if self.reached(*change)],
            lambda path, mutant: self._others(self._baseline.reaching(path, mutant.line)),
            lambda path, mutant: self._others(self._at_import.chosen(path, mutant)),
        )

    def _judged(
        self,
        found: list[Found],
        inside: Callable[[str, Mutant], list[str]],
        at_import: Callable[[str, Mutant], list[str]],
    ) -> Iterator[tuple[Found, str | None]]:
        early = [change for change in found if self._acts_at_import(*change)]
        late = [change for change in found if not self._acts_at_import(*change)]
        for answer in self._inside.judge(late, self._tests, inside):
            yield self._told(late, answer)
        for answer in self._at_import.judge(early, at_import, self._scratch):
            yield self._told(early, answer)

    def _told(self, found: list[Found], answer: Answer) -> tuple[Found, str | None]:
        path, mutant = found[answer.number]
        self._killers.remember(path, mutant.owner, answer.killer)
        return (path, mutant), answer.killer

    def _acts_at_import(self, path: str, mutant: Mutant) -> bool:
        return not mutant.owner or self._baseline.runs_at_import(path, mutant.line)

    def _others(self, asked: list[str]) -> list[str]:
        left_out = set(asked)
        return sorted((test for test in self._baseline.seconds if test not in left_out), key=self._baseline.seconds.get)
