"""The hand-over checks between roles: whoever made a deliverable, these obligations hold before the next role takes it.

Each check reads the deliverable strictly and raises EvidenceError `obligation_missing` naming what is not there.
"""

from collections.abc import Sequence

from bywire.agents.acceptance import measures, unmet
from bywire.evidence import provenance as slsa
from bywire.evidence.deliverables import (
    AcceptanceTest,
    ChangeSet,
    CommandOutcome,
    EvaluationReport,
    Plan,
    TestReport,
    read,
)
from bywire.evidence.sbom_completeness import facts_of
from bywire.model.errors import EvidenceError
from bywire.model.json_value import JsonObject


def check_plan(predicate: JsonObject, *, commit: str) -> Plan:
    """Planner -> Coder: acceptance tests, policy ids and evidence targets for exactly this commit."""
    plan = read(predicate, Plan)
    _same_commit("plan", plan.commit, commit)
    if not plan.acceptance:
        raise _missing("the plan names no acceptance test", "the Planner must say how success is measured")
    if not plan.policies:
        raise _missing("the plan names no policy to satisfy", "the Planner must name the gate's rules")
    if not plan.tier_reasons:
        raise _missing("the plan gives no reason for its risk tier", "the Planner must say why the tier is what it is")
    return plan


def check_change_set(predicate: JsonObject, plan: Plan) -> ChangeSet:
    """Coder -> Tester: the change builds and lints, and the artifact's files are listed."""
    change_set = read(predicate, ChangeSet)
    _same_commit("change set", change_set.commit, plan.commit)
    _must_succeed("build", change_set.build)
    _must_succeed("lint", change_set.lint)
    if not change_set.artifact_manifest:
        raise _missing(
            "the change set lists no file for the artifact",
            "correct `artifact.include` in bywire.yaml on the base branch",
        )
    return change_set


def check_verification(tests: JsonObject, evaluation: JsonObject | None, plan: Plan) -> TestReport:
    """Tester -> Auditor: every acceptance test of the plan is measured and met."""
    report = read(tests, TestReport)
    scored = read(evaluation, EvaluationReport) if evaluation is not None else None
    _same_commit("test report", report.commit, plan.commit)
    if scored is not None:
        _same_commit("evaluation report", scored.commit, plan.commit)
    measured = measures(report, scored)
    short = unmet(plan.acceptance, measured)
    if short:
        raise _missing(_shortfall(short, measured, report), "correct the change or its tests, then deliver again")
    return report


def check_build(sbom: JsonObject, provenance: JsonObject, artifact: str, plan: Plan) -> None:
    """Builder -> Auditor: the SBOM is about this artifact and complete enough, the provenance names this commit."""
    judged = facts_of(sbom, artifact)
    if not judged.subject_matches:
        raise _missing("the SBOM is about another artifact", "build again")
    if judged.completeness < plan.targets.sbom_completeness:
        gaps = ", ".join(f"{name} of {count}" for name, count in judged.missing.items())
        raise _missing(
            f"the SBOM is {judged.completeness:.0%} complete, {plan.targets.sbom_completeness:.0%} is required"
            f" (components without: {gaps})",
            "declare the project's licence in its package file and lock dependencies with hashes",
        )
    _same_commit("provenance", slsa.parse(provenance).source_commit, plan.commit)


def _shortfall(short: Sequence[AcceptanceTest], measured: dict[str, float], report: TestReport) -> str:
    lines = [
        f"{test.says} (measured {measured[test.measure]:g})"
        if test.measure in measured
        else f"{test.says} (not measured)"
        for test in short[:5]
    ]
    failures = f"; failing: {', '.join(report.failures[:3])}" if report.failures else ""
    causes = ["the test command ran out of time"] if report.tests.timed_out else report.notes[:2]
    return f"{''.join(f'{cause}; ' for cause in causes)}not met: {'; '.join(lines)}{failures}"


def _must_succeed(name: str, outcome: CommandOutcome | None) -> None:
    if outcome is None or (outcome.exit_code == 0 and not outcome.timed_out):
        return
    how = "ran out of time" if outcome.timed_out else f"ended with code {outcome.exit_code}"
    raise _missing(f"the {name} command {how}", f"run `{' '.join(outcome.command)}` and correct what it reports")


def _same_commit(what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise _missing(
            f"the {what} is about commit {found[:12] or '(none)'}, not {wanted[:12]}", "deliver the branch's head again"
        )


def _missing(what: str, next_step: str) -> EvidenceError:
    return EvidenceError(what, code="obligation_missing", next_step=next_step)
