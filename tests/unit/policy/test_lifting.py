"""What lifts a denial and what does not: hard rules hold against grants, broken glass and trials (RULES 6, 9, 28)."""

import copy

import pytest
from knowledge import ACTION, GATE, asking, bundle, files, fixture, merged

from bywire.model.decision import Effect
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine
from bywire.policy.rule_index import objections, rule_sites

ENGINE = PolicyEngine(bundle())
TABLES = bundle().tables
ALLOW, APPROVAL, SANITIZE, DENY = Effect.ALLOW, Effect.APPROVAL_NEEDED, Effect.SANITIZE, Effect.DENY
START, GRANT, GLASS = fixture("start"), fixture("grant"), fixture("break_glass")
FILES = {"files": [{"path": "deploy/a.yaml"}]}
READ = ("get_deployment_status", "read", {})
SECRET = ("rotate_secret", "secret_mutation", {"via": "security_workflow"})


def decide(question, entrypoint=ACTION):
    return ENGINE.decide(entrypoint, question)


def rules(question, entrypoint=ACTION):
    return {reason.rule for reason in decide(question, entrypoint).reasons}


def on_trial(*names):
    return [{"rule": name, "owner": "person:dana", "expires_at_ms": 1790000000001} for name in names]


def lifted(question):
    """`question` with everything that may lift a denial, each as good as it can be, where it is most likely to work."""
    question = copy.deepcopy(question)
    action, principal = question["action"], question["principal"]
    question["grant"] = merged(GRANT, {"action_digest": action.get("digest")} | (question["grant"] or {}))
    glass = GLASS | {"tools": [action.get("tool")], "principals": [principal.get("id")]}
    question["break_glass"] = glass | (question["break_glass"] or {})
    question["shadow"] = on_trial(*TABLES["hard_rules"])
    return question


# A hard rule, and the question that it is about (in staging, where a trial would count).
HARD = {
    "action.category_mismatch": asking("deploy_release", "read", {"artifact": fixture("artifact")}),
    "action.environment_unknown": merged(asking(*READ), {"action": {"environment": "moon"}}),
    "action.evidence_patched": asking("create_fix_pr", "repo_write", {"files": [{"path": "reports/junit.xml"}]}),
    "action.secret_mutation": asking(*SECRET),
    "action.tests_disabled": asking("disable_tests", "verification_weakening", {}),
    "action.unknown_tool": asking("reboot_everything", "production_orchestration", {}),
    "break_glass.signature_invalid": merged(START, {"break_glass": {"signature_verified": False}}),
    "contract.definition_changed": merged(fixture("called"), {"action": {"connected": {"definition": "changed"}}}),
    "egress.metadata": merged(fixture("opening"), {"action": {"destination": {"address_class": "metadata"}}}),
    "grant.approver_not_person": merged(START, {"grant": {"approver": "agent:auditor"}}),
    "grant.signature_invalid": merged(START, {"grant": {"signature_verified": False}}),
    "grant.revoked": merged(START, {"grant": {"revoked": True}}),
    "input.clock": merged(START, {"now_ms": None}),
    "input.incomplete": merged(START, {"operator": None}),
    "input.version": merged(START, {"version": 2}),
    "principal.kind_mismatch": merged(START, {"principal": {"id": "person:dana"}}),
    "principal.owner_missing": merged(START, {"principal": {"owner": ""}}),
    "principal.unregistered": merged(START, {"principal": {"registration": None}}),
    "rollout.ceiling_exceeded": merged(START, {"operator": {"limits": {"rollout_ceiling": 5}}}),
    "state.frozen_all": merged(START, {"state": {"freeze_all": True}}),
    "state.journal_missing": merged(START, {"state": {"journal": False}}),
    "state.stopped": merged(START, {"state": {"stop": True}}),
}


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("rule", HARD)
def test_rule_09_nothing_lifts_a_hard_rule(rule, environment):
    question = lifted(HARD[rule])
    if question["action"]["environment"] == "production":
        question["action"]["environment"] = environment
    decision = decide(question)
    assert decision.effect is DENY
    assert (rule, True) in {(reason.rule, reason.hard) for reason in decision.reasons}
    assert "break_glass" not in {item["kind"] for item in decision.obligations}


