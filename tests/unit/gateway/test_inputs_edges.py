"""The policy input, field by field: named state, counts, the operator's word, the grant as it is allowed to look."""

import msgspec
import pytest
from gateway_doubles import (
    AGENT,
    ALICE,
    ARTIFACT,
    BOB,
    BUNDLE,
    KEYS,
    LAST_GOOD,
    NOW,
    OPERATOR,
    SNAPSHOT,
    TRUST,
    ask,
    entrance,
)

from bywire.approvals.candidate import Candidate, verify_approvals
from bywire.approvals.packet import sign_verdict
from bywire.gateway import inputs
from bywire.gateway.packets import build_packet
from bywire.gateway.ports import Debit
from bywire.identity.registration import Pattern, Registration
from bywire.model.decision import Decision, Effect
from bywire.model.operator import ChangeWindow, Gate, Limits
from bywire.model.principal import KeyRole, Principal, PrincipalKind

SCOPE = f"principal:{AGENT.id}"
RERUN = {"run_id": "77", "job_id": "tests", "failure_fingerprint": "f00"}


def asked(*args, **changes):
    return entrance().ask("1", ask(*args, **changes))


def of_operator(**changes):
    return msgspec.structs.replace(OPERATOR, **changes)


def mine(**changes):
    return Registration(principal=AGENT.id, owner="person:dana", pattern=Pattern.CANARY_MANAGER, **changes)


# --- the operator ---


def test_rule_01_the_operators_word_is_told_whole():
    operator = of_operator(
        criticality="internal",
        tier_floor="medium",
        limits=Limits(evaluation_pass_ratio=1.0, coverage_changed_lines=0.5),
        gates={"low": Gate("automatic"), "high": Gate("multi-signer", 2, ("security",))},
        tool_rates={"z": 1, "a": 2},
    )
    facts = inputs.operator_facts(operator, TRUST)
    builder = KEYS["workload:builder"][1].key_id
    assert facts["signers"] == {builder: {"role": "builder", "name": "workload:builder"}}
    assert facts["limits"]["coverage_changed_lines"] == 0.5
    # A whole number stays one: its text is part of every decision's input.
    assert repr(facts["limits"]["evaluation_pass_ratio"]) == "1"
    assert (facts["criticality"], facts["tier_floor"]) == ("internal", "medium")
    assert facts["approver_roles"] == ["security", "sre-oncall"]
    assert facts["gates"]["high"] == {"kind": "multi-signer", "count": 2, "roles": ("security",)}
    assert list(facts["gates"]) == ["high", "low"]
    assert list(facts["tool_rates"].items()) == [("a", 2), ("z", 1)]
    assert set(facts) == {"criticality", "tier_floor", "limits", "signers", "approver_roles", "gates", "tool_rates"}


def test_rule_25_a_key_that_is_over_signs_nothing_more():
    def at(role, **changes):
        keys = tuple(msgspec.structs.replace(key, role=role, **changes) for key in TRUST.keys[-1:])
        return inputs.operator_facts(OPERATOR, msgspec.structs.replace(TRUST, keys=keys))["signers"]

    assert len(at(KeyRole.BUILDER)) == 1
    assert at(KeyRole.BUILDER, to_index=5) == {}
    assert at(KeyRole.AGENT) == at(KeyRole.LOG) == {}


# --- who and what ---


def test_who_asks_is_told_with_the_operators_roles_and_the_registration():
    facts = inputs.principal_facts(SNAPSHOT, OPERATOR, mine(tools=("b", "a"), expires_at_ms=5))
    assert facts == {
        "id": AGENT.id,
        "kind": "agent",
        "owner": "person:dana",
        "team": "",
        "role": "release-controller",
        "roles": [],
        "registration": {"pattern": "canary-manager", "tools": ["a", "b"], "environments": [], "expires_at_ms": 5},
    }
    person = Principal(ALICE, PrincipalKind.PERSON)
    session = msgspec.structs.replace(SNAPSHOT.session, principal=person)
    facts = inputs.principal_facts(msgspec.structs.replace(SNAPSHOT, session=session), OPERATOR, None)
    assert (facts["kind"], facts["roles"], facts["owner"], facts["registration"]) == (
        "person",
        ["sre-oncall"],
        "",
        None,
    )


