"""What the shipped policy promises as a whole; each rule by itself is proved by the Rego tests beside it."""

import re
import string

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knowledge import ACTION, GATE, asking, bundle, evaluate, files, fixture, merged

from bywire.gateway.contracts import CONTRACTS
from bywire.gateway.door import OBLIGATIONS
from bywire.model.decision import Effect
from bywire.policy import regotest
from bywire.policy.engine import RULES, PolicyEngine
from bywire.policy.rule_index import rule_sites

ENGINE = PolicyEngine(bundle())
ALLOW, APPROVAL, DENY = Effect.ALLOW, Effect.APPROVAL_NEEDED, Effect.DENY
PERSON = {"principal": {"id": "person:sam", "kind": "person", "owner": "", "role": "sam"}}
LOW = {"operator": {"criticality": "internal"}, "change": {"declared_tier": "low"}}
ARTIFACT = {"artifact": fixture("artifact")}


def decide(question, entrypoint=ACTION):
    return ENGINE.decide(entrypoint, question)


def rules(question, entrypoint=ACTION):
    return {reason.rule for reason in decide(question, entrypoint).reasons}


def test_every_rego_test_passes_and_every_rule_is_proved():
    report = regotest.run(files())
    assert report.failed == ()
    assert report.unproved == ()
    assert report.ok


def test_a_failing_rego_test_and_an_unproved_rule_are_reported():
    broken = files() | {"action_test.rego": b"package bywire.action_test\n\ntest_x if 1 == 2\n"}
    report = regotest.run(broken)
    assert [(failure.test, failure.place) for failure in report.failed] == [
        ("data.bywire.action_test.test_x", "action_test.rego:3:1")
    ]
    assert "allow.table" in report.unproved
    assert not report.ok


def test_every_rule_has_a_message_about_the_facts_it_gives():
    sites = rule_sites(bundle())
    messages = bundle().messages
    assert set(messages) == set(sites) | set(RULES)
    for rule, message in messages.items():
        assert set(message) == {"says", "next"}
        used = {
            name for text in message.values() for _, name, _, _ in string.Formatter().parse(text) if name is not None
        }
        if rule in sites:
            assert used <= sites[rule].facts, rule


@pytest.mark.parametrize(
    ("question", "rule"),
    [
        ({"a": object()}, "engine.error"),
        ({"a": "x" * 300_000}, "engine.input_too_large"),
    ],
)
def test_the_engines_own_messages_fit_their_facts(question, rule):
    (reason,) = decide(question).reasons
    assert reason.rule == rule
    assert bundle().messages[rule]["says"].format(**reason.facts)


def test_hard_rules_are_listed_and_exist():
    listed = set(bundle().tables["hard_rules"])
    assert listed <= set(rule_sites(bundle()))
    assert listed == {
        "action.secret_mutation",
        "action.tests_disabled",
        "gate.removed_tests",
        "gate.statement_unverified",
        "grant.approver_not_person",
        "grant.signature_invalid",
        "state.journal_missing",
    }


