"""Run a bundle's own Rego tests (`*_test.rego`, rules named `test_...`) and say which rules they leave unproved.

A rule id `gate.sbom_missing` is proved by two passing tests that name it: `test_fires_gate_sbom_missing`, where it must
fire, and `test_quiet_gate_sbom_missing`, the nearest question where it must not. The tests of an agent's own policy see
that policy and nothing else.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import regorus

from bywire.policy.bundle import Bundle, Module, parse_bundle
from bywire.policy.rego_syntax import parse_module, reference
from bywire.policy.rule_index import rule_sites, sites_of

_QUOTED = re.compile(r'"([a-z0-9_.-]+)"')


class Failure(msgspec.Struct, frozen=True):
    """A test that did not come out true: its name, its `file:line:col`, and what it gave."""

    test: str
    place: str
    got: str


class Report(msgspec.Struct, frozen=True):
    """What the tests showed. `unproved` lists rule ids without a passing test of each kind."""

    passed: tuple[str, ...]
    failed: tuple[Failure, ...]
    unproved: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every test passed and every rule is proved."""
        return bool(self.passed) and not self.failed and not self.unproved


def tests_of(bundle: Bundle) -> dict[str, str]:
    """The full names of all tests (`data.bywire.gate.tests_test.test_x`) and where each stands."""
    return _named_tests((*bundle.tests, *bundle.agent_tests.values()))


def run(files: Mapping[str, bytes]) -> Report:
    """Run the tests of a bundle given as files.

    Raises PolicyError when the bundle or a test does not parse.
    """
    return run_bundle(parse_bundle(files))


def run_bundle(bundle: Bundle) -> Report:
    """The same for a parsed bundle."""
    passed, failed = [], []
    for test, place, got in _results(bundle):
        if got == "true":
            passed.append(test)
        else:
            failed.append(Failure(test, place, got))
    return Report(tuple(passed), tuple(failed), _unproved(bundle, passed))


def _results(bundle: Bundle) -> Iterator[tuple[str, str, str]]:
    yield from _run((*bundle.modules, *bundle.tests), bundle.data_json(), _named_tests(bundle.tests))
    for agent, tests in bundle.agent_tests.items():
        own = bundle.agents.get(agent)
        yield from _run((own, tests) if own else (tests,), "{}", _named_tests((tests,)))


def _run(modules: Iterable[Module], data_json: str, tests: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    engine = regorus.Engine()
    for module in modules:
        engine.add_policy(module.path, module.source)
    engine.add_data_json(data_json)
    for test, place in tests.items():
        try:
            yield test, place, engine.eval_rule_as_json(test)
        except RuntimeError as error:
            yield test, place, str(error).split("\n\nStack backtrace")[0].strip()


def _named_tests(modules: Iterable[Module]) -> dict[str, str]:
    return {
        reference(module.package, rule.name): str(rule.place)
        for module in map(parse_module, modules)
        for rule in module.rules
        if rule.name.startswith("test_")
    }


def _unproved(bundle: Bundle, passed: list[str]) -> tuple[str, ...]:
    """An agent's rules are proved by that agent's tests alone: `a-b` and `a_b` spell the names of theirs alike."""
    agents = {agent: sites_of(parse_module(module)) for agent, module in bundle.agents.items()}
    tests = {agent: (bundle.agent_tests[agent],) if agent in bundle.agent_tests else () for agent in agents}
    own = {agent: set(_named_tests(tests[agent])) & set(passed) for agent in agents}
    shared = set(passed).difference(*own.values())
    unproved = _without_proof(rule_sites(bundle, agents=False), bundle.tests, shared)
    for agent, sites in agents.items():
        unproved += _without_proof(sites, tests[agent], own[agent])
    return tuple(sorted(unproved))


def _without_proof(rules: Iterable[str], tests: Iterable[Module], passed: set[str]) -> list[str]:
    names = {test.rpartition(".")[2] for test in passed}
    named = {name for module in tests for name in _QUOTED.findall(module.source)}
    return [
        rule
        for rule in rules
        if rule not in named
        or any(f"test_{way}_{re.sub('[.-]', '_', rule)}" not in names for way in ("fires", "quiet"))
    ]