def test_the_action_is_told_whole():
    made = asked(evidence=("e" * 64, "c" * 64), plan="f" * 64, change="dl-1", dry_run=True)
    assert inputs.action_facts(made) == {
        "tool": "set_canary_weight",
        "category": "production_orchestration",
        "environment": "production",
        "service": "storefront",
        "digest": made.action.digest,
        "parameters": made.action.parameters,
        "evidence": ["c" * 64, "e" * 64],
        "plan": "f" * 64,
        "change": "dl-1",
        "dry_run": True,
        "unmet_preconditions": ["artifact_is_canary"],
        "undo": "reversible",
        "integrity": "trusted",
        "findings": [],
        "cost": [],
    }
    assert inputs.action_facts(asked())["dry_run"] is False


def test_where_a_surface_saw_that_it_leads_is_told_and_else_not_named():
    seen = {"host": "api.example", "port": 443}
    assert inputs.action_facts(asked(destination=seen))["destination"] == seen
    assert "destination" not in inputs.action_facts(asked())


# --- counts ---


@pytest.mark.parametrize(
    ("tool", "values", "rates", "registration", "counts"),
    [
        ("set_canary_weight", None, {}, None, [(SCOPE, 50)]),
        ("set_canary_weight", None, {}, mine(), [(SCOPE, 50)]),
        ("set_canary_weight", None, {}, mine(actions_per_hour=20), [(SCOPE, 20)]),
        ("set_canary_weight", None, {}, mine(actions_per_hour=0), [(SCOPE, 0)]),
        ("set_canary_weight", None, {}, mine(actions_per_hour=51), [(SCOPE, 50)]),
        ("set_canary_weight", None, {"set_canary_weight": 4}, None, [(SCOPE, 50), ("tool:set_canary_weight", 4)]),
        ("set_canary_weight", None, {"promote_release": 4}, None, [(SCOPE, 50)]),
        ("rerun_job", RERUN, {}, None, [(SCOPE, 50), ("tool:rerun_job", 6)]),
        ("rerun_job", RERUN, {"rerun_job": 2}, None, [(SCOPE, 50), ("tool:rerun_job", 2)]),
        ("rm_rf", {}, {}, None, [(SCOPE, 50)]),
        ("rm_rf", {}, {"rm_rf": 1}, None, [(SCOPE, 50), ("tool:rm_rf", 1)]),
        (
            "rerun_job",
            RERUN,
            {},
            mine(tool_rates={"rerun_job": 3}),
            [(SCOPE, 50), ("tool:rerun_job", 6), (f"{SCOPE}|tool:rerun_job", 3)],
        ),
        ("rerun_job", RERUN, {}, mine(tool_rates={"cancel": 3}), [(SCOPE, 50), ("tool:rerun_job", 6)]),
        (
            "set_canary_weight",
            None,
            {},
            mine(tool_rates={"set_canary_weight": 0}),
            [
                (SCOPE, 50),
                (f"{SCOPE}|tool:set_canary_weight", 0),
            ],
        ),
    ],
)
def test_every_count_that_an_action_uses_up(tool, values, rates, registration, counts):
    key = "" if tool == "rerun_job" else "k1"
    found = inputs.debits(asked(tool, values, key), of_operator(tool_rates=rates), registration)
    assert found == tuple(Debit(scope, limit) for scope, limit in counts)


# --- state ---


def state(operator=OPERATOR, now_ms=NOW, **changes):
    made = asked()
    made = msgspec.structs.replace(made, now_ms=now_ms, snapshot=msgspec.structs.replace(SNAPSHOT, **changes))
    return inputs.state_facts(made, operator, [{"name": "x"}])