# Seed 001, section 4.1: row, tool, category, parameters, then an agent's effect in each environment.
TABLE = [
    ("Read CI logs", "get_job_logs", "read", {}, (ALLOW, ALLOW, ALLOW)),
    ("Read CI logs", "get_ci_run", "read", {}, (ALLOW, ALLOW, ALLOW)),
    ("Read deployment status", "get_deployment_status", "read", {}, (ALLOW, ALLOW, ALLOW)),
    ("Read metrics/traces", "read_telemetry", "read", {}, (ALLOW, ALLOW, ALLOW)),
    ("Rerun failed job", "rerun_job", "harmless_reversible", {}, (ALLOW, ALLOW, APPROVAL)),
    ("Cancel running job", "cancel_workflow", "harmless_reversible", {}, (ALLOW, ALLOW, APPROVAL)),
    ("Create fix PR", "create_fix_pr", "repo_write", {"files": [{"path": "deploy/a.yaml"}]}, (ALLOW, ALLOW, ALLOW)),
    ("Create fix PR", "create_fix_branch", "repo_write", {"files": [{"path": "deploy/a.yaml"}]}, (ALLOW, ALLOW, ALLOW)),
    ("Update workflow config, directly", "update_workflow_config", "repo_write", {}, (DENY, DENY, DENY)),
    (
        "Update workflow config, by PR",
        "update_workflow_config",
        "repo_write",
        {"via": "pull_request"},
        (ALLOW, ALLOW, APPROVAL),
    ),
    ("Promote release", "promote_release", "production_orchestration", ARTIFACT, (APPROVAL, APPROVAL, APPROVAL)),
    ("Promote release", "deploy_release", "production_orchestration", ARTIFACT, (APPROVAL, APPROVAL, APPROVAL)),
    ("Rollback", "rollback_release", "exposure_reducing", {"to": fixture("stable")}, (APPROVAL, APPROVAL, APPROVAL)),
    ("Rollback", "rollback_deployment", "exposure_reducing", {"to": fixture("stable")}, (APPROVAL, APPROVAL, DENY)),
    ("Rollback", "abort_canary", "exposure_reducing", {"to": fixture("stable")}, (APPROVAL, APPROVAL, APPROVAL)),
    ("Feature flag", "toggle_feature_flag", "incident_mitigation", {}, (ALLOW, APPROVAL, DENY)),
    ("Modify secrets", "modify_secret", "secret_mutation", {}, (DENY, DENY, DENY)),
    ("Modify secrets", "rotate_secret", "secret_mutation", {}, (DENY, DENY, DENY)),
    ("Disable tests", "disable_tests", "verification_weakening", {}, (DENY, DENY, DENY)),
    ("Change production data", "change_production_data", "data_mutation", {}, (DENY, DENY, DENY)),
    ("not in the table", "reboot_everything", "read", {}, (DENY, DENY, DENY)),
]


@pytest.mark.parametrize(("row", "tool", "category", "parameters", "expected"), TABLE)
@pytest.mark.parametrize("column", range(3))
def test_the_capability_table(row, tool, category, parameters, expected, column):
    environment = ("non-production", "staging", "production")[column]
    role = "coder" if category in {"repo_write", "harmless_reversible"} else "release-controller"
    question = asking(tool, category, parameters, action={"environment": environment}, principal={"role": role})
    assert decide(question).effect is expected[column], (row, environment)


@pytest.mark.parametrize(
    ("tier", "expected"), [("trivial", ALLOW), ("low", ALLOW), ("medium", APPROVAL), ("high", APPROVAL)]
)
def test_a_low_risk_release_goes_to_non_production_alone(tier, expected):
    question = asking("deploy_release", "production_orchestration", ARTIFACT, **LOW)
    question = merged(question, {"action": {"environment": "non-production"}, "change": {"declared_tier": tier}})
    question["operator"]["tier_floor"] = "trivial"
    assert decide(question).effect is expected


HIGH_RISK_PATHS = {
    "ci_workflows": [".github/workflows/build.yml", ".gitlab-ci.yml", "Jenkinsfile", ".ci/run"],
    "ci_actions": [".github/actions/setup/action.yml", ".github/dependabot.yml"],
    "dockerfiles": ["Dockerfile", "services/api/Dockerfile.prod", "Containerfile"],
    "build_scripts": ["Makefile", "scripts/build.sh", "setup.py", "app/build.gradle.kts"],
    "lock_files": ["poetry.lock", "web/package-lock.json", "go.sum", "requirements-dev.txt", "uv.lock"],
    "package_manager_config": ["pyproject.toml", "web/package.json", ".npmrc", "go.mod"],
    "base_images": ["compose.yaml", "docker-compose.override.yml", "base-image.txt", ".devcontainer/devcontainer.json"],
    "signing_config": ["cosign.pub", "keys/release.pem", ".sigstore.yaml", "CODEOWNERS"],
    "deployment_manifests": ["deploy/app.yaml", "charts/shop/values.yaml", "infra/main.tf", "k8s/a/b.yaml"],
    "security_scan_config": [".snyk", ".trivyignore", ".semgrep/rules.yml", ".gitleaks.toml"],
    "touches_intent": ["bywire.yaml", "services/shop/bywire.yml"],
}


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in HIGH_RISK_PATHS.items() for path in paths])
def test_high_risk_paths_make_a_change_high(name, path):
    quiet = merged(fixture("start"), LOW)
    assert tier_of(quiet)["tier"] == "low"
    tier = tier_of(merged(quiet, {"change": {"paths": ["app/a.py", path, "README.md"]}}))
    assert tier["tier"] == "high"
    assert {"by": name, "value": path} in tier["because"]