GATE_HARD = {
    "gate.removed_tests": {"tests": {"removed_tests": 1}},
    "gate.statement_unverified": {"statements": [fixture("release")["facts"]["statements"][0] | {"verified": False}]},
}


@pytest.mark.parametrize("rule", GATE_HARD)
def test_rule_09_nothing_lifts_a_hard_rule_of_the_gate(rule):
    question = merged(fixture("release"), {"facts": GATE_HARD[rule], "grant": GRANT, "break_glass": GLASS})
    question = merged(question, {"action": {"environment": "staging"}, "shadow": on_trial(rule)})
    assert {rule, "shadow.refused"} <= rules(question, GATE)


def test_rule_09_every_hard_rule_is_attacked():
    assert set(HARD) | set(GATE_HARD) == set(TABLES["hard_rules"])


# Where nothing hard stands in the way, what a broken glass lifts: soft denials of any kind, and the missing approval.
SOFT = {
    "approval.required": {},
    "approval.outside_window": {"operator": {"gates": {"high": {"kind": "scheduled", "count": 1}}}},
    "action.precondition_unmet": {"action": {"unmet_preconditions": ["canary_exists"]}},
    "principal.registration_expired": {"principal": {"registration": {"expires_at_ms": 1}}},
    "state.freeze_window": {"state": {"freeze_window": True}},
    "state.limit_exhausted": {"state": {"limits": [{"name": "tool:start_rollout", "observed": 1, "limit": 1}]}},
    "vsa.missing": {"facts": {"vsa": None}},
}


@pytest.mark.parametrize("rule", SOFT)
def test_a_broken_glass_lifts_what_is_soft_and_says_so(rule):
    question = merged(START, SOFT[rule])
    assert rule in rules(question)
    decision = decide(merged(question, {"break_glass": GLASS}))
    (broken,) = [item for item in decision.obligations if item["kind"] == "break_glass"]
    assert (decision.effect, broken["id"], broken["person"]) == (ALLOW, "bg-1", "person:oncall")
    assert set(broken["lifted"]) == rules(question) | {"approval.required"}
    assert {reason.rule for reason in decision.reasons} == {"allow.break_glass"}


MISFITS = {
    "break_glass.expired": {"expires_at_ms": 1790000000000},
    "break_glass.used_up": {"uses_left": 0},
    "break_glass.postmortem_open": {"open_postmortem": True},
    "break_glass.tool_not_covered": {"tools": ["*"]},
    "break_glass.principal_not_covered": {"principals": ["agent:"]},
    "break_glass.person_unfit": {"person": "agent:oncall"},
}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("rule", MISFITS)
def test_rule_09_a_glass_that_does_not_fit_changes_no_effect(rule, missing):
    changed = dict.fromkeys(MISFITS[rule]) if missing else MISFITS[rule]
    for question in (START, merged(START, {"state": {"freeze_window": True}})):
        with_glass = merged(question, {"break_glass": GLASS | changed})
        assert decide(with_glass).effect is decide(question).effect
        assert rules(with_glass) == rules(question) | {rule}
    # What is allowed anyway needs no glass, and names none.
    allowed = merged(START, {"grant": GRANT, "break_glass": GLASS | changed})
    assert rules(allowed) == {"allow.grant"}


@pytest.mark.parametrize("role", ["incident-commander", "security", "sre-oncall", "service-owner", "", None])
def test_who_may_break_the_glass(role):
    decision = decide(merged(START, {"break_glass": GLASS | {"roles": [role]}}))
    assert (decision.effect is ALLOW) == (role in {"incident-commander", "security", "sre-oncall"})