def test_rule_07_state_is_named():
    hour = NOW // inputs.HOUR_MS
    tainted = msgspec.structs.replace(SNAPSHOT.session, integrity="tainted")
    found = state(stopped=True, freeze_all=True, incident_mode=True, session=tainted, budget_hour=hour, budget_used=4)
    assert inputs.HOUR_MS == 60 * 60 * 1_000
    assert found == {
        "stop": True,
        "stop_epoch": 3,
        "freeze_all": True,
        "freeze_window": False,
        "change_window": None,
        "incident_mode": True,
        "bundle_digest": BUNDLE,
        "session": {"integrity": "tainted"},
        "budget": {"observed": 4, "limit": 50},
        "limits": [{"name": "x"}],
        "usage": [],
        "target": {"version": 7, "stable": LAST_GOOD, "canary": "", "weight": 0},
    }
    calm = state(budget_hour=hour - 1, budget_used=4)
    assert (calm["stop"], calm["freeze_all"], calm["incident_mode"]) == (False, False, False)
    assert calm["budget"]["observed"] == 0


@pytest.mark.parametrize(
    ("now_ms", "frozen"), [(NOW - 1, False), (NOW, True), (NOW + 9, True), (NOW + 10, False), (NOW + 25, True)]
)
def test_a_freeze_window_holds_its_start_and_not_its_end(now_ms, frozen):
    operator = of_operator(freeze_windows=((NOW, NOW + 10), (NOW + 20, NOW + 30)))
    assert state(operator, now_ms)["freeze_window"] is frozen


@pytest.mark.parametrize(("days", "is_open"), [(range(7), True), ((), False)])
def test_a_change_window_is_told_open_or_not(days, is_open):
    operator = of_operator(change_windows=(ChangeWindow(tuple(days), 0, 1_440),))
    assert state(operator)["change_window"] is is_open


# --- the grant ---


def granted(made, *people):
    wanted = Decision("id", Effect.APPROVAL_NEEDED, (), (), "e", BUNDLE, "entry", "i")
    shown = {"now_ms": NOW, "state": {"target": made.target, "session": {"integrity": "trusted"}}}
    packet = build_packet(made.action, made.contract, wanted, shown, expires_at_ms=NOW + 9)
    signed = [sign_verdict(packet, "approved", who, role, "", NOW, KEYS[who][1]) for who, role in people]
    return verify_approvals(Candidate(packet, tuple(signed)), TRUST)


def test_rule_19_a_role_in_a_grant_is_the_operators_word():
    made = asked(evidence=("e" * 64,))
    grant = granted(made, (ALICE, "security"), (BOB, "security"))
    facts = inputs.grant_input(grant, made.action, OPERATOR, 3, revoked=True)
    assert facts["approver_role"] == ""
    assert [(item["approver"], item["role"]) for item in facts["approvals"]] == [(ALICE, ""), (BOB, "security")]
    assert (facts["uses_left"], facts["revoked"], facts["evidence_digest_matches"]) == (3, True, True)
    other = msgspec.structs.replace(made.action, evidence=("c" * 64,))
    assert not inputs.grant_input(grant, other, OPERATOR, 3, revoked=False)["evidence_digest_matches"]
    assert inputs.grant_input(None, made.action, OPERATOR, 3, revoked=False) is None


@pytest.mark.parametrize(
    ("person", "claimed", "held"),
    [(ALICE, "sre-oncall", "sre-oncall"), (ALICE, "security", ""), ("person:eve", "security", ""), (ALICE, "", "")],
)
def test_rule_19_a_claimed_role_is_held_or_nothing(person, claimed, held):
    assert inputs.role_held(OPERATOR, person, claimed) == held


def test_what_nothing_allows_is_called_unknown_and_irreversible():
    facts = inputs.action_facts(asked("rm_rf", {"artifact": ARTIFACT}))
    assert (facts["category"], facts["undo"], facts["unmet_preconditions"]) == ("unknown", "irreversible", [])
