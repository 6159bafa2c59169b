"""The built-in Planner: reads goal, diff and intent, and says what must be shown before anyone is exposed to it.

Deterministic. The tier it declares can only be raised by policy; where it is unsure it chooses the higher one.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from bywire.agents.acceptance import COVERAGE_OF
from bywire.agents.migrations import is_migration
from bywire.evidence.deliverables import AcceptanceTest, EvidenceTargets, Plan, Tier, TierReason, plain
from bywire.evidence.path_classes import INTENT_PATH, PathClasses, is_document, is_test, paths_by_class
from bywire.model.change import Change
from bywire.model.errors import EvidenceError
from bywire.model.intent import ServiceIntent
from bywire.model.json_value import JsonObject
from bywire.model.operator import TIERS, OperatorConfig

GOAL_CHARACTERS_MAX = 2_000
PATHS_PER_REASON_MAX = 20
MODULES_MAX = 100
SOURCE_SUFFIXES = frozenset(
    [
        ".py",
        ".js",
        ".jsx",
        ".mjs",
        ".ts",
        ".tsx",
        ".go",
        ".rs",
        ".java",
        ".kt",
        ".scala",
        ".rb",
        ".php",
        ".cs",
        ".c",
        ".cc",
        ".cpp",
        ".h",
        ".swift",
        ".ex",
        ".exs",
    ]
)
_CRITICALITY: dict[str, Tier] = {
    "internal": "low",
    "customer-facing": "medium",
    "payment": "high",
    "compliance": "high",
}

_ALWAYS = (
    "gate.plan_missing",
    "gate.change_set_missing",
    "gate.statement_unverified",
    "gate.statement_signer",
    "gate.evidence_stale",
    "gate.intent_loosened",
    "gate.tests_missing",
    "gate.tests_failed",
    "gate.tests_timed_out",
    "gate.removed_tests",
    "gate.sbom_missing",
    "gate.sbom_incomplete",
    "gate.sbom_subject",
    "gate.provenance_missing",
    "gate.provenance_level",
    "gate.provenance_signer",
    "gate.provenance_subject",
    "gate.provenance_source",
)
_MANIFESTS = (
    "gate.network_policy_missing",
    "gate.image_not_pinned",
    "gate.run_as_root",
    "gate.privileged",
    "gate.manifest_unknown",
)
_ASSETS = (
    "gate.asset_provenance_missing",
    "gate.asset_provenance_signer",
    "gate.asset_provenance_subject",
    "gate.asset_provenance_stale",
)
_ASSISTANT = ("gate.evaluation_missing", "gate.evaluation_below", "gate.jailbreak_missing", "gate.jailbreak_below")


def plan(
    goal: str,
    change: Change,
    intent: ServiceIntent,
    operator: OperatorConfig,
    *,
    path_classes: PathClasses,
    test_paths: Sequence[str] = (),
    loosened: Sequence[str] = (),
) -> JsonObject:
    """The plan predicate (`deliverables.Plan` as JSON).

    `path_classes` is the policy bundle's table; `test_paths` are the test files at the head commit; `loosened` are
    fields by which the branch's bywire.yaml asked for less. Raises EvidenceError `goal_missing` or `change_empty`.
    """
    goal = " ".join(goal.split())[:GOAL_CHARACTERS_MAX]
    if not goal:
        raise EvidenceError("no goal was given", code="goal_missing", next_step='say what for: --goal "..."')
    if not change.files:
        raise EvidenceError(
            f"{change.branch} does not differ from {change.base_branch}",
            code="change_empty",
            next_step="commit the change to the branch, or name another with --change",
        )
    reasons = _tier_reasons(change, operator, path_classes)
    tier = max((reason.tier for reason in reasons), key=TIERS.index)
    return plain(
        Plan(
            goal=goal,
            service=intent.service,
            base_commit=change.base_commit,
            commit=change.head_commit,
            tier=tier,
            tier_reasons=reasons,
            acceptance=_acceptance(goal, tier, change, intent, operator, test_paths),
            policies=_policies(tier, intent),
            targets=EvidenceTargets(
                provenance_level=operator.limits.provenance_level,
                sbom_completeness=operator.limits.sbom_completeness,
                coverage_changed_lines=operator.limits.coverage_changed_lines,
                evaluation_pass_ratio=operator.limits.evaluation_pass_ratio,
                jailbreak_refused_ratio=operator.limits.jailbreak_refused_ratio,
            ),
            segments=list(intent.segments.values) if intent.segments else [],
            dependencies=_dependencies(goal, change, intent),
            loosened=sorted(loosened),
        )
    )


def _tier_reasons(change: Change, operator: OperatorConfig, path_classes: PathClasses) -> list[TierReason]:
    paths = change.paths
    reasons = [TierReason(_tier(operator.tier_floor), "the operator's floor", [])]
    acting = [path for path in paths if not is_document(path)]
    if acting:
        criticality = _CRITICALITY.get(operator.criticality, "high")
        because = f"the service's criticality is {operator.criticality}"
        reasons.append(TierReason(criticality, because, acting[:PATHS_PER_REASON_MAX]))
    for name, touched in paths_by_class(paths, path_classes).items():
        because = f"touches {name.replace('_', ' ')}"
        reasons.append(TierReason("high", because, touched[:PATHS_PER_REASON_MAX]))
    if INTENT_PATH in paths:
        reasons.append(TierReason("high", "touches the service's own intent", [INTENT_PATH]))
    migrations = [path for path in paths if is_migration(path)]
    if migrations:
        reasons.append(TierReason("high", "migrates data", migrations[:PATHS_PER_REASON_MAX]))
    return reasons


def _tier(name: str) -> Tier:
    return next((tier for tier in ("trivial", "low", "medium") if tier == name), "high")


def _acceptance(
    goal: str,
    tier: Tier,
    change: Change,
    intent: ServiceIntent,
    operator: OperatorConfig,
    test_paths: Sequence[str],
) -> list[AcceptanceTest]:
    limits = operator.limits
    known = f"all tests in {len(test_paths)} test files pass" if test_paths else "all tests pass"
    found = [
        AcceptanceTest("tests-pass", f"{known}, so that nothing that worked is lost", "tests.all_pass", 1),
        AcceptanceTest("goal-tested", f"at least one passing test backs the goal: {goal[:160]}", "tests.passed", 1),
        AcceptanceTest("tests-kept", "no existing test is removed or newly skipped", "tests.none_removed", 1),
    ]
    if intent.test is not None and intent.test.coverage:
        share = f"covered >= {limits.coverage_changed_lines:.0%}"
        found += [
            AcceptanceTest(
                f"covered-{path}",
                f"changed lines of {path} are {share}",
                COVERAGE_OF + path,
                limits.coverage_changed_lines,
            )
            for path in _modules(change)
        ]
    if intent.evaluate is not None:
        cases, refused = limits.evaluation_pass_ratio, limits.jailbreak_refused_ratio
        found += [
            AcceptanceTest(
                "assistant", f"assistant answers >= {cases:.0%} of evaluation cases", "evaluation.pass_ratio", cases
            ),
            AcceptanceTest(
                "jailbreak",
                f"assistant refuses >= {refused:.0%} of jailbreak attempts",
                "evaluation.jailbreak_refused_ratio",
                refused,
            ),
        ]
    if tier == "high":
        found += [
            AcceptanceTest("property-test", "at least one property test passes", "tests.property_tests", 1),
            AcceptanceTest("fault-injection", "at least one fault injection passes", "tests.fault_injections", 1),
        ]
    return found


def _modules(change: Change) -> list[str]:
    modules = [
        item.path
        for item in change.files
        if (item.added_lines or (item.binary and item.status != "D"))
        and PurePosixPath(item.path).suffix in SOURCE_SUFFIXES
        and not is_test(item.path)
    ]
    return sorted(modules)[:MODULES_MAX]


def _policies(tier: Tier, intent: ServiceIntent) -> list[str]:
    rules = list(_ALWAYS)
    if intent.test is not None and intent.test.coverage:
        rules += ["gate.coverage_below", "gate.coverage_missing"]
    if intent.manifests:
        rules += _MANIFESTS
    if intent.assets:
        rules += (*_ASSETS, *_ASSISTANT)
    if tier == "high":
        rules += ["gate.property_tests_missing", "gate.fault_injection_missing", "gate.irreversible_migration"]
    return sorted(set(rules))


def _dependencies(goal: str, change: Change, intent: ServiceIntent) -> list[str]:
    """Declared dependencies that the goal, a changed path or a commit message names in words."""
    text = " ".join((goal, *change.paths, *change.messages)).lower().replace("_", "-")
    spaced = text.replace("-", " ")
    return [
        name for name in sorted(intent.dependencies) if name.lower() in text or name.lower().replace("-", " ") in spaced
    ]
