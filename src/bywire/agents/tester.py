"""The built-in Tester: runs the service's own tests and evaluation in a clean worktree and reports what really ran.

Cases come from the JUnit file that this run wrote, never from a committed one. Only passed cases count as evidence: a
property test has the word `property` in its name, class or file, or runs over generated inputs (hypothesis `@given`, Go
fuzz tests); a fault injection has the word `fault`. A run that ends badly without a failing case counts as one error.
Tests are compared with the base by reading both trees (`inventory`).
"""

import contextlib
from typing import Annotated

import msgspec

from bywire.agents import inventory
from bywire.agents.commands import Log, Ran, run
from bywire.agents.ports import Repository, Sandbox, Worktree, Worktrees
from bywire.evidence import coverage, junit
from bywire.evidence.deliverables import (
    CaseScore,
    EvaluationReport,
    FileCoverage,
    JailbreakScore,
    TestFacts,
    TestReport,
    plain,
)
from bywire.evidence.path_classes import is_test
from bywire.model.change import Change
from bywire.model.errors import EvidenceError, WorkError
from bywire.model.intent import Command, ServiceIntent
from bywire.model.json_value import JsonObject

LISTED_MAX = 50
EVALUATION_BYTES_MAX = 262_144
FAILURE_CHARACTERS_MAX = 300
_COVERAGE_FORMATS = {".json": "json", ".xml": "xml", ".lcov": "lcov"}


class Verification(msgspec.Struct, frozen=True):
    """Test report and evaluation report predicates (None without an evaluate command), and what commands printed."""

    test_report: JsonObject
    evaluation_report: JsonObject | None
    logs: tuple[Log, ...]


class _Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    evaluation: CaseScore
    jailbreak: JailbreakScore
    failures: Annotated[list[object], msgspec.Meta(max_length=1_000)] = []


def verify(
    change: Change, intent: ServiceIntent, *, repository: Repository, worktrees: Worktrees, sandbox: Sandbox
) -> Verification:
    """Test and evaluate the head of `change` under `intent` (of the protected base revision).

    Raises EvidenceError `test_command_missing`, WorkError `evaluate_failed`; failing tests are a report, not an error.
    """
    if intent.test is None:
        raise EvidenceError(
            "bywire.yaml declares no test command",
            code="test_command_missing",
            next_step="add `commands.test` with a JUnit report to bywire.yaml on the base branch",
        )
    with worktrees(change.head_commit) as worktree:
        paths = [item.path for item in worktree.files() if is_test(item.path)]
        generative = inventory.property_tests({path: worktree.read_file(path) or b"" for path in paths})
        ran = run("test", intent.test, worktree, sandbox)
        report, seen, notes = _reports(intent.test, change, repository, worktree, sandbox)
    lost = _lost_tests(change, repository)
    test_report = TestReport(
        service=intent.service,
        commit=change.head_commit,
        run=ran.outcome,
        tests=_facts(ran, report, seen, generative, lost.count),
        coverage=[FileCoverage(item.path, item.covered, item.executable) for item in seen.files] if seen else [],
        failures=list(report.failures[:LISTED_MAX]) if report else [],
        removed=list(lost.removed),
        newly_skipped=list(lost.newly_skipped),
        unmeasured=list(seen.unmeasured[:LISTED_MAX]) if seen else [],
        notes=notes,
    )
    logs = [ran.log]
    evaluation = None
    if intent.evaluate is not None and ran.succeeded:
        with worktrees(change.head_commit) as worktree:
            evaluated = run("evaluate", intent.evaluate, worktree, sandbox)
        logs.append(evaluated.log)
        evaluation = plain(_evaluation(change, intent, evaluated))
    return Verification(test_report=plain(test_report), evaluation_report=evaluation, logs=tuple(logs))


def _reports(
    command: Command, change: Change, repository: Repository, worktree: Worktree, sandbox: Sandbox
) -> tuple[junit.JunitReport | None, coverage.ChangedLines | None, list[str]]:
    report = seen = None
    notes = []
    try:
        report = junit.parse(_written(command.junit, change, repository, worktree))
    except EvidenceError as error:
        notes.append(error.message)
    if command.coverage:
        with contextlib.suppress(WorkError):
            # `coverage run` leaves its data in .coverage; without a report file, its own tool writes the one declared.
            _convert_coverage(command, worktree, sandbox)
        try:
            data = _written(command.coverage, change, repository, worktree)
            seen = coverage.changed_lines(change, coverage.parse(data, command.coverage, str(worktree.root)))
        except EvidenceError as error:
            notes.append(error.message)
    return report, seen, notes


