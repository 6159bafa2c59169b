"""The tables of the seeds, spelt out row by row, and what the shipped policy decides for each of their cells.

Seed 001: capabilities (4.1), categories of writes (4.3), tools (10.1), the rollback policy (11.2). Seed 002: the five
operating patterns and the gates of its risk tiers.
"""

import pytest
from knowledge import ACTION, asking, bundle, fixture, merged

from bywire.model.decision import Effect
from bywire.policy.engine import PolicyEngine

ENGINE = PolicyEngine(bundle())
TABLES = bundle().tables
ALLOW, APPROVAL, SANITIZE, DENY = Effect.ALLOW, Effect.APPROVAL_NEEDED, Effect.SANITIZE, Effect.DENY
ENVIRONMENTS = ("non-production", "staging", "production")
ARTIFACT = {"artifact": fixture("artifact")}
PERCENT = {"deployment_id": fixture("artifact"), "target_percentage": 5}
FILES = {"files": [{"path": "deploy/a.yaml"}]}
BACK = {"to": fixture("stable")}
DATA = {"rows": 10, "table": "quotes"}
LOW = {"operator": {"criticality": "internal"}, "change": {"declared_tier": "low"}}
GRANT, RUNBOOK_GRANT, RETREAT = fixture("grant"), fixture("runbook_grant"), fixture("retreat")


def decide(question):
    return ENGINE.decide(ACTION, question)


def rules(question):
    return {reason.rule for reason in decide(question).reasons}


def asked(tool, parameters, environment="production", **changed):
    """The question of a registered agent about any tool of the table."""
    row = TABLES["capabilities"].get(tool, {"category": "read"})
    question = asking(tool, row["category"], parameters, action={"environment": environment})
    question["state"]["limits"] = fixture("counted")
    return merged(question, changed)


# Seed 001, 4.1: row, tool, parameters, what else is so, and an agent's effect in each environment, nobody asked yet.
CAPABILITIES = [
    ("Read CI logs", "get_job_logs", {}, {}, (ALLOW, ALLOW, ALLOW)),
    ("Read CI logs", "get_ci_run", {}, {}, (ALLOW, ALLOW, ALLOW)),
    ("Read deployment status", "get_deployment_status", {}, {}, (ALLOW, ALLOW, ALLOW)),
    ("Read metrics/traces", "read_telemetry", {}, {}, (ALLOW, ALLOW, ALLOW)),
    ("Rerun failed job", "rerun_job", {}, {}, (ALLOW, ALLOW, ALLOW)),
    ("Rerun failed job", "rerun_job", {"release_gate": False}, {}, (ALLOW, ALLOW, ALLOW)),
    ("Rerun failed job", "rerun_job", {"release_gate": True}, {}, (ALLOW, ALLOW, APPROVAL)),
    ("Rerun failed job", "rerun_job", {"release_gate": "no"}, {}, (ALLOW, ALLOW, APPROVAL)),
    ("Cancel running job", "cancel_workflow", {}, {}, (ALLOW, ALLOW, APPROVAL)),
    ("Create fix PR", "create_fix_pr", FILES, {}, (ALLOW, ALLOW, ALLOW)),
    ("Create fix PR", "create_fix_branch", FILES, {}, (ALLOW, ALLOW, ALLOW)),
    ("Create fix PR", "create_fix_pr", {**FILES, "auto_merge": True}, {}, (DENY, DENY, DENY)),
    ("Update workflow config", "update_workflow_config", {}, {}, (DENY, DENY, DENY)),
    ("Update workflow config", "update_workflow_config", {"via": "pull_request"}, {}, (ALLOW, ALLOW, APPROVAL)),
    ("Promote release", "promote_release", ARTIFACT, LOW, (ALLOW, APPROVAL, APPROVAL)),
    ("Promote release", "promote_release", ARTIFACT, {}, (APPROVAL, APPROVAL, APPROVAL)),
    ("Promote release", "promote_canary", PERCENT, LOW, (ALLOW, APPROVAL, APPROVAL)),
    ("Promote release", "deploy_release", ARTIFACT, LOW, (ALLOW, APPROVAL, APPROVAL)),
    ("Rollback deployment", "rollback_release", BACK, {}, (APPROVAL, APPROVAL, APPROVAL)),
    ("Rollback deployment", "rollback_deployment", BACK, {}, (APPROVAL, APPROVAL, DENY)),
    ("Rollback deployment", "rollback_deployment", BACK, fixture("incident"), (APPROVAL, APPROVAL, APPROVAL)),
    ("Rollback deployment", "abort_canary", BACK, {}, (APPROVAL, APPROVAL, APPROVAL)),
    ("Incident mitigation", "toggle_feature_flag", {}, {}, (ALLOW, APPROVAL, DENY)),
    ("Incident mitigation", "toggle_feature_flag", {}, fixture("incident"), (ALLOW, APPROVAL, APPROVAL)),
    ("Modify secrets", "modify_secret", {"via": "security_workflow"}, {}, (DENY, DENY, DENY)),
    ("Modify secrets", "rotate_secret", {"via": "security_workflow"}, {}, (DENY, DENY, DENY)),
    ("Disable tests", "disable_tests", {}, {}, (DENY, DENY, DENY)),
    ("Change production data", "change_production_data", DATA, {}, (DENY, DENY, DENY)),
    ("Change production data", "change_production_data", DATA, {"grant": GRANT}, (DENY, DENY, DENY)),
    ("Change production data", "change_production_data", DATA, {"grant": RUNBOOK_GRANT}, (DENY, DENY, ALLOW)),
    ("not in the table", "reboot_everything", {}, {}, (DENY, DENY, DENY)),
]


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize(("row", "tool", "parameters", "changed", "expected"), CAPABILITIES)
def test_the_capability_table(row, tool, parameters, changed, expected, column):
    question = asked(tool, parameters, ENVIRONMENTS[column], **changed)
    question["operator"]["tier_floor"] = "trivial"
    assert decide(question).effect is expected[column], rules(question)
    assert TABLES["capabilities"].get(tool, {"row": "not in the table"})["row"] == row