# In staging every soft denial may be tried, but for what keeps the envelope together.
TRIED = {
    "action.precondition_unmet": {"action": {"unmet_preconditions": ["canary_exists"]}},
    "rollout.first_step": {"operator": {"limits": {"rollout_first_step": 1}}},
    "vsa.failed": {"facts": {"vsa": {"passed": False}}},
}
NEVER_TRIED = {
    "approval.gate_invalid": {"operator": {"gates": {"high": {"kind": "nobody"}}}},
    "break_glass.signature_invalid": {"break_glass": {"signature_verified": False}},
    "duties.approver_is_author": {"change": {"authors": ["person:oncall"]}},
    "grant.revoked": {"grant": GRANT | {"revoked": True}},
    "input.clock": {"now_ms": None},
    "principal.environment_not_registered": {"principal": {"registration": {"environments": []}}},
    "principal.pattern_forbids": {"principal": {"registration": {"pattern": "advisor"}}},
    "principal.registration_expired": {"principal": {"registration": {"expires_at_ms": 1}}},
    "principal.tool_not_registered": {"principal": {"registration": {"tools": []}}},
    "state.budget_exhausted": {"state": {"budget": {"observed": 100}}},
    "state.freeze_window": {"state": {"freeze_window": True}},
    "state.limit_exhausted": {"state": {"limits": [{"name": "x", "observed": 1, "limit": 1}]}},
    "vsa.signer": {"facts": {"vsa": {"signer": "agent:coder"}}},
    "vsa.subject_mismatch": {"facts": {"vsa": {"subject_matches": False}}},
}


def in_staging(changed):
    question = merged(START, {"grant": GRANT, "action": {"environment": "staging"}})
    return merged(question, merged({"action": {"parameters": {"environment": "staging"}}}, changed))


@pytest.mark.parametrize("rule", TRIED)
def test_rule_28_a_rule_on_trial_is_recorded_and_not_enforced_outside_production(rule):
    question = in_staging(TRIED[rule])
    assert rules(question) == {rule}
    tried = decide(merged(question, {"shadow": on_trial(*TRIED)}))
    assert tried.effect is ALLOW
    recorded = [item for item in tried.obligations if item["kind"] == "shadowed"]
    (denied,) = decide(question).reasons
    assert recorded == [{"kind": "shadowed", "rule": rule, "owner": "person:dana", "facts": denied.facts}]
    question["action"]["environment"] = question["action"]["parameters"]["environment"] = "production"
    assert rules(merged(question, {"shadow": on_trial(rule)})) == {rule, "shadow.refused"}


@pytest.mark.parametrize("rule", NEVER_TRIED)
def test_rule_28_what_is_never_on_trial(rule):
    question = in_staging(NEVER_TRIED[rule])
    assert rule in rules(question)
    tried = decide(merged(question, {"shadow": on_trial(rule)}))
    assert tried.effect is DENY
    assert {rule, "shadow.refused"} <= {reason.rule for reason in tried.reasons}


def test_rule_28_retreats_and_their_refusals_are_never_on_trial():
    question = asking("rollback_release", "exposure_reducing", {"to": ""}, action={"environment": "staging"})
    assert "rollback.target_missing" in rules(merged(question, {"shadow": on_trial("rollback.target_missing")}))


@pytest.mark.parametrize("rule", ["principal.unregistered", "principal.owner_missing", "principal.kind_mismatch"])
def test_rule_28_no_trial_lets_a_stranger_read_in_production(rule):
    stranger = {"id": "agent:x", "kind": "person", "owner": "", "registration": None}
    if rule != "principal.kind_mismatch":
        stranger["kind"] = "agent"
    question = asking(*READ, principal=stranger, shadow=on_trial(rule))
    assert rule in rules(question)


def test_rule_28_a_read_on_trial_in_production_is_still_redacted():
    question = asking(
        *READ, action={"unmet_preconditions": ["reachable"]}, shadow=on_trial("action.precondition_unmet")
    )
    decision = decide(question)
    assert decision.effect is ALLOW
    assert {item["kind"] for item in decision.obligations} == {"redact", "shadowed"}


