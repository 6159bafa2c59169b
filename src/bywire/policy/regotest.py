"""Run a bundle's own Rego tests (`*_test.rego`, rules named `test_...`) and say which rules they leave unproved.

A rule id `gate.sbom_missing` is proved by two passing tests that name it: `test_fires_gate_sbom_missing`, where it must
fire, and `test_quiet_gate_sbom_missing`, the nearest question where it must not.
"""

from collections.abc import Mapping

import msgspec
import regorus

from bywire.policy.bundle import Bundle, parse_bundle
from bywire.policy.rego_syntax import parse_module
from bywire.policy.rule_index import rule_sites


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
    return {
        f"data.{module.package}.{rule.name}": str(rule.place)
        for module in map(parse_module, bundle.tests)
        for rule in module.rules
        if rule.name.startswith("test_")
    }


def run(files: Mapping[str, bytes]) -> Report:
    """Run the tests of a bundle given as files.

    Raises PolicyError when the bundle or a test does not parse.
    """
    bundle = parse_bundle(files)
    engine = regorus.Engine()
    for module in (*bundle.modules, *bundle.tests):
        engine.add_policy(module.path, module.source)
    engine.add_data_json(bundle.data_json())
    passed, failed = [], []
    for test, place in tests_of(bundle).items():
        try:
            got = engine.eval_rule_as_json(test)
        except RuntimeError as error:
            got = str(error).split("\n\nStack backtrace")[0]
        if got == "true":
            passed.append(test)
        else:
            failed.append(Failure(test, place, got))
    return Report(tuple(passed), tuple(failed), _unproved(bundle, passed))


def _unproved(bundle: Bundle, passed: list[str]) -> tuple[str, ...]:
    names = {test.rpartition(".")[2] for test in passed}
    named = "".join(module.source for module in bundle.tests)
    return tuple(
        rule
        for rule in sorted(rule_sites(bundle))
        if f'"{rule}"' not in named
        or any(f"test_{way}_{rule.replace('.', '_')}" not in names for way in ("fires", "quiet"))
    )
