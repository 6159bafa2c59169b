"""Rules of an agent's own policy on trial, end to end: signed, told to the policy, recorded, counted and reported."""

import json

import pytest
import yaml
from scene import Scene, refused

from bywire.model.action import ActionRequest
from bywire.model.decision import Effect, OutcomeStatus
from bywire.wiring.door import Joined

CONTRACT = """version: 1
upstream: deployer
tools:
  - name: deploy
    category: environment_write
    risk: low
    reviewed: true
    idempotency: native
    undo: reversible
    meaning: {replicas: replicas, image: image}
    cost: [{unit: replica_hours, parameter: replicas, factor: 24}]
    request: {method: POST, path: "/deploy"}
    schema:
      type: object
      additionalProperties: false
      properties: {replicas: {}, image: {type: string}, mode: {type: string}}
"""
POLICY = """agent: deploy-manager
actions:
  - name: deploy
    approval_needed: parameters.mode == "bold"
    allowed_images: [{digest: "sha256:DIGEST"}]
    otherwise: approval
    budgets: {per_hour: {replica_hours: 50}}
budgets:
  per_day: {replica_hours: 100}
""".replace("DIGEST", "a" * 64)
LISTED, OTHER = (f"registry.example/app@sha256:{64 * digit}" for digit in "ab")
# Nobody listens there: what was let through is counted all the same.
UPSTREAM = {"name": "deployer", "kind": "http", "url": "http://127.0.0.1:9", "private": True, "environment": "staging"}
BUDGET, ASKED = "agents.deploy-manager.budget", "agents.deploy-manager.approval_needed"


def put(scene, name, text):
    place = scene.operator / name
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(0o600)


@pytest.fixture(scope="module")
def governed(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("trials") / "scene").prepared()
    scene.configure(environment="staging", criticality="internal", tier_floor="trivial")
    put(scene, "contracts/deployer.yaml", CONTRACT)
    put(scene, "gateway.yaml", yaml.safe_dump({"version": 1, "upstreams": [UPSTREAM]}))
    put(scene, "agent-policies/deploy-manager.yaml", POLICY)
    registered = scene.bywire(
        *("agents", "register", "agent:deploy-manager", "--owner", "dana", "--pattern", "constrained-executor"),
        *("--tool", "deployer.deploy", "--environment", "staging"),
    )
    assert registered.code == 0, registered
    assert scene.bywire("policy", "compile").code == 0
    assert scene.bywire("policy", "list").out.splitlines()[-1].startswith("in force")
    yield scene
    scene.close()


@pytest.fixture
def scene(governed, tmp_path):
    return governed.clone(tmp_path / "scene")


def shadow(scene, rule, person="oncall"):
    arguments = ("--as", person, "--days", "7", "--reason", "tuning", "--json")
    return scene.bywire("policy", "shadow", "begin", rule, *arguments)


def calls(scene, *many):
    """The outcome of one call for each of `many` parameters."""
    opened = scene.workspace()
    try:
        joined, token = Joined(opened), opened.token("agent:deploy-manager", "r")
        place = opened.operator.service, "staging"
        given = [{"image": LISTED, **values} for values in many]
        requests = [ActionRequest("deployer.deploy", *place, values, f"k-{json.dumps(values)}") for values in given]
        outcomes = [joined.door.call(token, request) for request in requests]
        joined.close()
        return outcomes
    finally:
        opened.close()


def tried(outcome):
    return {item["rule"]: item["owner"] for item in outcome.decision.obligations if item["kind"] == "shadowed"}


def test_rule_28_a_budget_on_trial_is_counted_recorded_and_reported(scene):
    over = [{"replicas": 1, "mode": "a"}, {"replicas": 1, "mode": "b"}, {"replicas": 1, "mode": "c"}, {"replicas": 9}]
    *_, third, most = calls(scene, *over)
    assert third.error["code"] == "state.hour_budget_spent"
    assert {reason.rule for reason in most.decision.reasons} == {BUDGET}
    assert shadow(scene, BUDGET).code == 0
    *_, third, most = calls(scene, *[{**values, "mode": values.get("mode", "") + "again"} for values in over])
    for outcome in (third, most):
        assert outcome.decision.effect is Effect.ALLOW
        assert outcome.status is not OutcomeStatus.DENIED
        assert tried(outcome) == {BUDGET: "person:oncall"}
        assert any(item.get("shadowed") is True for item in outcome.decision.obligations if item["kind"] == "debit")
    found = scene.bywire("policy", "shadow", "report", "--since", "1h", "--json").json
    suggested = {item["subject"]: item for item in found["suggestions"]}
    day = suggested["replica_hours by the day of principal:agent:deploy-manager"]
    hour = suggested["replica_hours by the hour of principal:agent:deploy-manager|tool:deployer.deploy"]
    assert (day["limit"], hour["limit"], day["rule"]) == (100, 50, BUDGET)
    assert day["highest"] == hour["highest"] > 100
    told = scene.bywire("policy", "shadow", "report", "--since", "1h").out
    assert "the limit is 50; 99 of 100 asked for at most" in told
    assert "replica_hours by the hour of" in told
    assert scene.bywire("policy", "shadow", "end", BUDGET, "--as", "oncall").code == 0
    (after,) = calls(scene, {"replicas": 1, "mode": "late"})
    assert after.status is OutcomeStatus.DENIED


def test_rule_28_asking_a_person_may_be_on_trial_but_by_no_owners_word(scene):
    bold = {"replicas": 0, "mode": "bold"}
    (asked,) = calls(scene, bold)
    assert asked.status is OutcomeStatus.PENDING
    assert shadow(scene, ASKED).code == 0
    (alone,) = calls(scene, {**bold, "replicas": 1})
    assert (alone.decision.effect, tried(alone)) == (Effect.ALLOW, {ASKED: "person:oncall"})
    report = scene.bywire("policy", "shadow", "report", "--since", "1h", "--json").json
    assert [(item["rule"], item["count"]) for item in report["rules"]] == [(ASKED, 1)]


@pytest.mark.parametrize("rule", ["allow.table", "inspect.masked", "inspect.uncertain", "bounds.capped"])
def test_rule_28_what_refuses_nothing_cannot_be_on_trial(scene, rule):
    error = refused(shadow(scene, rule), "shadow_refused")
    assert "refuses nothing and asks nobody by itself" in error["message"]


IMAGE = "agents.deploy-manager.image_not_allowed"


def test_an_image_that_is_not_listed_waits_for_a_person_and_one_without_a_digest_for_nobody(scene):
    """Seed 003: a mismatched image becomes a question to a person where the operator says so."""
    other = {"replicas": 0, "image": OTHER}
    asked, tagged = calls(scene, other, {"replicas": 0, "image": "registry.example/app:latest"})
    assert (asked.status, tagged.status) == (OutcomeStatus.PENDING, OutcomeStatus.DENIED)
    (why,) = [reason.facts for reason in asked.decision.reasons if reason.rule == IMAGE]
    assert (why["image"], why["message"]) == (OTHER, "this image is not one of the allowed ones, so a person decides")
    assert {reason.rule for reason in tagged.decision.reasons} == {IMAGE}
    approved = scene.bywire("approvals", "approve", asked.approval_id, "--as", "oncall", "--yes", "--json")
    assert approved.code == 0, approved
    (sent,) = calls(scene, other)
    assert {reason.rule for reason in sent.decision.reasons} == {"allow.grant"}
    (another,) = calls(scene, {**other, "image": OTHER.replace("b", "c")})
    assert another.status is OutcomeStatus.PENDING
