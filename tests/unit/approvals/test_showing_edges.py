"""What a person reads beside what they bind, word for word, and with the facts half there."""

import pytest

from bywire.approvals.showing import alternatives, evidence_summary, exact_call, proposed_state, risk_flags

NOTHING = "do nothing: the target stays as it is now"


@pytest.mark.parametrize(
    ("because", "says"),
    [
        ([{"by": "path_class", "value": "a.yaml"}], ("path class: a.yaml",)),
        ([{"by": "a_b_c", "value": ""}, {"by": "a_b_c"}], ("a b c",)),
        ([{"value": "x"}], (": x",)),
        ([{"by": "n", "value": 0}], ("n: 0",)),
        ([{"by": "n", "value": ["a", 1]}], ('n: ["a",1]',)),
        (["in words", 5], ("in words", "5")),
        ([{"by": "artifact", "value": "a" * 64}], ("artifact: " + "a" * 12,)),
        (None, ()),
    ],
)
def test_why_the_tier_is_what_it_is(because, says):
    assert risk_flags([{"kind": "tier", "because": because}]) == says
    assert risk_flags([{"kind": "approval", "because": because}]) == ()


def test_a_list_of_reasons_is_short_and_says_nothing_twice():
    many = [{"by": f"reason {number}"} for number in range(40)]
    assert risk_flags([{"kind": "tier", "because": many}]) == tuple(f"reason {number}" for number in range(32))
    assert risk_flags([{"kind": "tier", "because": many[:32]}, {"kind": "tier", "because": many[:2]}]) == tuple(
        f"reason {number}" for number in range(32)
    )
    assert risk_flags([{"kind": "tier", "because": ["b", "a", "b"]}]) == ("b", "a")
    assert risk_flags([{"kind": "tier"}]) == risk_flags([{}]) == ()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"tests": {"failed": 2}}, ("tests: 0 passed, 2 failed",)),
        ({"tests": {"passed": 2}}, ("tests: 2 passed, 0 failed",)),
        (
            {"tests": {"passed": 1, "coverage_changed_lines": 1}},
            ("tests: 1 passed, 0 failed", "coverage of changed lines: 100%"),
        ),
        (
            {"tests": {"passed": 1, "coverage_changed_lines": 0.5}},
            ("tests: 1 passed, 0 failed", "coverage of changed lines: 50%"),
        ),
        ({"tests": {"passed": 1, "coverage_changed_lines": None}}, ("tests: 1 passed, 0 failed",)),
        ({"tests": {"passed": 1, "coverage_changed_lines": "high"}}, ("tests: 1 passed, 0 failed",)),
        ({"evaluation": {"cases": 3}}, ("evaluation: 0 of 3 cases pass",)),
        ({"evaluation": {"passed": 3}}, ("evaluation: 3 of 0 cases pass",)),
        ({"sbom": {"completeness": 1}}, ("SBOM: 100% complete",)),
        ({"sbom": {"tool": "x"}}, ("SBOM: 0% complete",)),
        ({"provenance": {"level": 3}}, ("provenance: SLSA L3",)),
        ({"provenance": {"builder": "x"}}, ("provenance: SLSA L0",)),
        ({"vsa": {"passed": True}}, ("gate: PASSED",)),
        ({"vsa": {"passed": False}}, ("gate: FAILED",)),
        ({"vsa": {"level": 3}}, ("gate: FAILED",)),
        ({"vsa": {"passed": 1}}, ("gate: FAILED",)),
        ({"vsa": {}}, ()),
        (dict.fromkeys(("tests", "evaluation", "sbom", "provenance", "vsa")), ()),
    ],
)
def test_the_evidence_in_words(facts, says):
    assert evidence_summary(facts) == says


@pytest.mark.parametrize(
    ("tool", "instead"),
    [
        ("start_rollout", "a narrower plan"),
        ("start_runbook", "a runbook with fewer steps"),
        ("promote_release", "leave the canary"),
        ("set_canary_weight", "a lower weight"),
        ("rollback_release", "hold the present weight"),
    ],
)
def test_every_tool_that_moves_traffic_has_its_own_way_out(tool, instead):
    nothing, other = alternatives(tool, "")
    assert nothing == NOTHING
    assert other.startswith(instead)
    assert alternatives(tool, "bywire rollback") == (nothing, other, "agree, and undo it later: bywire rollback")


def test_any_other_tool_may_be_left_alone():
    assert alternatives("x", "") == (NOTHING,)
    assert alternatives("x", "y") == (NOTHING, "agree, and undo it later: y")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"b": 2, "a": 1}, "a 1, b 2"),
        ({"a": "", "b": None, "c": 0, "d": False}, "c 0, d false"),
        ({"a": "a" * 64}, "a " + "a" * 12),
        ({"a": "0" * 40}, "a " + "0" * 12),
        ({"a": "a" * 41}, "a " + "a" * 41),
        ({"a": "a" * 39}, "a " + "a" * 39),
        ({"a": "a" * 65}, "a " + "a" * 65),
        ({"a": "g" * 64}, "a " + "g" * 64),
        ({"a": "X" * 40}, "a " + "X" * 40),
        ({"a": "a" * 63 + "g"}, "a " + "a" * 63 + "g"),
        ({"a": ["ios"]}, 'a ["ios"]'),
        ({"a": "0123456789abcdef" * 4}, "a 0123456789ab"),
        ({}, ""),
    ],
)
def test_the_state_that_is_asked_for(values, says):
    assert proposed_state({"parameters": values}) == says
    assert proposed_state({}) == ""


def test_the_call_as_it_would_run():
    assert exact_call({"tool": "t", "parameters": {"b": 1, "a": "x"}}) == 't({"a":"x","b":1})'
    assert exact_call({}) == "({})"