def test_rule_28_a_trial_hides_nothing_behind_it():
    question = asking(
        *READ, action={"unmet_preconditions": ["reachable"]}, shadow=on_trial("action.precondition_unmet")
    )
    assert rules(question | {"change": None}) == {"input.incomplete"}


AGENT = b"""package bywire.agents["x"]

deny contains {"rule": "agents.x.budget", "facts": {}} if input.a

approval contains {"rule": "agents.x.approval_needed", "facts": {}} if input.b
"""


def test_rule_28_what_only_allows_or_changes_or_notes_cannot_be_on_trial():
    found = objections(rule_sites(parse_bundle(files() | {"agents/x.rego": AGENT})))
    assert {"agents.x.budget", "agents.x.approval_needed", "contract.unreviewed", "contract.unclassified"} <= found
    assert {"gate.sbom_missing", "action.precondition_unmet", "bounds.limit_missing", "input.clock"} <= found
    assert not found & {
        *("action.undecided", "allow.table", "allow.trial", "approval.irreversible", "approval.required"),
        *("bounds.capped", "gate.passed", "gate.loosening_ignored", "inspect.masked", "inspect.uncertain"),
        *("session.tainted", "shadow.refused", "break_glass.expired", "grant.expired"),
    }


@pytest.mark.parametrize("expires", [1790000000000, None, "never"])
@pytest.mark.parametrize("owner", ["person:dana", "agent:coder", None])
def test_rule_28_a_trial_has_an_end_and_a_person_for_owner(expires, owner):
    entry = {"rule": "rollout.first_step", "owner": owner, "expires_at_ms": expires}
    question = in_staging(TRIED["rollout.first_step"]) | {"shadow": [entry]}
    assert decide(question).effect is DENY


@pytest.mark.parametrize("shadow", [None, "rollout.first_step", [None], [{}], [{"rule": None}], {"a": 1}])
def test_rule_28_a_malformed_trial_is_none(shadow):
    question = in_staging(TRIED["rollout.first_step"]) | {"shadow": shadow}
    assert rules(question) == {"rollout.first_step"}


CUT = [
    (asking("get_job_logs", "read", {"max_bytes": 10**7}), "max_bytes", 262_144),
    (asking("get_job_logs", "read", {"window_seconds": 10**7}), "window_seconds", 86_400),
    (asking("read_telemetry", "read", {"window_seconds": 10**7}), "window_seconds", 21_600),
    *(
        (
            asking(tool, "production_orchestration", {"artifact": fixture("artifact"), **more}, grant=GRANT),
            "lease_seconds",
            30,
        )
        for tool, more in (
            ("renew_canary_lease", {"lease_seconds": 600}),
            ("set_canary_weight", {"lease_seconds": 600, "weight": 5, "segments": []}),
        )
    ),
]


@pytest.mark.parametrize(("question", "parameter", "limit"), CUT)
def test_rule_06_what_is_cut_is_decided_once_more_and_allowed(question, parameter, limit):
    decision = decide(question)
    replaced = {item["parameter"]: item["value"] for item in decision.obligations if item["kind"] == "replace"}
    assert (decision.effect, replaced) == (SANITIZE, {parameter: limit})
    again = merged(question, {"action": {"parameters": replaced}})
    assert decide(again).effect is ALLOW
    # One step of severity after the other: a denial, then an approval, then the cut.
    assert decide(merged(question, {"principal": {"registration": {"tools": []}}})).effect is DENY
    if not question["grant"]:
        # A read is a read however the session looks, and whatever cannot be written.
        label = {"action": {"undo": None, "integrity": "tainted"}, "state": {"journal": False, "session": None}}
        assert decide(merged(question, label)).effect is SANITIZE
    else:
        waiting = decide(merged(question, {"grant": None}))
        assert waiting.effect is APPROVAL
        assert {"replace", "approval"} <= {item["kind"] for item in waiting.obligations}