def test_every_row_is_asked_about():
    assert {tool for _, tool, *_ in CAPABILITIES} | {
        "set_canary_weight",
        "renew_canary_lease",
        "warm_release",
        "settle_release",
        "start_rollout",
        "start_runbook",
        "open_connection",
    } == {*TABLES["capabilities"], "reboot_everything"}


@pytest.mark.parametrize(
    ("tool", "environment", "roles"),
    [
        ("update_workflow_config", "production", ["service-owner"]),
        ("promote_release", "production", ["service-owner", "sre-oncall"]),
        ("rollback_deployment", "production", ["incident-commander", "sre-oncall"]),
        ("rollback_release", "production", ["incident-commander", "sre-oncall"]),
        ("toggle_feature_flag", "production", ["incident-commander"]),
        ("change_production_data", "production", ["database-owner"]),
    ],
)
def test_whose_approval_production_asks_for(tool, environment, roles):
    parameters = {**ARTIFACT, **BACK, **DATA, "via": "pull_request"}
    question = asked(tool, parameters, environment, **fixture("incident"), grant={**RUNBOOK_GRANT, "expires_at_ms": 0})
    decision = decide(question)
    (wanted,) = [item for item in decision.obligations if item["kind"] == "approval"]
    assert (decision.effect, wanted["roles"]) == (APPROVAL, roles)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("tool", ["rotate_secret", "modify_secret"])
def test_secrets_change_through_people_of_security_by_their_workflow(tool, environment):
    colleague = {"approver": "person:kim", "role": "security", "asserted_by": "key", "signature_verified": True}
    agreed = {**GRANT, "kind": "single", "action_digest": fixture("other"), "approvals": [colleague]}
    workflow = {"via": "security_workflow"}
    security, nobody = fixture("security"), fixture("sam")
    undone = {"undo": "irreversible"}
    by_person = asked(tool, workflow, environment, principal=security, action=undone)
    assert decide(by_person).effect is APPROVAL
    assert decide(merged(by_person, {"grant": agreed})).effect is ALLOW
    assert rules(merged(by_person, {"principal": {**nobody, "roles": []}, "grant": agreed})) == {
        "action.security_role_required"
    }
    assert rules(asked(tool, {"via": "shell"}, environment, principal=security)) == {
        "action.security_workflow_required"
    }
    for other in ({}, {"principal": {"id": "workload:x", "kind": "workload"}}):
        reasons = decide(asked(tool, workflow, environment, grant=agreed, **other)).reasons
        assert ("action.secret_mutation", True) in {(reason.rule, reason.hard) for reason in reasons}