def _written(path: str, change: Change, repository: Repository, worktree: Worktree) -> bytes:
    data = worktree.read_file(path) if path else None
    if data is None:
        raise EvidenceError(
            f"the test command wrote no report at {path or '(no path declared)'}",
            code="report_missing",
            next_step="check `junit:` and `coverage:` of commands.test in bywire.yaml",
        )
    if data == repository.read(change.head_commit, path):
        raise EvidenceError(
            f"{path} is committed and this run did not write it",
            code="report_missing",
            next_step=f"remove {path} from the repository; reports are made by the run they report on",
        )
    return data


def _convert_coverage(command: Command, worktree: Worktree, sandbox: Sandbox) -> None:
    argv = command.run
    kind = next((kind for suffix, kind in _COVERAGE_FORMATS.items() if command.coverage.endswith(suffix)), "")
    by_module = argv[1:4] == ("-m", "coverage", "run")
    by_name = argv[:2] == ("coverage", "run")
    if not kind or not (by_module or by_name) or worktree.read_file(command.coverage) is not None:
        return
    tool = argv[:3] if by_module else argv[:1]
    sandbox.run((*tool, kind, "-q", "-o", command.coverage), cwd=worktree.root, timeout_seconds=command.timeout_seconds)


def _facts(
    ran: Ran,
    report: junit.JunitReport | None,
    seen: coverage.ChangedLines | None,
    generative: frozenset[str],
    removed_tests: int,
) -> TestFacts:
    failed = report.count("failed") if report else 0
    errors = report.count("error") if report else 0
    if not failed and not errors and (report is None or not ran.succeeded):
        errors = 1
    return TestFacts(
        passed=report.count("passed") if report else 0,
        failed=failed,
        errors=errors,
        skipped=report.count("skipped") if report else 0,
        timed_out=ran.outcome.timed_out,
        property_tests=report.passed_about("property", "properties", names=generative) if report else 0,
        fault_injections=report.passed_about("fault", "faults") if report else 0,
        changed_lines=seen.executable if seen else None,
        coverage_changed_lines=seen.ratio if seen else None,
        removed_tests=removed_tests,
        isolation=ran.outcome.isolation,
    )


def _lost_tests(change: Change, repository: Repository) -> inventory.Lost:
    base = {entry.path: entry.oid for entry in repository.list(change.base_commit) if inventory.reads(entry.path)}
    head = {entry.path: entry.oid for entry in repository.list(change.head_commit) if inventory.reads(entry.path)}
    if max(len(base), len(head)) > inventory.FILES_MAX:
        raise EvidenceError(
            f"more than {inventory.FILES_MAX} test files",
            code="too_many_tests",
            next_step="deliver one service of the repository at a time",
        )

    def taken(commit: str, tree: dict[str, str], other: dict[str, str]) -> inventory.Inventory:
        differing = [path for path, oid in sorted(tree.items()) if other.get(path) != oid]
        return inventory.take({path: repository.read(commit, path) or b"" for path in differing})

    return inventory.lost(
        taken(change.base_commit, base, head),
        taken(change.head_commit, head, base),
    )


def _evaluation(change: Change, intent: ServiceIntent, ran: Ran) -> EvaluationReport:
    output = _evaluate_output(ran)
    return EvaluationReport(
        service=intent.service,
        commit=change.head_commit,
        run=ran.outcome,
        evaluation=output.evaluation,
        jailbreak=output.jailbreak,
        failures=[str(item)[:FAILURE_CHARACTERS_MAX] for item in output.failures[:LISTED_MAX]],
    )


def _evaluate_output(ran: Ran) -> _Output:
    if not ran.succeeded:
        raise _unusable(
            "it ran out of time" if ran.outcome.timed_out else f"it ended with code {ran.outcome.exit_code}"
        )
    text = ran.stdout.encode()
    if len(text) > EVALUATION_BYTES_MAX:
        raise _unusable("it printed too much")
    try:
        output = msgspec.json.decode(text, type=_Output)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unusable(str(error)) from error
    if output.evaluation.passed > output.evaluation.cases or output.jailbreak.refused > output.jailbreak.cases:
        raise _unusable("it reports more successes than cases")
    return output


def _unusable(why: str) -> WorkError:
    return WorkError(
        f"the evaluate command gave no usable result: {why}",
        code="evaluate_failed",
        next_step="it must end with code 0 and print one JSON object with `evaluation` and `jailbreak` counts",
    )
