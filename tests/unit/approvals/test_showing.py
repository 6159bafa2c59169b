"""What a packet tells in words: risks, evidence, other ways, the exact call."""

from bywire.approvals.showing import alternatives, evidence_summary, exact_call, proposed_state, risk_flags


def test_risks_are_what_raised_the_tier():
    obligations = (
        {"kind": "redact"},
        {
            "kind": "tier",
            "tier": "high",
            "because": [
                {"by": "path_class", "value": "deploy/app.yaml"},
                {"by": "path_class", "value": "deploy/app.yaml"},
                {"by": "malformed_paths", "value": None},
            ],
        },
    )
    assert risk_flags(obligations) == ("path class: deploy/app.yaml", "malformed paths")
    assert risk_flags(()) == risk_flags(({"kind": "tier", "because": []},)) == ()


def test_evidence_is_said_in_words():
    facts = {
        "tests": {"passed": 41, "failed": 1, "coverage_changed_lines": 0.931},
        "evaluation": {"cases": 40, "passed": 39},
        "sbom": {"completeness": 0.98},
        "provenance": {"level": 1},
        "vsa": {"passed": True},
    }
    assert evidence_summary(facts) == (
        "tests: 41 passed, 1 failed",
        "coverage of changed lines: 93%",
        "evaluation: 39 of 40 cases pass",
        "SBOM: 98% complete",
        "provenance: SLSA L1",
        "gate: PASSED",
    )
    assert evidence_summary({}) == evidence_summary({"tests": None, "vsa": None}) == ()
    assert evidence_summary({"vsa": {"passed": False}}) == ("gate: FAILED",)


def test_there_is_always_another_way():
    assert alternatives("anything", "") == ("do nothing: the target stays as it is now",)
    assert any("narrower plan" in text for text in alternatives("start_rollout", "bywire rollback"))
    assert alternatives("x", "bywire rollback")[-1].endswith("bywire rollback")


def test_the_call_is_exact_and_the_proposal_is_short():
    action = {"tool": "set_canary_weight", "parameters": {"weight": 5, "artifact": "a" * 64, "segments": ["ios"]}}
    assert exact_call(action) == f'set_canary_weight({{"artifact":"{"a" * 64}","segments":["ios"],"weight":5}})'
    assert proposed_state(action) == 'artifact aaaaaaaaaaaa, segments ["ios"], weight 5'
