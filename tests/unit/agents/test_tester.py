"""The Tester: what ran is reported, what did not run is not; removed and silenced tests are seen."""

import json

import msgspec
import pytest
from worker_doubles import INTENT, World, change, changed

from bywire.agents import inventory, tester
from bywire.model.errors import EvidenceError, WorkError
from bywire.model.intent import Command

JUNIT = b"<testsuite><testcase name='test_a'/><testcase name='test_fault_slow'/><testcase name='test_sum'/></testsuite>"
COVERAGE = json.dumps({"files": {"web/app.py": {"executed_lines": [1], "missing_lines": [2]}}}).encode()
WRITTEN = {"reports/junit.xml": JUNIT, "reports/coverage.json": COVERAGE}
HEAD = {
    "web/app.py": b"x = 1\ny = 2\n",
    "tests/test_app.py": b"def test_a(): ...\n\n@given(\n  st.integers()\n)\n@settings()\ndef test_sum(n): ...\n",
}


def verify(head=None, base=None, test=(0, WRITTEN, "ok"), intent=INTENT, **scripts):
    world = World(head or HEAD, base or HEAD, {("run-tests",): test, **{(k,): v for k, v in scripts.items()}})
    found = tester.verify(
        change(changed("web/app.py", 1, 2)),
        intent,
        repository=world.repository,
        worktrees=world.worktrees,
        sandbox=world,
    )
    return found, world


def counted(*args, **kwargs):
    return verify(*args, **kwargs)[0].test_report["tests"]


def test_a_good_run_is_reported_whole_under_its_time_limit():
    found, world = verify()
    assert found.test_report["tests"] == {
        "passed": 3,
        "failed": 0,
        "errors": 0,
        "skipped": 0,
        "timed_out": False,
        "property_tests": 1,
        "fault_injections": 1,
        "changed_lines": 2,
        "coverage_changed_lines": 0.5,
        "removed_tests": 0,
        "isolation": "namespaces",
    }
    assert world.ran == [(("run-tests",), 9)]
    assert found.evaluation_report is None


@pytest.mark.parametrize(
    ("outcome", "head", "note"),
    [
        ((0, {}, ""), None, "wrote no report at reports/junit.xml"),
        ((0, {"reports/coverage.json": COVERAGE}, ""), {**HEAD, "reports/junit.xml": JUNIT}, "is committed"),
        ((0, {"reports/junit.xml": b"<testsuite/>"}, ""), None, "no test case"),
    ],
)
def test_a_run_without_its_own_report_passed_nothing(outcome, head, note):
    report = verify(head=head, test=outcome)[0].test_report
    assert (report["tests"]["passed"], report["tests"]["errors"]) == (0, 1)
    assert note in report["notes"][0]


def test_a_bad_exit_without_failing_cases_is_an_error_and_a_timeout_says_so():
    assert counted(test=(2, WRITTEN, ""))["errors"] == 1
    timed_out = counted(test=(-1, {}, ""))
    assert (timed_out["timed_out"], timed_out["errors"]) == (True, 1)


def test_coverage_data_is_turned_into_the_declared_report_by_its_own_tool():
    argv = ("python", "-m", "coverage", "run", "-m", "pytest")
    intent = msgspec.structs.replace(INTENT, test=msgspec.structs.replace(INTENT.test, run=argv))
    world = World(HEAD, HEAD, {argv: (0, {"reports/junit.xml": JUNIT}, "")})
    convert = ("python", "-m", "coverage", "json", "-q", "-o", "reports/coverage.json")
    world.scripts[convert] = (0, {"reports/coverage.json": COVERAGE}, "")
    found = tester.verify(
        change(changed("web/app.py", 1)), intent, repository=world.repository, worktrees=world.worktrees, sandbox=world
    )
    assert found.test_report["tests"]["coverage_changed_lines"] == 1.0