# Seed 001, 4.3: category, default posture.
CATEGORIES = {
    "harmless_reversible": "allow",
    "repo_write": "pr_only",
    "environment_write": "allow_if_low_risk",
    "production_orchestration": "approval",
    "secret_mutation": "security_workflow",
    "data_mutation": "runbook",
    "incident_mitigation": "approval",
}


@pytest.mark.parametrize(("category", "posture"), CATEGORIES.items())
def test_a_category_has_an_example_and_a_default_posture(category, posture):
    listed = TABLES["categories"][category]
    assert listed["posture"] == posture
    assert listed["example"]
    assert listed.get("rate_limited", False) == (category == "harmless_reversible")


def test_harmless_means_within_a_rate():
    question = asked("rerun_job", {}, "staging")
    assert decide(question).effect is ALLOW
    assert rules(merged(question, {"state": {"limits": []}})) == {"approval.required", "approval.rate_unlimited"}
    spent = {"name": "tool:rerun_job", "observed": 6, "limit": 6}
    assert rules(merged(question, {"state": {"limits": [spent]}})) == {"state.limit_exhausted"}


# Seed 001, 10.1: tool, whether it writes, risk.
TOOLS = [
    ("get_ci_run", False, "low"),
    ("get_job_logs", False, "medium"),
    ("rerun_job", True, "low-medium"),
    ("cancel_workflow", True, "medium"),
    ("create_fix_pr", True, "medium"),
    ("get_deployment_status", False, "low"),
    ("promote_canary", True, "high"),
    ("abort_canary", True, "high"),
    ("rollback_deployment", True, "high"),
    ("toggle_feature_flag", True, "high"),
    ("rotate_secret", True, "very-high"),
]


@pytest.mark.parametrize(("tool", "writes", "risk"), TOOLS)
def test_the_tools_of_a_devops_agent(tool, writes, risk):
    row = TABLES["capabilities"][tool]
    assert (row["category"] != "read", row["risk"]) == (writes, risk)


@pytest.mark.parametrize("tool", [tool for tool, *_ in TOOLS])
def test_an_unmet_precondition_denies_every_tool(tool):
    question = asked(tool, {**PERCENT, **BACK, **FILES}, action={"unmet_preconditions": ["first", "second"]})
    unmet = [reason for reason in decide(question).reasons if reason.rule == "action.precondition_unmet"]
    assert {reason.facts["precondition"] for reason in unmet} == {"first", "second"}
    assert decide(question).effect is DENY


# Seed 001, 11.2: what is missing or wrong, and the rule that says so.
ROLLBACK = [
    ({"state": {"incident_mode": False}}, "action.incident_required"),
    ({"state": {"target": {"stable": ""}}}, "rollback.evidence_missing"),
    ({"action": {"parameters": {"to": ""}}}, "rollback.target_missing"),
    ({"retreat": {"compatibility_checked": None}}, "rollback.compatibility_unchecked"),
    ({"retreat": {"blast_radius": None}}, "rollback.evidence_missing"),
    ({"retreat": {"irreversible_migrations": ["migrations/8.sql"]}}, "rollback.irreversible_migration"),
    ({"retreat": {"artifact_available": None}}, "rollback.artifact_missing"),
    ({"retreat": None}, "rollback.evidence_missing"),
]


@pytest.mark.parametrize(("changed", "rule"), ROLLBACK)
def test_the_rollback_policy(changed, rule):
    by = [
        {"approver": "person:oncall", "role": role, "asserted_by": "key", "signature_verified": True}
        for role in ("incident-commander",)
    ]
    agreed = {**GRANT, "kind": "single", "action_digest": fixture("other"), "approvals": by}
    question = asked("rollback_deployment", BACK, **fixture("incident"), grant=agreed)
    assert decide(question).effect is ALLOW
    denied = decide(merged(question, changed))
    assert (denied.effect, rule in {reason.rule for reason in denied.reasons}) == (DENY, True)
    by_agent = merged(question, {"grant": {"approvals": [{**by[0], "approver": "agent:auditor"}]}})
    assert rules(by_agent) == {"grant.approver_not_person"}


