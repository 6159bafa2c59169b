"""Hand-overs: each missing obligation is named, and silence never passes."""

import msgspec
import pytest
from worker_doubles import CLASSES, HEAD, INTENT, OPERATOR, change, changed

from bywire.agents import contract, planner
from bywire.evidence import provenance
from bywire.model.errors import EvidenceError

PLAN = contract.check_plan(
    planner.plan("goal", change(changed("web/app.py", 1)), INTENT, OPERATOR, path_classes=CLASSES), commit=HEAD
)
OUTCOME = {"command": ["make"], "exit_code": 0, "timed_out": False, "seconds": 0.1, "isolation": "none"}
CHANGE_SET = {
    "service": "web",
    "branch": "feature",
    "base_commit": "b" * 40,
    "commit": HEAD,
    "files": [],
    "authors": [],
    "patch_authors": [],
    "migrations": [],
    "pipeline_changes": [],
    "asset_changes": [],
    "intent_changes": [],
    "build": OUTCOME,
    "lint": OUTCOME,
    "artifact_manifest": [{"path": "web/app.py", "sha256": "a" * 64, "bytes": 1}],
    "manifests": [],
    "assets": [],
}
TESTS = {
    "passed": 3,
    "failed": 0,
    "errors": 0,
    "skipped": 0,
    "timed_out": False,
    "property_tests": 0,
    "fault_injections": 0,
    "changed_lines": 1,
    "coverage_changed_lines": 1.0,
    "removed_tests": 0,
    "isolation": "none",
}
REPORT = {
    "service": "web",
    "commit": HEAD,
    "run": OUTCOME,
    "tests": TESTS,
    "coverage": [{"path": "web/app.py", "covered": 1, "executable": 1}],
    "failures": [],
    "removed": [],
    "newly_skipped": [],
    "unmeasured": [],
    "notes": [],
}


def test_good_deliverables_pass():
    assert contract.check_change_set(CHANGE_SET, PLAN).commit == HEAD
    assert contract.check_verification(REPORT, None, PLAN).tests.passed == 3


@pytest.mark.parametrize(
    ("change_set", "text"),
    [
        ({**CHANGE_SET, "build": {**OUTCOME, "exit_code": 2}}, "build command ended with code 2"),
        ({**CHANGE_SET, "lint": {**OUTCOME, "timed_out": True}}, "lint command ran out of time"),
        ({**CHANGE_SET, "commit": "d" * 40}, "about commit dddddddddddd"),
        ({**CHANGE_SET, "artifact_manifest": []}, "no file for the artifact"),
    ],
)
def test_a_change_set_owes_a_build_a_lint_and_the_right_commit(change_set, text):
    with pytest.raises(EvidenceError, match=text) as caught:
        contract.check_change_set(change_set, PLAN)
    assert caught.value.code == "obligation_missing"
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("report", "text"),
    [
        ({**REPORT, "tests": {**TESTS, "failed": 1}, "failures": ["t.a"]}, r"all tests pass.*failing: t\.a"),
        ({**REPORT, "tests": {**TESTS, "timed_out": True}}, "all tests pass"),
        ({**REPORT, "run": {**OUTCOME, "exit_code": 1}}, "all tests pass"),
        ({**REPORT, "tests": {**TESTS, "removed_tests": 1}}, "no existing test is removed"),
        ({**REPORT, "tests": {**TESTS, "passed": 0}}, "at least one passing test"),
        ({**REPORT, "coverage": [{"path": "web/app.py", "covered": 7, "executable": 10}]}, r"measured 0\.7"),
        ({**REPORT, "coverage": []}, r"web/app\.py.*not measured"),
        ({**REPORT, "commit": "d" * 40}, "about commit"),
    ],
)
def test_verification_stops_below_any_criterion(report, text):
    with pytest.raises(EvidenceError, match=text) as caught:
        contract.check_verification(report, None, PLAN)
    assert caught.value.code == "obligation_missing"


def test_a_missing_evaluation_is_unmet_and_a_bad_one_too():
    plan = contract.check_plan(
        planner.plan(
            "goal",
            change(changed("web/app.py", 1)),
            msgspec.structs.replace(INTENT, evaluate=INTENT.test),
            OPERATOR,
            path_classes=CLASSES,
        ),
        commit=HEAD,
    )
    with pytest.raises(EvidenceError, match="not measured"):
        contract.check_verification(REPORT, None, plan)
    scored = {
        "service": "web",
        "commit": HEAD,
        "run": OUTCOME,
        "evaluation": {"cases": 10, "passed": 9},
        "jailbreak": {"cases": 2, "refused": 1},
        "failures": [],
    }
    with pytest.raises(EvidenceError, match="jailbreak"):
        contract.check_verification(REPORT, scored, plan)
    assert contract.check_verification(REPORT, {**scored, "jailbreak": {"cases": 2, "refused": 2}}, plan)
    for impossible in ({"cases": 2, "refused": 3}, {"cases": 0, "refused": 0}):
        with pytest.raises(EvidenceError, match="jailbreak"):
            contract.check_verification(REPORT, {**scored, "jailbreak": impossible}, plan)


@pytest.mark.parametrize(
    "changes",
    [{"acceptance": []}, {"policies": []}, {"tier_reasons": []}, {"commit": "d" * 40}, {"tier": "none"}, {"x": 1}],
)
def test_a_plan_owes_criteria_policies_and_reasons(changes):
    whole = planner.plan("goal", change(changed("web/app.py", 1)), INTENT, OPERATOR, path_classes=CLASSES)
    with pytest.raises(EvidenceError):
        contract.check_plan({**whole, **changes}, commit=HEAD)


def test_a_build_owes_a_bill_about_its_artifact():
    source = provenance.Resource(digest={"gitCommit": HEAD})
    made = provenance.predicate("t", {}, {}, [source], invocation_id="i", started_ms=0, finished_ms=0)
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {}, "components": []}
    with pytest.raises(EvidenceError, match="another artifact"):
        contract.check_build(bom, made, "a" * 64, PLAN)
    about = {"metadata": {"component": {"hashes": [{"alg": "SHA-256", "content": "a" * 64}]}}}
    with pytest.raises(EvidenceError, match="0% complete"):
        contract.check_build({**bom, **about}, made, "a" * 64, PLAN)
