"""What the shipped policy does with questions that are malformed, changed or stopped: it never says yes by accident."""

import pytest
from knowledge import ACTION, GATE, asking, bundle, fixture, merged

from bywire.model.decision import Effect
from bywire.policy.engine import PolicyEngine

ENGINE = PolicyEngine(bundle())
ALLOW, APPROVAL, DENY = Effect.ALLOW, Effect.APPROVAL_NEEDED, Effect.DENY
ARTIFACT = {"artifact": fixture("artifact")}
PERSON = {"principal": fixture("sam")}


def decide(question, entrypoint=ACTION):
    return ENGINE.decide(entrypoint, question)


def rules(question, entrypoint=ACTION):
    return {reason.rule for reason in decide(question, entrypoint).reasons}


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
ALWAYS_UNREAD = (
    "action.undo action.integrity break_glass shadow operator.tool_rates principal.role principal.roles "
    "principal.registration.tools.N principal.registration.environments.N principal.registration.expires_at_ms "
    "state.change_window "
)
NOT_READ = {
    "start": (
        "operator.gates.high.count grant.approver_role "
        "action.change action.dry_run action.plan action.parameters.origin action.parameters.warm facts.commit "
        "action.parameters.steps.N.segments operator.approver_roles.N operator.criticality operator.tier_floor "
        "operator.environments operator.limits operator.signers change.declared_tier change.touches_intent "
        "change.loosened change.migrations.N.path change.migrations.N.reversible facts.statements facts.plan "
        "facts.change_set facts.tests facts.evaluation facts.sbom facts.provenance facts.manifests.N.* facts.assets "
        "facts.vsa.statement facts.vsa.entry grant.id grant.kind grant.plan_digest grant.plan retreat "
        "state.incident_mode state.session state.budget state.target.canary state.target.weight"
    ),
    "set_weight": (
        "operator.gates.high.count grant.approver_role "
        "action.change action.dry_run action.digest facts.commit operator.approver_roles.N operator.criticality "
        "operator.tier_floor operator.environments operator.limits operator.signers change.declared_tier "
        "change.touches_intent change.loosened change.migrations.N.path change.migrations.N.reversible "
        "facts.statements facts.plan facts.change_set facts.tests facts.evaluation facts.sbom facts.provenance "
        "facts.manifests.N.* facts.assets facts.vsa.statement facts.vsa.entry grant.id grant.action_digest "
        "grant.plan.last_good grant.plan.origin grant.plan.warm grant.plan.steps.N retreat state.incident_mode "
        "state.session state.budget state.target"
    ),
    "gate": (
        "principal.registration operator.gates action.unmet_preconditions "
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
        "state.limits "
        "now_ms action.service action.change action.dry_run action.digest action.plan principal.role operator.* "
        "change.* facts.* grant state.stop state.freeze_window state.incident_mode state.bundle_digest state.session "
        "state.budget state.target"
    ),
}
CALLED, OPENING = fixture("called"), fixture("opening")
# What nobody of the shared rules turns on: an agent's own policy does, or the intent transaction.
NOT_READ |= {
    "called": (
        "action.meaning action.cost action.digest action.plan action.dry_run action.service principal.role "
        "operator.approver_roles operator.gates facts.* retreat grant state.usage state.incident_mode state.session "
        "state.bundle_digest state.budget state.target state.limits.N.name state.freeze_window action.parameters "
        "action.connected.risk"
    ),
    "opening": (
        "now_ms change.* facts.* operator.* grant retreat state.freeze_window state.usage state.incident_mode "
        "state.session state.bundle_digest state.budget state.target action.parameters action.digest action.plan "
        "action.service action.change action.dry_run principal.role action.destination.tunnel"
    ),
}
QUESTIONS = {
    "called": (ACTION, CALLED),
    "opening": (ACTION, OPENING),
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
def test_rule_08_a_missing_or_malformed_part_is_never_an_allow(name):
    entrypoint, question = QUESTIONS[name]
    assert decide(question, entrypoint).effect is ALLOW
    let_through = {
        ".".join(map(str, path))
        for path in paths_in(question)
        if not is_not_read(path, ALWAYS_UNREAD + NOT_READ[name])
        for new in (None, [7])
        if decide(replaced(question, path, new), entrypoint).effect is ALLOW
    }
    assert let_through == set()


@pytest.mark.parametrize("name", QUESTIONS)
def test_rule_08_no_malformed_part_breaks_the_engine(name):
    entrypoint, question = QUESTIONS[name]
    broken = {
        ".".join(map(str, path)): reason.facts
        for path in paths_in(question)
        for new in ("x", {})
        for reason in decide(replaced(question, path, new), entrypoint).reasons
        if reason.rule.startswith("engine.")
    }
    assert broken == {}


def test_rule_18_a_grant_for_another_action_asks_again_and_says_both_digests():
    question = merged(fixture("start"), {"grant": fixture("grant"), "action": {"digest": fixture("other")}})
    decision = decide(question)
    (reason,) = decision.reasons
    assert (decision.effect, reason.rule) == (APPROVAL, "grant.action_mismatch")
    assert reason.facts == {"approved": fixture("start_digest"), "asked": fixture("other")}


@pytest.mark.parametrize("weight", range(0, 101, 5))
def test_rule_20_a_plan_covers_its_steps_and_nothing_else(weight):
    question = replaced(SET_WEIGHT, ("action", "parameters"), {**ARTIFACT, "weight": weight, "segments": ["desktop"]})
    assert (decide(question).effect is ALLOW) == (weight in {5, 25, 100})


@pytest.mark.parametrize("flag", ["stop", "freeze_all", "freeze_window"])
def test_rule_16_only_a_general_freeze_holds_back_a_retreat(flag):
    stopped = {"state": {flag: True}}
    assert decide(merged(SET_WEIGHT, stopped)).effect is DENY
    assert (decide(merged(RETREAT, stopped)).effect is ALLOW) == (flag != "freeze_all")
    assert decide(merged(asking("read_telemetry", "read", {}), stopped)).effect is ALLOW


def test_rule_16_a_retreat_to_another_digest_is_no_retreat():
    elsewhere = merged(RETREAT, {"action": {"parameters": {"to": fixture("other")}}})
    assert decide(elsewhere).effect is APPROVAL
    assert rules(merged(elsewhere, {"state": {"stop": True}})) == {"state.stopped"}


def test_rule_19_a_person_may_ask_but_not_approve_themselves():
    question = merged(fixture("start"), PERSON)
    assert decide(question).effect is APPROVAL
    own = merged(question, {"grant": fixture("grant") | {"approver": "person:sam"}})
    assert rules(own) == {"duties.approver_is_requester"}
    assert decide(merged(question, {"grant": fixture("grant")})).effect is ALLOW


def test_rule_16_a_retreat_passes_what_holds_everything_else_back():
    spent = {"name": "tool:rollback_release", "observed": 9, "limit": 9}
    trouble = {
        "principal": {"registration": {"expires_at_ms": 1}},
        "action": {"unmet_preconditions": ["canary_exists"], "integrity": "tainted", "undo": "irreversible"},
        "operator": {"gates": {"high": {"kind": "scheduled", "count": 3}}},
        "change": {"migrations": [{"path": "migrations/8.sql", "reversible": False}]},
        "facts": {"vsa": None},
        "state": {"stop": True, "freeze_window": True, "change_window": False, "limits": [spent], "budget": {}},
    }
    assert rules(merged(RETREAT, trouble)) == {"allow.retreat"}
    assert rules(merged(RETREAT, trouble | {"state": {"freeze_all": True}})) == {"state.frozen_all"}
    assert len(rules(merged(RETREAT, trouble | {"retreat": None}))) > 1


@pytest.mark.parametrize("place", ["session", "action"])
@pytest.mark.parametrize("integrity", ["tainted", "fine", None])
def test_rule_22_untrusted_text_takes_high_risk_out_of_an_agents_hands(place, integrity):
    label = {"action": {"integrity": integrity}, "state": {"session": {"integrity": integrity}}}
    tainted = {"state": label["state"]} if place == "session" else {"action": label["action"]}
    elsewhere = {"action": {"environment": "non-production"}}
    flag = merged(asking("toggle_feature_flag", "incident_mitigation", {}), elsewhere)
    assert decide(flag).effect is ALLOW
    assert rules(merged(flag, tainted)) == {"approval.required", "session.tainted"}
    # What exposes nothing and is easily undone stays possible.
    fix = asking("create_fix_pr", "repo_write", {"files": [{"path": "deploy/a.yaml"}]})
    assert decide(merged(fix, tainted)).effect is ALLOW
