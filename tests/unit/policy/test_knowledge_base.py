"""What the shipped policy promises as a whole; each rule by itself is proved by the Rego tests beside it."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knowledge import ACTION, GATE, asking, bundle, evaluate, files, fixture, merged

from bywire.model.decision import Effect
from bywire.policy import regotest
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import RULES, PolicyEngine
from bywire.policy.rule_index import rule_sites

ENGINE = PolicyEngine(bundle())
ALLOW, APPROVAL, SANITIZE = Effect.ALLOW, Effect.APPROVAL_NEEDED, Effect.SANITIZE
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
    deciding = {path: body for path, body in files().items() if not path.endswith("_test.rego")}
    broken = deciding | {"action_test.rego": b"package bywire.action_test\n\ntest_x if 1 == 2\n"}
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


def test_rule_09_hard_rules_are_listed_and_exist():
    listed = set(bundle().tables["hard_rules"])
    assert listed <= set(rule_sites(bundle()))
    assert listed == {
        "action.category_mismatch",
        "action.environment_unknown",
        "action.evidence_patched",
        "action.secret_mutation",
        "action.tests_disabled",
        "action.unknown_tool",
        "break_glass.signature_invalid",
        "contract.definition_changed",
        "egress.metadata",
        "gate.removed_tests",
        "gate.statement_unverified",
        "grant.approver_not_person",
        "grant.revoked",
        "grant.signature_invalid",
        "input.clock",
        "input.incomplete",
        "input.version",
        "principal.kind_mismatch",
        "principal.owner_missing",
        "principal.unregistered",
        "rollout.ceiling_exceeded",
        "state.frozen_all",
        "state.journal_missing",
        "state.stopped",
    }


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
    "auth_change": [
        "app/auth.py",
        "src/oauth2/client.ts",
        "web/login-form.tsx",
        "lib/user_permissions.rb",
        "iam/roles.json",
    ],
    "payment_change": ["app/payments/refund.py", "billing.go", "src/checkout/cart.ts", "lib/stripe_invoices.py"],
}
MEDIUM_RISK_PATHS = {
    "schema_change": ["db/migrations/0007_add_rows.py", "schema.graphql", "proto/quotes.proto", "sql/seed.sql"],
}


RISKY_PATHS = [
    (tier, name, path)
    for tier, classes in (("high", HIGH_RISK_PATHS), ("medium", MEDIUM_RISK_PATHS))
    for name, paths in classes.items()
    for path in paths
]


@pytest.mark.parametrize(("expected", "name", "path"), RISKY_PATHS)
def test_rule_01_risky_paths_raise_the_tier(expected, name, path):
    quiet = merged(fixture("start"), LOW)
    assert tier_of(quiet)["tier"] == "low"
    tier = tier_of(merged(quiet, {"change": {"paths": ["app/a.py", path, "README.md"]}}))
    assert tier["tier"] == expected
    assert {"by": name, "value": path} in tier["because"]


def test_the_ten_classes_of_the_seed_are_there():
    assert set(HIGH_RISK_PATHS) - {"touches_intent", "auth_change", "payment_change"} == set(
        bundle().tables["path_classes"]
    )


@pytest.mark.parametrize(
    ("undo", "expected"),
    [("reversible", "low"), ("compensatable", "medium"), ("irreversible", "high"), (None, "high"), ("easy", "high")],
)
def test_the_harder_to_undo_the_higher(undo, expected):
    question = merged(fixture("start"), LOW | {"action": {"undo": undo}})
    assert tier_of(question)["tier"] == expected
    question["state"]["limits"] = fixture("counted")
    question["action"] |= {"tool": "cancel_workflow", "category": "harmless_reversible", "environment": "staging"}
    assert decide(question).effect is (ALLOW if undo in {"reversible", "compensatable"} else APPROVAL)


@pytest.mark.parametrize(
    "path",
    [
        "app/docker.py",
        "docs/deployment.md",
        "tests/test_makefile.py",
        "app/lockers.py",
        "a.pyx",
        "AUTHORS.py",
        "app/author.py",
        "app/recharge.py",
        "lib/schematic.ts",
    ],
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
def test_rule_01_a_declared_tier_only_raises(tier, floor):
    ranks = {"trivial": 0, "low": 1, "medium": 2, "high": 3}
    question = merged(fixture("start"), LOW)
    question["change"]["declared_tier"], question["operator"]["tier_floor"] = tier, floor
    rank = max(ranks.get(tier, 3), ranks[floor])
    assert ranks[tier_of(question)["tier"]] == rank


@pytest.mark.parametrize("pattern", bundle().tables["patterns"])
def test_every_pattern_reads_the_short_way(pattern):
    question = asking("get_deployment_status", "read", {}, principal={"registration": {"pattern": pattern}})
    assert evaluate("data.bywire.read.allowed", question) is True


READS = ["get_deployment_status", "read_telemetry", "get_job_logs"]
CALLED = ["github.read_it"]
CONTRACT = fixture("contract")
CONTRACTS = [
    *(CONTRACT | {"reviewed": reviewed} for reviewed in (False, None, "true")),
    *(CONTRACT | {"definition": definition} for definition in ("none", "changed", None)),
    *(CONTRACT | {"upstream": upstream} for upstream in ("gitlab", "", None)),
    *(CONTRACT | {"risk": risk} for risk in ("very-high", None)),
    {},
    None,
    "github",
]
FOUND = [
    {"kind": "x", "class": kind, "parameter": "p", "certain": certain}
    for kind in ("secret", "pii", "encoded", "novel")
    for certain in (True, False, None)
]
WHERE = {"host": "git.example.com", "port": 443, "address_class": "public", "listed": True, "tunnel": False}
DESTINATIONS = [
    WHERE,
    *(WHERE | {"address_class": kind} for kind in ("private", "raw", "metadata", "friendly", None)),
    *(WHERE | {"port": port} for port in (22, "443", None)),
    *(WHERE | {"host": host} for host in ("", None)),
    *(WHERE | {"listed": listed} for listed in (False, None, "true")),
    *(WHERE | {"tunnel": tunnel} for tunnel in (True, None)),
    None,
    [],
    "git.example.com",
]
REGISTERED = fixture("registration") | {"tools": [*fixture("registration")["tools"], *CALLED]}
REGISTRATIONS = [
    REGISTERED,
    *(REGISTERED | {"pattern": pattern} for pattern in ("advisor", "canary-manager", "autopilot", None)),
    *(REGISTERED | {"expires_at_ms": ends} for ends in (1, 1790000000001, "never")),
    *(REGISTERED | {"tools": tools} for tools in ([], "get_job_logs", {"a": "get_job_logs"}, READS)),
    *(REGISTERED | {"environments": places} for places in (["staging"], None, "production")),
    {},
    None,
]
COUNTS = [{"observed": 1, "limit": 2}, {"observed": 2, "limit": 2}, {"observed": None, "limit": 2}, {}, 4, None]


@settings(max_examples=500, deadline=None)
@given(
    action=st.fixed_dictionaries(
        {
            "tool": st.sampled_from([*READS, *CALLED * 4, "deploy_release", "nothing", None, 3]),
            "category": st.sampled_from(["read", "read", "read", "production_orchestration", None]),
            "environment": st.sampled_from(["production", "production", "staging", "moon", None, ["production"]]),
            "parameters": st.sampled_from(
                [{}, {"max_bytes": 9}, {"max_bytes": 10**9}, {"max_bytes": None}, {"window_seconds": 86_400}, None]
            ),
            "unmet_preconditions": st.sampled_from([[], [], ["canary_exists"], None, "x"]),
            "connected": st.one_of(st.just(CONTRACT), st.sampled_from(CONTRACTS)),
            "findings": st.one_of(st.just([]), st.sampled_from([None, {}, ["x"], *([found] for found in FOUND)])),
            "destination": st.one_of(st.just({}), st.sampled_from(DESTINATIONS)),
        }
    ),
    principal=st.fixed_dictionaries(
        {
            "id": st.sampled_from(["agent:a", "agent:b", "person:b", "workload:c", "d", None, 5]),
            "kind": st.sampled_from(["agent", "agent", "person", "workload", "god", None]),
            "owner": st.sampled_from(["person:b", "person:b", "", None, 1, "agent:a"]),
            "registration": st.sampled_from(REGISTRATIONS),
        }
    ),
    budget=st.sampled_from(COUNTS),
    limits=st.sampled_from([[], [], COUNTS[:1], COUNTS[:2], COUNTS[2:3], COUNTS[3:], None, {}]),
    version=st.sampled_from([1, 1, 1, 2, None]),
)
def test_the_short_way_for_reads_agrees_with_the_long_way(action, principal, budget, limits, version):
    question = merged(asking("", "", {}), {"version": version, "state": {"budget": budget, "limits": limits}})
    question["action"] |= action
    question["principal"] |= principal
    decision = decide(question)
    objections = {reason["rule"] for reason in evaluate("data.bywire.action.first_denials", question)}
    if decision.effect is ALLOW:
        assert {reason.rule for reason in decision.reasons} == {"allow.table"}
        assert {reason["rule"] for reason in evaluate("data.bywire.approval.allow", question)} == {"allow.table"}
        assert objections == set()
        assert evaluate("data.bywire.bounds.over", question) == []
        assert action["tool"] in READS or evaluate("data.bywire.inspect.reasons", question) == []
    elif evaluate("data.bywire.action.reads", question) is not True:
        assert decision.effect is not SANITIZE
    elif objections:
        assert {reason.rule for reason in decision.reasons} == objections
    else:
        assert decision.effect is SANITIZE or rules(question) == {"input.incomplete"}


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


def test_an_agents_own_policy_forbids_it_more_and_nobody_else():
    own = b"""package bywire.agents["release-controller"]

deny contains {"rule": "agents.release-controller.night", "facts": {}} if input.now_ms > 0
"""
    engine = PolicyEngine(parse_bundle(files() | {"agents/release-controller.rego": own}))
    for question in (
        merged(fixture("start"), {"grant": fixture("grant")}),
        asking("get_deployment_status", "read", {}),
    ):
        (reason,) = engine.decide(ACTION, question).reasons
        assert reason.rule == "agents.release-controller.night"
        other = merged(question, {"principal": {"id": "agent:other"}})
        assert engine.decide(ACTION, other).effect is ALLOW