def test_removed_and_silenced_tests_are_counted_and_named():
    head = {**HEAD, "tests/test_app.py": b"@pytest.mark.skip\ndef test_a(): ...\n"}
    report = verify(head=head)[0].test_report
    assert report["removed"] == ["test_sum"]
    assert report["newly_skipped"] == ["tests/test_app.py"]
    assert report["tests"]["removed_tests"] == 2


@pytest.mark.parametrize(
    ("base", "head", "lost"),
    [
        ({"tests/a.py": b"def test_a(): ..."}, {"tests/b.py": b"def test_a(): ..."}, 0),
        ({"tests/a.py": b"def test_a(): ..."}, {"tests/a.py": b'"""\ndef test_a(): ...\n"""'}, 1),
        ({"tests/a.py": b"def test_a(): ..."}, {"tests/a.py": b"# def test_a(): ..."}, 1),
        ({"tests/a.py": b"def test_a(): ..."}, {"tests/a.py": b"async def test_a(): ..."}, 0),
        ({"tests/a.py": b"def test_a(): ...\ndef test_a(): ..."}, {"tests/a.py": b"def test_a(): ..."}, 1),
        ({"a.test.ts": b"it('adds', () => {})"}, {"a.test.ts": b"it.skip('adds', () => {})"}, 2),
        ({"a.test.ts": b"it('a', f); test('b', f)"}, {"a.test.ts": b"it.only('a', f); test('b', f)"}, 2),
        ({"a.test.ts": b"it('adds', f)"}, {"a.test.ts": b"// it('adds', f)"}, 1),
        ({"a_test.go": b"func TestA(t *testing.T) {}"}, {"a_test.go": b"func TestA(t *testing.T) { t.Skip() }"}, 1),
        ({"a_test.go": b"func TestA(t *testing.T) {}"}, {}, 1),
        ({"pytest.ini": b"[pytest]"}, {"pytest.ini": b"[pytest]\naddopts = --deselect tests/a.py::test_a"}, 1),
        ({"tests/conftest.py": b""}, {"tests/conftest.py": b"collect_ignore = ['a.py']"}, 1),
        ({}, {"tests/a.py": b"def test_new(): ..."}, 0),
        ({"src/app.py": b"def test_mode(): ..."}, {}, 0),
    ],
)
def test_the_scan_sees_what_is_gone_or_off(base, head, lost):
    assert inventory.lost(inventory.take(base), inventory.take(head)).count == lost


EVALUATING = msgspec.structs.replace(INTENT, evaluate=Command(run=("evaluate",), timeout_seconds=5))
GOOD = '{"evaluation": {"cases": 4, "passed": 3}, "jailbreak": {"cases": 2, "refused": 2}, "failures": ["x"]}'


def test_the_evaluation_is_reported_with_its_counts():
    report = verify(intent=EVALUATING, evaluate=(0, {}, GOOD))[0].evaluation_report
    assert (report["evaluation"], report["jailbreak"]) == ({"cases": 4, "passed": 3}, {"cases": 2, "refused": 2})


@pytest.mark.parametrize(
    "outcome",
    [
        (1, {}, GOOD),
        (-1, {}, GOOD),
        (0, {}, "log line\n" + GOOD),
        (0, {}, GOOD.replace('"passed": 3', '"passed": 5')),
        (0, {}, GOOD.replace('"cases": 2', '"cases": -1')),
        (0, {}, GOOD.replace('"failures"', '"extra"')),
        (0, {}, "[" * 100_000),
        (0, {}, ""),
    ],
)
def test_an_unusable_evaluation_is_a_work_error(outcome):
    with pytest.raises(WorkError) as caught:
        verify(intent=EVALUATING, evaluate=outcome)
    assert caught.value.code == "evaluate_failed"


def test_a_service_without_tests_cannot_be_verified():
    with pytest.raises(EvidenceError) as caught:
        verify(intent=msgspec.structs.replace(INTENT, test=None))
    assert caught.value.code == "test_command_missing"
