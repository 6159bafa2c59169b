"""What a person is shown, line by line, and what is left unsaid when nothing speaks against."""

import msgspec
import pytest
from gateway_doubles import (
    AGENT,
    ALICE,
    BUNDLE,
    CATALOGUE,
    KEYS,
    LAST_GOOD,
    NOW,
    TRUST,
    WORKSPACE_KEY,
    ask,
    decision,
)

from bywire.approvals.candidate import Candidate, verify_approvals
from bywire.approvals.packet import evidence_digest, packet_id, sign_verdict
from bywire.gateway.canonical import action_json, canonicalise
from bywire.gateway.packets import PLAN_TOOLS, build_packet, superseding
from bywire.gateway.redaction import Redactor
from bywire.model.decision import Effect
from bywire.seal import jcs

GOOD = {
    "tests": {"passed": 1, "isolation": "namespaces"},
    "provenance": {"level": 2},
    "sbom": {"completeness": 1},
    "plan": {"x": 1},
    "vsa": {"passed": True},
}
TARGET = {"version": 7, "stable": LAST_GOOD, "canary": ""}


def action_of(tool="set_canary_weight", values=None, **changes):
    return canonicalise(ask(tool, values, **changes), AGENT, Redactor(WORKSPACE_KEY))


def packet(
    tool="set_canary_weight", values=None, facts=GOOD, obligations=(), prose=None, integrity="trusted", **changes
):
    question = {
        "now_ms": NOW,
        "state": {"target": TARGET, "session": {"integrity": integrity}},
        **({} if facts is None else {"facts": facts}),
    }
    wanted = decision(Effect.APPROVAL_NEEDED, obligations)
    action = action_of(tool, values, **changes)
    contract = CATALOGUE.find(tool)
    return build_packet(
        action, contract, wanted, question, expires_at_ms=NOW + 9, **({} if prose is None else {"prose": prose})
    )


def test_rule_18_everything_a_person_signs_comes_from_what_was_verified():
    evidence = ("e" * 64, "c" * 64)
    action, bound = action_of(evidence=evidence), evidence_digest(tuple(sorted(evidence)))
    made = packet(evidence=evidence, prose="words of an agent")
    assert made.id == packet_id(action.digest, bound, BUNDLE, NOW)
    assert made.action == action_json(action)
    assert (made.action_digest, made.evidence, made.evidence_digest) == (action.digest, tuple(sorted(evidence)), bound)
    assert (made.bundle_digest, made.requester, made.target) == (BUNDLE, AGENT.id, TARGET)
    assert (made.service, made.environment) == ("storefront", "production")
    assert (made.requested_at_ms, made.expires_at_ms) == (NOW, NOW + 9)
    assert (made.plan, made.plan_digest, made.supersedes) == (None, "", "")
    contract = CATALOGUE.find("set_canary_weight")
    assert (made.undo, made.expected, made.prose) == (contract.undo, contract.expected, "words of an agent")
    assert (made.missing, made.contrary, made.uncertain) == ((), (), ())
    assert made.proposed == "artifact aaaaaaaaaaaa, lease_seconds 30, segments [], weight 5"
    assert made.evidence_summary[-1] == "gate: PASSED"
    assert made.alternatives[-1].endswith(contract.undo)


def test_what_the_policy_wants_is_what_a_person_must_be():
    nothing = packet()
    assert (nothing.tier, nothing.approver_roles, nothing.quorum_roles) == ("high", (), ())
    assert (nothing.quorum, nothing.gate, nothing.risk_flags, nothing.prose) == (1, "", (), "")
    wanted = packet(
        obligations=(
            {"kind": "redact", "tier": "no", "roles": ["nobody"], "count": 9},
            {"kind": "tier", "tier": "low", "because": [{"by": "path_class", "value": "x"}]},
            {"kind": "approval", "roles": ["security", "sre"], "count": 2, "tier": "medium", "gate": "multi-signer"},
        )
    )
    assert (wanted.tier, wanted.quorum, wanted.gate) == ("medium", 2, "multi-signer")
    assert wanted.approver_roles == wanted.quorum_roles == ("security", "sre")
    assert wanted.risk_flags == ("path class: x",)
    assert packet(obligations=({"kind": "tier", "tier": "low"}, {"kind": "approval"})).tier == "low"
    assert packet(obligations=({"kind": "tier"},)).tier == "high"


@pytest.mark.parametrize("tool", ["start_rollout", "start_runbook", "set_canary_weight"])
def test_rule_20_a_plan_is_bound_where_a_plan_is_approved(tool):
    values = {"artifact": "a" * 64, "steps": []}
    made = packet(tool, values)
    plan = values if tool != "set_canary_weight" else None
    assert (made.plan, made.plan_digest) == (plan, jcs.digest(plan) if plan else "")
    assert sorted(PLAN_TOOLS) == ["start_rollout", "start_runbook"]
    assert packet(tool, {}).plan_digest == ""