@pytest.mark.parametrize(
    "path", ["app/docker.py", "docs/deployment.md", "tests/test_makefile.py", "app/lockers.py", "a.pyx"]
)
def test_ordinary_paths_do_not(path):
    assert (
        tier_of(merged(fixture("start"), {**LOW, "change": {"declared_tier": "low", "paths": [path]}}))["tier"] == "low"
    )


def tier_of(question):
    (tier,) = [item for item in decide(question).obligations if item["kind"] == "tier"]
    return tier


@pytest.mark.parametrize("tier", ["trivial", "low", "medium", "high", "unheard-of", None, 7])
@pytest.mark.parametrize("floor", ["trivial", "low", "medium", "high"])
def test_a_declared_tier_only_raises(tier, floor):
    ranks = {"trivial": 0, "low": 1, "medium": 2, "high": 3}
    question = merged(fixture("start"), LOW)
    question["change"]["declared_tier"], question["operator"]["tier_floor"] = tier, floor
    rank = max(ranks.get(tier, 3), ranks[floor])
    assert ranks[tier_of(question)["tier"]] == rank


def paths_in(value, path=()):
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in items:
        yield from paths_in(inside, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replaced(copied[path[0]], path[1:], new)
    return copied


SET_WEIGHT = merged(
    asking("set_canary_weight", "production_orchestration", {**ARTIFACT, "weight": 25, "segments": ["desktop"]}),
    {"grant": fixture("grant")},
)
RETREAT = asking("rollback_release", "exposure_reducing", {"to": fixture("stable")}, retreat=fixture("retreat"))
# What each question does not turn on: names for people, records for later, and facts that other questions ask about.
NOT_READ = {
    "start": (
        "action.change action.dry_run action.plan action.parameters.origin action.parameters.warm facts.commit "
        "action.parameters.steps.N.segments operator.approver_roles.N operator.criticality operator.tier_floor "
        "operator.environments operator.limits operator.signers change.declared_tier change.touches_intent "
        "change.loosened change.migrations.N.path change.migrations.N.reversible facts.statements facts.plan "
        "facts.change_set facts.tests facts.evaluation facts.sbom facts.provenance facts.manifests.N.* facts.assets "
        "facts.vsa.statement facts.vsa.entry grant.id grant.kind grant.plan_digest grant.plan retreat "
        "state.incident_mode state.session state.budget state.target.canary state.target.weight"
    ),
    "set_weight": (
        "action.change action.dry_run action.digest facts.commit operator.approver_roles.N operator.criticality "
        "operator.tier_floor operator.environments operator.limits operator.signers change.declared_tier "
        "change.touches_intent change.loosened change.migrations.N.path change.migrations.N.reversible "
        "facts.statements facts.plan facts.change_set facts.tests facts.evaluation facts.sbom facts.provenance "
        "facts.manifests.N.* facts.assets facts.vsa.statement facts.vsa.entry grant.id grant.action_digest "
        "grant.plan.last_good grant.plan.origin grant.plan.warm grant.plan.steps.N retreat state.incident_mode "
        "state.session state.budget state.target"
    ),
    "gate": (
        "now_ms principal.kind principal.owner principal.role action.tool action.category action.service "
        "action.digest action.parameters action.plan action.change action.dry_run operator.criticality "
        "operator.tier_floor operator.environments operator.approver_roles operator.signers.key-agent "
        "operator.signers.key-builder.name operator.limits.rollout_ceiling operator.limits.rollout_first_step "
        "operator.limits.canary_lease_seconds change.declared_tier change.touches_intent change.migrations.N.path "
        "facts.commit facts.statements.N.digest facts.statements.N.signer.keyid facts.statements.N.signer.name "
        "facts.statements.N.subjects facts.statements.N.entry facts.plan.tier facts.change_set.files "
        "facts.tests.skipped facts.tests.isolation facts.sbom.components facts.provenance.builder "
        "facts.provenance.source_commit facts.manifests.N.path facts.manifests.N.name facts.manifests.N.api_version "
        "facts.manifests.N.selector facts.manifests.N.pod_labels facts.manifests.N.run_as_non_root "
        "facts.manifests.N.privileged facts.manifests.N.images facts.assets.N.name facts.assets.N.path "
        "facts.assets.N.digest facts.assets.N.provenance facts.vsa grant retreat state"
    ),
    "retreat": (
        "now_ms action.service action.change action.dry_run action.digest action.plan principal.role operator.* "
        "change.* facts.* grant state.stop state.freeze_window state.incident_mode state.bundle_digest state.session "
        "state.budget state.target"
    ),
}
QUESTIONS = {
    "start": (ACTION, merged(fixture("start"), {"grant": fixture("grant")})),
    "set_weight": (ACTION, SET_WEIGHT),
    "gate": (GATE, fixture("release")),
    "retreat": (ACTION, RETREAT),
}


def is_not_read(path, not_read):
    dotted = ".".join("N" if isinstance(part, int) else part for part in path)
    return any(
        dotted.startswith(known[:-1]) if known.endswith("*") else f"{dotted}.".startswith(f"{known}.")
        for known in not_read.split()
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_missing_or_malformed_part_is_never_an_allow(name):
    entrypoint, question = QUESTIONS[name]
    assert decide(question, entrypoint).effect is ALLOW
    let_through = {
        ".".join(map(str, path))
        for path in paths_in(question)
        if not is_not_read(path, NOT_READ[name])
        for new in (None, [7])
        if decide(replaced(question, path, new), entrypoint).effect is ALLOW
    }
    assert let_through == set()


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_malformed_part_breaks_the_engine(name):
    entrypoint, question = QUESTIONS[name]
    broken = {
        ".".join(map(str, path)): reason.facts
        for path in paths_in(question)
        for new in ("x", {})
        for reason in decide(replaced(question, path, new), entrypoint).reasons
        if reason.rule.startswith("engine.")
    }
    assert broken == {}


READS = ["get_deployment_status", "read_telemetry", "get_job_logs"]


@settings(max_examples=150, deadline=None)
@given(
    tool=st.sampled_from([*READS, "deploy_release", "nothing", None, 3]),
    category=st.sampled_from(["read", "production_orchestration", None]),
    environment=st.sampled_from(["production", "staging", "moon", None, ["production"]]),
    principal=st.sampled_from(["agent:a", "person:b", "workload:c", "d", None, 5]),
    kind=st.sampled_from(["agent", "person", "workload", "god", None]),
    owner=st.sampled_from(["person:b", "", None, 1, "agent:a"]),
    budget=st.sampled_from(
        [None, {"observed": 1, "limit": 2}, {"observed": 2, "limit": 2}, {"observed": None, "limit": 2}, 4]
    ),
    version=st.sampled_from([1, 1, 1, 2, None]),
)
def test_the_short_way_for_reads_agrees_with_the_long_way(
    tool, category, environment, principal, kind, owner, budget, version
):
    question = asking("", "", {})
    question["version"] = version
    question["action"] |= {"tool": tool, "category": category, "environment": environment}
    question["principal"] |= {"id": principal, "kind": kind, "owner": owner}
    question["state"]["budget"] = budget
    decision = decide(question)
    objections = {reason["rule"] for reason in evaluate("data.bywire.action.first_denials", question)}
    if decision.effect is ALLOW:
        assert {reason.rule for reason in decision.reasons} == {"allow.table"}
        assert objections == set()
    elif tool in READS:
        assert {reason.rule for reason in decision.reasons} == objections


def test_a_grant_for_another_action_asks_again_and_says_both_digests():
    question = merged(fixture("start"), {"grant": fixture("grant"), "action": {"digest": fixture("other")}})
    decision = decide(question)
    (reason,) = decision.reasons
    assert (decision.effect, reason.rule) == (APPROVAL, "grant.action_mismatch")
    assert reason.facts == {"approved": fixture("start_digest"), "asked": fixture("other")}


@pytest.mark.parametrize("weight", range(0, 101, 5))
def test_a_plan_covers_its_steps_and_nothing_else(weight):
    question = replaced(SET_WEIGHT, ("action", "parameters"), {**ARTIFACT, "weight": weight, "segments": ["desktop"]})
    assert (decide(question).effect is ALLOW) == (weight in {5, 25, 100})


@pytest.mark.parametrize("flag", ["stop", "freeze_all", "freeze_window"])
def test_only_a_general_freeze_holds_back_a_retreat(flag):
    stopped = {"state": {flag: True}}
    assert decide(merged(SET_WEIGHT, stopped)).effect is DENY
    assert (decide(merged(RETREAT, stopped)).effect is ALLOW) == (flag != "freeze_all")
    assert decide(merged(asking("read_telemetry", "read", {}), stopped)).effect is ALLOW


def test_a_retreat_to_another_digest_is_no_retreat():
    elsewhere = merged(RETREAT, {"action": {"parameters": {"to": fixture("other")}}})
    assert decide(elsewhere).effect is APPROVAL
    assert rules(merged(elsewhere, {"state": {"stop": True}})) == {"state.stopped"}


def test_a_person_may_ask_but_not_approve_themselves():
    question = merged(fixture("start"), PERSON)
    assert decide(question).effect is APPROVAL
    own = merged(question, {"grant": fixture("grant") | {"approver": "person:sam"}})
    assert rules(own) == {"duties.approver_is_requester"}
    assert decide(merged(question, {"grant": fixture("grant")})).effect is ALLOW


def test_a_denial_for_many_reasons_names_them_all_in_one_order():
    question = merged(fixture("release"), {"facts": {"sbom": None, "tests": {"failed": 2, "removed_tests": 1}}})
    decision = decide(question, GATE)
    assert [reason.rule for reason in decision.reasons] == [reason.rule for reason in decide(question, GATE).reasons]
    assert {(reason.rule, reason.hard) for reason in decision.reasons} == {
        ("gate.removed_tests", True),
        ("gate.sbom_missing", False),
        ("gate.tests_failed", False),
    }


def test_an_action_outside_every_delivery_needs_no_change():
    question = merged(
        asking("rollback_release", "exposure_reducing", {"to": fixture("stable")}), {"action": {"change": ""}}
    )
    question["change"], question["facts"] = {}, {}
    assert rules(question) == {"approval.required"}
    start = merged(fixture("start"), {"grant": fixture("grant")})
    start["change"] = {}
    assert {"input.incomplete", "duties.authors_unknown"} <= rules(start)


def test_the_door_can_meet_every_obligation_of_a_tool_that_exists():
    rows = bundle().tables["capabilities"]
    text = msgspec.json.encode(rows).decode()
    asked = {kind for group in re.findall(r'"obligations":\[([^]]*)\]', text) for kind in re.findall(r'"(\w+)"', group)}
    # No contract exists for a rerun yet, so nothing can be allowed with this one.
    assert asked - OBLIGATIONS == {"rerun_is_an_experiment"}
    assert "rerun_job" not in {contract.name for contract in CONTRACTS}