# Seed 002: pattern, then its effect for a read, a dry run, a fix, a rollout in production and in non-production (low
# risk), a step of an approved runbook, and an authorised retreat.
PATTERNS = {
    "advisor": (ALLOW, APPROVAL, DENY, DENY, DENY, DENY, DENY),
    "constrained-executor": (ALLOW, APPROVAL, ALLOW, APPROVAL, ALLOW, ALLOW, ALLOW),
    "orchestrator": (ALLOW, APPROVAL, ALLOW, APPROVAL, APPROVAL, ALLOW, ALLOW),
    "runbook-executor": (ALLOW, DENY, DENY, DENY, DENY, ALLOW, ALLOW),
    "canary-manager": (ALLOW, APPROVAL, DENY, APPROVAL, ALLOW, DENY, ALLOW),
}


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS.items())
def test_the_operating_patterns(pattern, expected):
    questions = (
        asked("get_deployment_status", {}),
        merged(fixture("start"), {"action": {"dry_run": True}}),
        asked("create_fix_pr", FILES),
        fixture("start"),
        asked("deploy_release", ARTIFACT, "non-production", **LOW),
        asked("change_production_data", DATA, grant=RUNBOOK_GRANT),
        asked("rollback_release", BACK, retreat=RETREAT),
    )
    registered = {"principal": {"registration": {"pattern": pattern}}}
    assert tuple(decide(merged(question, registered)).effect for question in questions) == expected


def test_there_are_five_patterns():
    assert set(TABLES["patterns"]) == set(PATTERNS)


def test_a_constrained_executor_brings_the_evidence_that_the_table_asks_for():
    question = asked("deploy_release", ARTIFACT, "non-production", **LOW, facts={"vsa": None})
    assert rules(question) == {"vsa.missing"}


