"""What the policy is told, and what a person is shown: named state and verified facts, nothing claimed."""

import msgspec
import pytest

from bywire.approvals.packet import evidence_digest
from bywire.gateway import inputs, packets
from bywire.gateway.asking import Asked
from bywire.gateway.canonical import canonicalise
from bywire.gateway.contract import Catalogue
from bywire.gateway.contracts import CONTRACTS
from bywire.gateway.ports import StateSnapshot
from bywire.gateway.redaction import Redactor
from bywire.identity.session import Session
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.action import ActionRequest
from bywire.model.decision import Decision, Effect
from bywire.model.operator import Limits, OperatorConfig, Person
from bywire.model.principal import KeyRole, Principal, PrincipalKind
from bywire.seal import jcs
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
HOUR = NOW // inputs.HOUR_MS
AGENT = Principal("agent:release-controller", PrincipalKind.AGENT, "person:dana")
OPERATOR = OperatorConfig(
    service="storefront",
    people=(Person("person:alice", roles=("sre-oncall",)), Person("person:bob", roles=("service-owner", "sre-oncall"))),
    limits=Limits(actions_per_hour=7),
    freeze_windows=((NOW - 10, NOW), (NOW + 5, NOW + 10)),
)
SNAPSHOT = StateSnapshot(
    stop_epoch=3,
    stopped=False,
    freeze_all=False,
    bundle_digest="d" * 64,
    session=Session("se-1", AGENT, "run-1", "tainted"),
    budget_hour=HOUR,
    budget_used=4,
)
CATALOGUE = Catalogue(CONTRACTS)
REQUEST = ActionRequest("promote_release", "storefront", "production", {"artifact": "a" * 64}, "k", ("c" * 64,))
ACTION = canonicalise(REQUEST, AGENT, Redactor(b"w" * 32))
CONTRACT = CATALOGUE.find("promote_release")


def trusted(role, principal, seed, **more):
    key = SigningKey.from_seed(seed * 32)
    return TrustedKey(key.key_id, role, principal, key.public.raw_public.hex(), **more)


def asked(now_ms=NOW, contract=CONTRACT, action=ACTION, **changes):
    return Asked(
        request=REQUEST,
        action=action,
        contract=contract,
        snapshot=msgspec.structs.replace(SNAPSHOT, **changes),
        target={"version": 7},
        now_ms=now_ms,
        key="k",
        unmet=("artifact_is_canary",),
        first_digest=action.digest,
    )


def state(now_ms=NOW, limits=(), **changes):
    return inputs.state_facts(asked(now_ms, **changes), OPERATOR, list(limits))


def packet(action=ACTION, facts=None, contract=CONTRACT, obligations=(), now_ms=NOW, integrity="trusted"):
    decision = Decision("id", Effect.APPROVAL_NEEDED, (), obligations, "e", "d" * 64, "entry", "i")
    session = {"integrity": integrity}
    question = {"now_ms": now_ms, "state": {"target": {"version": 7}, "session": session}, "facts": facts or {}}
    return packets.build_packet(action, contract, decision, question, expires_at_ms=now_ms + 60_000)


def test_rule_07_state_is_named_and_counted():
    assert state() == {
        "stop": False,
        "stop_epoch": 3,
        "freeze_all": False,
        "freeze_window": False,
        "change_window": None,
        "incident_mode": False,
        "bundle_digest": "d" * 64,
        "session": {"integrity": "tainted"},
        "budget": {"observed": 4, "limit": 7},
        "limits": [],
        "usage": [],
        "target": {"version": 7},
    }
    assert state(stopped=True)["stop"]
    assert state(freeze_all=True)["freeze_all"]


@pytest.mark.parametrize(
    ("now_ms", "frozen"), [(NOW - 11, False), (NOW - 10, True), (NOW - 1, True), (NOW, False), (NOW + 5, True)]
)
def test_a_freeze_window_holds_its_start_and_not_its_end(now_ms, frozen):
    assert state(now_ms)["freeze_window"] is frozen


def test_rule_11_a_budget_counts_this_hour_only():
    assert state(HOUR * inputs.HOUR_MS)["budget"]["observed"] == 4
    assert state((HOUR + 1) * inputs.HOUR_MS)["budget"]["observed"] == 0
    assert state(HOUR * inputs.HOUR_MS - 1)["budget"]["observed"] == 0


def test_rule_01_limits_and_signers_come_from_the_operator():
    trust = TrustRoot(
        version=1,
        origin="o",
        keys=(
            trusted(KeyRole.BUILDER, "workload:builder", b"1"),
            trusted(KeyRole.BUILDER, "workload:old", b"2", to_index=5),
            trusted(KeyRole.LOG, "workload:log", b"3"),
            trusted(KeyRole.AGENT, "agent:coder", b"4"),
        ),
    )
    facts = inputs.operator_facts(OPERATOR, trust)
    assert [signer["name"] for signer in facts["signers"].values()] == ["workload:builder"]
    assert facts["limits"]["actions_per_hour"] == 7
    assert facts["approver_roles"] == ["service-owner", "sre-oncall"]


