"""The Planner: the tier only rises, criteria are measurable, policies fit the service."""

import msgspec
import pytest
from worker_doubles import CLASSES, HEAD, INTENT, OPERATOR, change, changed

from bywire.agents import planner
from bywire.agents.contract import check_plan
from bywire.model.errors import EvidenceError
from bywire.model.intent import Command, Segments


def plan(*files, goal="faster quotes", intent=INTENT, operator=OPERATOR, **options):
    return planner.plan(goal, change(*files), intent, operator, path_classes=CLASSES, **options)


def operator(**changes):
    return msgspec.structs.replace(OPERATOR, **changes)


@pytest.mark.parametrize(
    ("path", "setting", "tier"),
    [
        ("README.md", {}, "low"),
        ("README.md", {"tier_floor": "trivial"}, "trivial"),
        ("README.md", {"criticality": "payment", "tier_floor": "trivial"}, "trivial"),
        ("web/app.py", {"criticality": "internal"}, "low"),
        ("web/app.py", {}, "medium"),
        ("web/app.py", {"criticality": "payment"}, "high"),
        ("web/app.py", {"criticality": "unheard-of"}, "high"),
        ("README.md", {"tier_floor": "unheard-of"}, "high"),
        (".github/workflows/ci.yml", {}, "high"),
        ("deploy/web.yaml", {}, "high"),
        ("bywire.yaml", {}, "high"),
        ("web/migrations/0002_x.py", {}, "high"),
    ],
)
def test_the_highest_reason_sets_the_tier(path, setting, tier):
    found = plan(changed(path, 1), operator=operator(**setting))
    assert found["tier"] == tier
    assert tier in {reason["tier"] for reason in found["tier_reasons"]}


def test_criteria_name_modules_and_limits():
    intent = msgspec.structs.replace(INTENT, evaluate=Command(run=("e",)), assets=("assets/a.json",))
    found = plan(changed("web/quotes.py", 1, 2), changed("tests/test_quotes.py", 1), intent=intent)
    says = [item["says"] for item in found["acceptance"]]
    assert "changed lines of web/quotes.py are covered >= 80%" in says
    assert "assistant answers >= 90% of evaluation cases" in says
    assert not any("tests/test_quotes.py are covered" in text for text in says)
    assert "gate.asset_provenance_stale" in found["policies"]


def test_high_tier_asks_for_property_tests_and_fault_injection():
    measures = {item["measure"] for item in plan(changed("deploy/a.yaml", 1))["acceptance"]}
    assert {"tests.property_tests", "tests.fault_injections"} <= measures


def test_policies_follow_what_the_service_has():
    found = plan(changed("web/app.py", 1))
    assert "gate.network_policy_missing" not in found["policies"]
    with_manifests = msgspec.structs.replace(INTENT, manifests="deploy/")
    assert "gate.network_policy_missing" in plan(changed("web/app.py", 1), intent=with_manifests)["policies"]


def test_segments_dependencies_and_loosened_fields_are_carried():
    intent = msgspec.structs.replace(
        INTENT, segments=Segments("x-client", ("ios", "android")), dependencies=("card-network", "search")
    )
    found = plan(
        changed("web/app.py", 1), goal="survive a slow card network", intent=intent, loosened=["rollout.steps"]
    )
    assert (found["segments"], found["dependencies"], found["loosened"]) == (
        ["ios", "android"],
        ["card-network"],
        ["rollout.steps"],
    )


@pytest.mark.parametrize(
    ("goal", "files", "code"), [(" \n", [changed("a", 1)], "goal_missing"), ("g", [], "change_empty")]
)
def test_without_goal_or_change_there_is_no_plan(goal, files, code):
    with pytest.raises(EvidenceError) as caught:
        plan(*files, goal=goal)
    assert caught.value.code == code


def test_the_same_input_gives_the_same_plan_and_it_passes_its_own_hand_over():
    first, second = plan(changed("web/app.py", 1)), plan(changed("web/app.py", 1))
    assert first == second
    assert check_plan(first, commit=HEAD).goal == "faster quotes"


def test_a_source_file_whose_lines_git_cannot_tell_still_has_to_be_covered():
    hidden = msgspec.structs.replace(changed("web/late.py"), binary=True)
    gone = msgspec.structs.replace(changed("web/gone.py", status="D"), binary=True)
    measures = [test["measure"] for test in plan(changed("web/app.py", 1), hidden, gone)["acceptance"]]
    assert "coverage:web/late.py" in measures
    assert "coverage:web/gone.py" not in measures