# Seed 002: environment, then the kind of gate and the number of people for trivial, low, medium and high.
GATES = {
    "non-production": (("automatic", 1), ("automatic", 1), ("single", 1), ("single", 1)),
    "staging": (("automatic", 1), ("single", 1), ("single", 1), ("single", 1)),
    "production": (("automatic", 1), ("single", 1), ("single", 1), ("multi-signer", 2)),
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("tier", range(4))
def test_a_tier_opens_by_its_gate(environment, tier):
    name = TABLES["tiers"]["order"][tier]
    question = asked("rollback_release", BACK, environment, **LOW, grant={**GRANT, "action_digest": fixture("other")})
    question["operator"] |= {"gates": {}, "tier_floor": "trivial"}
    question["change"]["declared_tier"] = name
    kind, count = GATES[environment][tier]
    voices = [fixture("oncall"), {**fixture("oncall"), "approver": "person:kim"}]
    question["grant"]["approvals"] = voices[: count - 1]
    pending = decide(question)
    (wanted,) = [item for item in pending.obligations if item["kind"] == "approval"]
    assert (pending.effect, wanted["gate"], wanted["count"], wanted["tier"]) == (APPROVAL, kind, count, name)
    question["grant"]["approvals"] = voices[:count]
    assert decide(question).effect is ALLOW


@pytest.mark.parametrize("tier", ["trivial", "low"])
@pytest.mark.parametrize(("gate", "expected"), [({"kind": "automatic"}, ALLOW), ({"kind": "single"}, APPROVAL)])
def test_an_operator_may_gate_what_the_table_lets_pass_alone(tier, gate, expected):
    question = merged(asked("deploy_release", ARTIFACT, "non-production", **LOW), {"operator": {"gates": {tier: gate}}})
    question["operator"]["tier_floor"], question["change"]["declared_tier"] = "trivial", tier
    assert decide(question).effect is expected


@pytest.mark.parametrize("tier", ["medium", "high"])
def test_no_gate_takes_away_an_approval_that_the_table_asks_for(tier):
    for environment in ENVIRONMENTS:
        question = asked("deploy_release", ARTIFACT, environment, **LOW)
        question = merged(
            question, {"operator": {"gates": {tier: {"kind": "automatic"}}}, "change": {"declared_tier": tier}}
        )
        assert decide(question).effect is APPROVAL


# A connected tool by its contract's category: an agent's effect in each environment, low risk and easily undone.
CONNECTED = {
    "read": (ALLOW, ALLOW, ALLOW),
    "harmless_reversible": (ALLOW, ALLOW, APPROVAL),
    "repo_write": (ALLOW, ALLOW, APPROVAL),
    "environment_write": (ALLOW, ALLOW, APPROVAL),
    "production_orchestration": (ALLOW, APPROVAL, APPROVAL),
    "exposure_reducing": (APPROVAL, APPROVAL, APPROVAL),
    "incident_mitigation": (ALLOW, APPROVAL, APPROVAL),
    "secret_mutation": (DENY, DENY, DENY),
    "data_mutation": (APPROVAL, APPROVAL, DENY),
    "verification_weakening": (DENY, DENY, DENY),
    "unknown_write": (ALLOW, APPROVAL, APPROVAL),
    "egress": (DENY, DENY, DENY),
    "anything_else": (DENY, DENY, DENY),
}


def called(category, environment, risk="low", undo="reversible", **changed):
    question = merged(fixture("called"), {"action": {"category": category, "environment": environment, "undo": undo}})
    return merged(merged(question, {"action": {"connected": {"risk": risk}}}), changed)


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize(("category", "expected"), CONNECTED.items())
def test_a_connected_tool_has_the_row_of_its_category(category, expected, column):
    question = called(category, ENVIRONMENTS[column])
    assert decide(question).effect is expected[column], rules(question)


def test_every_category_has_a_row_for_connected_tools():
    assert set(TABLES["connected"]) == set(TABLES["categories"]) - {"egress"}
    for row in TABLES["connected"].values():
        assert set(row["environments"]) == set(ENVIRONMENTS)


@pytest.mark.parametrize("undo", ["reversible", "compensatable", "irreversible", None])
@pytest.mark.parametrize("risk", ["low", "low-medium", "medium", "high", "very-high", None])
@pytest.mark.parametrize(
    "category", [name for name, expected in CONNECTED.items() if expected[0] is ALLOW and name != "read"]
)
def test_only_low_risk_goes_alone(category, risk, undo):
    alone = risk in {"low", "low-medium", "medium"} and undo == "reversible"
    assert decide(called(category, "non-production", risk, undo)).effect is (ALLOW if alone else APPROVAL)


@pytest.mark.parametrize("category", CONNECTED)
def test_a_tainted_session_of_a_risky_connected_tool_asks(category):
    tainted = {"action": {"integrity": "tainted"}, "operator": {"criticality": "internal"}}
    question = called(category, "non-production", "high", **tainted)
    expected = CONNECTED[category][0]
    assert decide(question).effect is (APPROVAL if expected is ALLOW and category != "read" else expected)


def test_a_runbook_may_foresee_a_connected_tool_and_nothing_else_lets_it_change_data():
    step = {"tool": "github.do_it", "parameters": {"rows": {"min": 1, "max": 9}}}
    runbook = {**fixture("runbook"), "steps": [step]}
    question = called("data_mutation", "production", grant={**RUNBOOK_GRANT, "runbook": runbook})
    question["action"] |= {"parameters": {"rows": 5}, "plan": fixture("plan_digest")}
    question["operator"]["gates"] = {"trivial": {"kind": "single", "count": 1}, "low": {"kind": "single", "count": 1}}
    assert decide(question).effect is ALLOW, rules(question)
    assert decide(merged(question, {"action": {"parameters": {"rows": 10}}})).effect is APPROVAL
    assert rules(merged(question, {"grant": GRANT})) == {"action.runbook_required"}
    assert rules(asked("start_runbook", runbook)) == {"approval.required"}
    assert rules(asked("start_runbook", runbook | {"steps": [{"tool": ".github.x", "parameters": {}}]})) == {
        "runbook.step_forbidden"
    }