@pytest.mark.parametrize(
    ("person", "claimed", "held"),
    [
        ("person:alice", "sre-oncall", "sre-oncall"),
        ("person:alice", "service-owner", ""),
        ("person:mallory", "sre-oncall", ""),
        ("agent:release-controller", "sre-oncall", ""),
        ("person:alice", "", ""),
    ],
)
def test_rule_19_a_role_is_the_operators_word(person, claimed, held):
    assert inputs.role_held(OPERATOR, person, claimed) == held


def test_the_action_is_told_in_its_canonical_form():
    facts = inputs.action_facts(asked())
    assert (facts["category"], facts["digest"], facts["evidence"]) == (CONTRACT.category, ACTION.digest, ["c" * 64])
    assert (facts["unmet_preconditions"], facts["undo"], facts["integrity"]) == (
        ["artifact_is_canary"],
        "reversible",
        "tainted",
    )
    unknown = inputs.action_facts(asked(contract=None))
    assert (unknown["category"], unknown["undo"]) == ("unknown", "irreversible")
    assert inputs.principal_facts(SNAPSHOT, OPERATOR, None) == {
        "id": "agent:release-controller",
        "kind": "agent",
        "owner": "person:dana",
        "team": "",
        "role": "release-controller",
        "roles": [],
        "registration": None,
    }
    assert inputs.grant_input(None, ACTION, OPERATOR, 3, revoked=False) is None


# --- the packet ---


def test_rule_18_a_packet_binds_the_action_its_evidence_and_the_policy():
    made = packet()
    assert made.action_digest == ACTION.digest == made.action["digest"]
    assert made.evidence_digest == evidence_digest(("c" * 64,))
    assert (made.bundle_digest, made.environment, made.requester) == ("d" * 64, "production", AGENT.id)
    assert (made.plan, made.plan_digest) == (None, "")
    assert made.expires_at_ms == NOW + 60_000
    assert (made.undo, made.expected) == (CONTRACT.undo, CONTRACT.expected)
    assert packet() == made
    assert packet(now_ms=NOW + 1).id != made.id


def test_rule_20_the_plan_tool_binds_its_plan():
    plan = {"artifact": "a" * 64, "steps": [], "ceiling": 5}
    request = msgspec.structs.replace(REQUEST, tool="start_rollout", parameters=plan)
    made = packet(canonicalise(request, AGENT, Redactor(b"w" * 32)), contract=CATALOGUE.find("start_rollout"))
    assert (made.plan, made.plan_digest) == (plan, jcs.digest(plan))


def test_the_approver_roles_and_tier_are_those_that_the_policy_wants():
    wanted = ({"kind": "tier", "tier": "low"}, {"kind": "approval", "roles": ["security"], "count": 1, "tier": "high"})
    assert packet(obligations=wanted).approver_roles == ("security",)
    assert packet(obligations=wanted).tier == "high"
    assert packet().approver_roles == ()


ALL = {"tests": {"isolation": "namespaces"}, "provenance": {"level": 3}, "sbom": {"completeness": 1}, "plan": {"x": 1}}
ALL |= {"vsa": {"passed": True}}


def test_rule_22_what_a_tainted_session_asks_for_says_so():
    (line,) = packet(facts=ALL, integrity="tainted").uncertain
    assert "untrusted text" in line


def test_what_is_missing_is_said_first():
    assert packet(facts=ALL).missing == ()
    assert packet().missing == ("no test report", "no provenance", "no SBOM", "no plan", "no gate verdict")
    for name in ALL:
        assert len(packet(facts={**ALL, name: None}).missing) == 1


def test_what_speaks_against_is_said():
    assert packet(facts=ALL).contrary == ()
    facts = {**ALL, "evaluation": {"cases": 40, "passed": 38}, "earlier_rollouts": ["rolled back at 5%"]}
    assert packet(facts=facts).contrary == (
        "assistant evaluation: 2 of 40 fail",
        "earlier rollout of this artifact: rolled back at 5%",
    )


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"provenance": {"level": 1}}, "SLSA L1"),
        ({"tests": {"isolation": "none"}}, "without isolation"),
        ({"sbom": {"completeness": 0.75}}, "75%"),
    ],
)
def test_what_is_uncertain_is_said(facts, says):
    assert packet(facts=ALL).uncertain == ()
    (line,) = packet(facts={**ALL, **facts}).uncertain
    assert says in line


@pytest.mark.parametrize("facts", [{}, dict.fromkeys(ALL), {name: {} for name in ALL}])
def test_facts_that_are_not_there_break_no_packet(facts):
    assert packet(facts=facts).missing


def test_an_obligation_that_decides_the_tier_is_found_wherever_the_policy_puts_it():
    shipped = (
        {"kind": "approval", "roles": ["sre-oncall"], "count": 1},
        {"kind": "tier", "tier": "low", "because": []},
    )
    assert packet(obligations=shipped).tier == "low"
