"""One run of the tests without any change: which test reaches which line, how long each takes, what they import."""

import contextlib
import importlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import pytest
from forks import fork

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
    # What the tests share was imported before the fork, and some of it draws from hypothesis.
    "-W",
    "ignore::hypothesis.errors.HypothesisSideeffectWarning",
]
PROFILE = "mutation"
# A change that makes the tests this much slower has been noticed.
SECONDS_MIN = 10.0
SLOWNESS_MAX = 6.0


@dataclass(frozen=True)
class Baseline:
    """seconds by test; tests by line by path, with "" for the import; origin by module, as imported."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]
    imported: dict[str, str]

    def limit_seconds(self, tests: Iterable[str]) -> float:
        """How much processor time these tests may take with a change before it counts as noticed."""
        return SECONDS_MIN + SLOWNESS_MAX * sum(self.seconds.get(name, 0.0) for name in tests)

    def installed(self) -> list[str]:
        """Those of the imported modules that no change can touch: the standard library's and other projects'."""
        roots = (sys.prefix, sys.base_prefix)
        found = (name for name, origin in self.imported.items() if origin.startswith(roots) and name != "__main__")
        return [name for name in found if "pytest" not in name and not name.startswith("xdist")]

    def runs_at_import(self, path: str, line: int) -> bool:
        """Whether the line runs when its module is imported."""
        return "" in self.lines[path].get(line, [])

    def reaching(self, path: str, line: int) -> list[str]:
        """The tests that run the line, cheapest first."""
        return sorted(filter(None, self.lines[path].get(line, [])), key=self.seconds.__getitem__)


def measured(copy: Path, tests: list[str], paths: Iterable[str], scratch: Path) -> Baseline:
    """Run the tests under coverage in a child; SystemExit when they fail."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(PROFILE, derandomize=True, database=None, deadline=None, phases=phases)
    hypothesis.settings.load_profile(PROFILE)
    told = scratch / "baseline.json"
    paths = list(paths)
    child = fork(lambda: _cover(copy, tests, paths, told), keep_output=True)
    _, status = os.waitpid(child, 0)
    if status != 0 or not told.exists():
        raise SystemExit("the tests fail without any change: mend them first")
    document = json.loads(told.read_text())
    lines = {path: {int(line): names for line, names in document["lines"].get(path, {}).items()} for path in paths}
    return Baseline(document["seconds"], lines, document["imported"])


def preload(names: Iterable[str]) -> None:
    """Import these before any fork, so that no child has to; what fails here is left to the child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _cover(copy: Path, tests: list[str], paths: list[str], told: Path) -> int:
    sources = [str(copy / path) for path in paths]
    cover = coverage.Coverage(data_file=None, include=sources, config_file=False, concurrency=["thread"])
    watch = _Watch(cover)
    cover.start()
    code = int(pytest.main([*PLAIN, *tests], plugins=[watch]))
    cover.stop()
    data = cover.get_data()
    lines = {path: data.contexts_by_lineno(str(copy / path)) for path in paths}
    told.write_text(json.dumps({"seconds": watch.seconds, "lines": lines, "imported": _imported()}))
    return code


def _imported() -> dict[str, str]:
    specs = ((name, getattr(module, "__spec__", None)) for name, module in list(sys.modules.items()))
    return {name: spec.origin for name, spec in specs if spec is not None and spec.origin}


class _Watch:
    """A pytest plugin: tells coverage which test runs, and notes how long each takes."""

    def __init__(self, cover: coverage.Coverage) -> None:
        self._cover = cover
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self._cover.switch_context(item.nodeid)
        began = time.monotonic()
        done = yield
        self.seconds[item.nodeid] = time.monotonic() - began
        self._cover.switch_context("")
        return done
