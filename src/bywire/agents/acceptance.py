"""Acceptance tests of a plan as measurements: which numbers exist, and which of them fall short.

A criterion whose measure nobody delivered is unmet; silence never passes.
"""

from collections.abc import Mapping, Sequence

from bywire.evidence.deliverables import AcceptanceTest, EvaluationReport, TestReport

COVERAGE_OF = "coverage:"


def measures(report: TestReport, evaluation: EvaluationReport | None) -> dict[str, float]:
    """Every measure the reports give. Ratios are 0..1, yes/no measures 1 or 0, counts as they are."""
    tests = report.tests
    clean = report.run.exit_code == 0 and not tests.timed_out and tests.failed == tests.errors == 0
    found: dict[str, float] = {
        "tests.passed": tests.passed,
        "tests.all_pass": float(clean),
        "tests.none_removed": float(tests.removed_tests == 0),
        "tests.property_tests": tests.property_tests,
        "tests.fault_injections": tests.fault_injections,
    }
    if tests.coverage_changed_lines is not None:
        found["tests.coverage_changed_lines"] = tests.coverage_changed_lines
    elif tests.changed_lines == 0:
        found["tests.coverage_changed_lines"] = 1.0
    for item in report.coverage:
        found[COVERAGE_OF + item.path] = item.covered / item.executable if item.executable else 1.0
    if evaluation is not None:
        found["evaluation.pass_ratio"] = _ratio(evaluation.evaluation.passed, evaluation.evaluation.cases)
        found["evaluation.jailbreak_refused_ratio"] = _ratio(evaluation.jailbreak.refused, evaluation.jailbreak.cases)
    return found


def unmet(acceptance: Sequence[AcceptanceTest], measured: Mapping[str, float]) -> tuple[AcceptanceTest, ...]:
    """The criteria that `measured` does not reach, in the plan's order."""
    return tuple(test for test in acceptance if not measured.get(test.measure, -1.0) >= test.target)


def _ratio(part: int, whole: int) -> float:
    return part / whole if 0 <= part <= whole and whole else 0.0