# --- what speaks against ---


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tests", "no test report"),
        ("provenance", "no provenance"),
        ("sbom", "no SBOM"),
        ("plan", "no plan"),
        ("vsa", "no gate verdict"),
    ],
)
def test_what_is_missing_is_named(name, says):
    for facts in ({**GOOD, name: None}, {**GOOD, name: {}}, {key: GOOD[key] for key in GOOD if key != name}):
        assert packet(facts=facts).missing == (says,)


def test_without_facts_everything_is_missing_and_nothing_breaks():
    for facts in (None, {}):
        made = packet(facts=facts)
        assert len(made.missing) == 5
        assert (made.contrary, made.uncertain, made.evidence_summary) == ((), (), ())


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"evaluation": {"cases": 40, "passed": 38}}, ("assistant evaluation: 2 of 40 fail",)),
        ({"evaluation": {"cases": 40, "passed": 0}}, ("assistant evaluation: 40 of 40 fail",)),
        ({"evaluation": {"cases": 40, "passed": 40}}, ()),
        ({"evaluation": {}}, ()),
        ({"evaluation": None}, ()),
        ({"evaluation": {"passed": 1}}, ()),
        ({"evaluation": {"cases": 1}}, ("assistant evaluation: 1 of 1 fail",)),
        (
            {"earlier_rollouts": ["one", "two"]},
            ("earlier rollout of this artifact: one", "earlier rollout of this artifact: two"),
        ),
    ],
)
def test_what_speaks_against_is_named(facts, says):
    assert packet(facts={**GOOD, **facts}).contrary == says


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"provenance": {"level": 2}}, None),
        ({"provenance": {"level": 1}}, "SLSA L1"),
        ({"provenance": {"slsa": 1}}, "SLSA L1"),
        ({"provenance": None}, None),
        ({"tests": {"isolation": "none"}}, "without isolation"),
        ({"tests": {"passed": 1}}, None),
        ({"sbom": {"completeness": 0.99}}, "SBOM completeness is 99%"),
        ({"sbom": {"completeness": 1}}, None),
        ({"sbom": {"completeness": 0}}, "SBOM completeness is 0%"),
        ({"sbom": {"tool": "x"}}, "SBOM completeness is 0%"),
        ({"sbom": None}, None),
    ],
)
def test_what_is_uncertain_is_named(facts, says):
    found = packet(facts={**GOOD, **facts}).uncertain
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


def test_rule_22_a_tainted_session_is_named_first():
    made = packet(facts={**GOOD, "tests": {"isolation": "none"}}, integrity="tainted")
    assert len(made.uncertain) == 2
    assert "untrusted text" in made.uncertain[0]


# --- asked again ---


def grant_of(asked, word="approved", reason="looked at it"):
    envelope = sign_verdict(asked, word, ALICE, "sre-oncall", reason, NOW, KEYS[ALICE][1])
    return verify_approvals(Candidate(asked, (envelope,)), TRUST)


@pytest.mark.parametrize(
    ("word", "reason", "revoked", "says"),
    [
        ("approved", "x", False, ("the approval expired or was used up",)),
        ("denied", "not today", False, (f"{ALICE} denied this before: not today",)),
        ("denied", "", False, (f"{ALICE} denied this before: no reason given",)),
        ("approved", "x", True, (f"%s, an approval of this by {ALICE}, was revoked",)),
        (
            "denied",
            "x",
            True,
            (f"%s, an approval of this by {ALICE}, was revoked", f"{ALICE} denied this before: x"),
        ),
    ],
)
def test_a_question_asked_again_begins_with_what_was_said_before(word, reason, revoked, says):
    facts = {**GOOD, "earlier_rollouts": ["rolled back"]}
    asked = packet(facts=facts)
    made = superseding(asked, grant_of(asked, word, reason), revoked=revoked)
    assert made.contrary == (
        *(line.replace("%s", asked.id) for line in says),
        "earlier rollout of this artifact: rolled back",
    )
    assert made.supersedes == asked.id
    assert made.id == packet_id(asked.action_digest, asked.evidence_digest, asked.digest, NOW)
    assert msgspec.structs.replace(made, id=asked.id, contrary=asked.contrary, supersedes="") == asked


def test_what_changed_since_is_named():
    first = packet()
    again = packet(values={"artifact": "a" * 64, "weight": 50, "segments": [], "lease_seconds": 30})
    made = superseding(again, grant_of(first))
    assert made.contrary == ("weight: approved 5, asked 50",)
    denied = superseding(again, grant_of(first, "denied", "no"))
    assert denied.contrary == (f"{ALICE} denied this before: no", "weight: approved 5, asked 50")
