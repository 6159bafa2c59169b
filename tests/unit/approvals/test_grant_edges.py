"""What verdicts amount to, field by field; and each way in which a packet may bind what it does not show."""

import pytest
from approval_fixtures import CHAT, EVIDENCE, KEYS, NOW, PLAN, TRUST, approve, packet

from bywire.approvals.candidate import Candidate, verify_approvals
from bywire.approvals.grant import (
    Approval,
    Grant,
    Verdict,
    expires_at_ms,
    grant_facts,
    kind_of,
    uses_of,
    verify_approval,
)
from bywire.approvals.packet import evidence_digest, sign_verdict
from bywire.model.errors import EvidenceError
from bywire.model.statement import APPROVAL, DECISION, Statement, subject
from bywire.seal import jcs
from bywire.seal.dsse import sign_statement, unverified_statement

ALICE, BOB = "person:alice", "person:bob"
RUNBOOK = {
    "service": "storefront",
    "environment": "production",
    "steps": [{"tool": "set_canary_weight", "parameters": {"weight": {"max": 25, "min": 0}}}],
    "uses": 3,
    "valid_seconds": 120,
}


def runbook_packet(runbook=RUNBOOK, **changes):
    action = {"tool": "start_runbook", "parameters": runbook, "principal": "agent:incident-responder"}
    given = {"plan": runbook, "evidence": (), "evidence_digest": evidence_digest(()), **changes}
    return packet(**{"action": action, "action_digest": jcs.digest(action), **given})


def refusal(envelope, trust=TRUST):
    with pytest.raises(EvidenceError) as caught:
        verify_approval(envelope, trust)
    assert caught.value.next_step
    return caught.value.code, caught.value.message


def said_of(of, key=KEYS[ALICE], kind=APPROVAL, digest=None, **changes):
    """A verdict with some of its fields replaced, signed all the same; None leaves a field out."""
    predicate = {**unverified_statement(approve(of)).predicate, **changes}
    predicate = {name: value for name, value in predicate.items() if value is not None}
    about = subject(of.id, digest or of.digest)
    return sign_statement(Statement(subject=(about,), predicateType=kind, predicate=predicate), key)


def granted(of, *envelopes):
    return verify_approvals(Candidate(of, envelopes or (approve(of),)), TRUST)


# --- a verdict ---


def test_a_verdict_is_read_field_by_field():
    verdict = verify_approval(approve(packet(), verdict="denied", role="security", reason="no"), TRUST)
    key_id = KEYS[ALICE].key_id
    assert (verdict.verdict, verdict.reason) == ("denied", "no")
    assert verdict.approval == Approval(ALICE, "security", "key", key_id, NOW + 1)
    assert (verdict.id, verdict.approver, verdict.key_id) == (packet().id, ALICE, key_id)
    assert verdict.packet.digest == packet().digest


def test_role_and_reason_may_be_missing_and_mean_nothing():
    verdict = verify_approval(said_of(packet(), role=None, reason=None), TRUST)
    assert (verdict.approval.role, verdict.reason) == ("", "")


@pytest.mark.parametrize(
    ("envelope", "code", "says"),
    [
        (said_of(packet(), approver="person:carol"), "approval_unknown_person", "person:carol holds no key"),
        (said_of(packet(), approver=None), "approval_unknown_person", "nobody holds no key"),
        (said_of(packet(), asserted_by="channel:mail"), "approval_unknown_person", "channel mail holds no key"),
        (said_of(packet(), asserted_by="mail:chat"), "approval_malformed", "nobody knows who asserts"),
        (said_of(packet(), asserted_by="channel:"), "approval_malformed", "nobody knows who asserts"),
        (said_of(packet(), asserted_by=["channel:chat"]), "approval_malformed", "nobody knows who asserts"),
        (said_of(packet(), digest="0" * 64), "approval_malformed", "over another packet"),
        (said_of(packet(), kind=DECISION), "approval_malformed", "no approval"),
        (said_of(packet(), verdict="maybe"), "approval_malformed", "no approval"),
        (said_of(packet(), reason="x" * 2_001), "approval_malformed", "no approval"),
        (said_of(packet(), at_ms=None), "approval_malformed", "malformed"),
        (said_of(packet(), packet=None), "approval_malformed", "malformed"),
        (said_of(packet(), key=KEYS[BOB]), "signature_invalid", ""),
    ],
)
def test_each_refusal_says_what_is_wrong(envelope, code, says):
    found, message = refusal(envelope)
    assert found == code
    assert says in message


def test_the_longest_reason_is_read():
    assert verify_approval(said_of(packet(), reason="x" * 2_000), TRUST).reason == "x" * 2_000


def test_rule_19_an_empty_assertion_is_the_persons_own():
    assert verify_approval(said_of(packet(), asserted_by=""), TRUST).approval.asserted_by == "key"
    chat = sign_verdict(packet(), "approved", BOB, "", "", NOW, CHAT, channel="chat")
    assert verify_approval(chat, TRUST).approval == Approval(BOB, "", "channel", CHAT.key_id, NOW)


# --- what is bound is what is shown ---


@pytest.mark.parametrize(
    "of",
    [
        packet(action_digest="0" * 64),
        packet(evidence_digest="0" * 64),
        packet(plan_digest="0" * 64),
        packet(plan=PLAN, plan_digest=""),
        packet(plan=PLAN, plan_digest="0" * 64),
        packet(quorum=0),
        packet(quorum=-1),
        packet(plan={**PLAN, "more": 1}),
        packet(plan={name: value for name, value in PLAN.items() if name != "steps"}),
        packet(plan={**PLAN, "ceiling": "100"}),
        runbook_packet(plan=None),
        runbook_packet({**RUNBOOK, "service": "other"}),
        runbook_packet({**RUNBOOK, "environment": "staging"}),
        runbook_packet({**RUNBOOK, "uses": 0}),
        runbook_packet(plan={**RUNBOOK, "uses": 4}),
        runbook_packet(plan=PLAN),
        runbook_packet(plan=RUNBOOK, plan_digest="0" * 64),
    ],
)
def test_rule_18_a_packet_that_binds_what_it_does_not_show(of):
    assert refusal(approve(of)) == ("approval_malformed", "the packet binds what it does not show")


def test_rule_18_the_digest_that_an_action_names_itself_is_no_part_of_it():
    action = {**packet().action, "digest": packet().action_digest}
    assert verify_approval(approve(packet(action=action)), TRUST).verdict == "approved"


@pytest.mark.parametrize("of", [packet(), packet(quorum=1), packet(quorum=5), packet(plan=PLAN), runbook_packet()])
def test_what_binds_what_it_shows_is_taken(of):
    assert verify_approval(approve(of), TRUST).verdict == "approved"


# --- what it amounts to ---


@pytest.mark.parametrize(
    ("of", "kind", "uses", "ends"),
    [
        (packet(), "single", 1, packet().expires_at_ms),
        (packet(plan={}), "single", 1, packet().expires_at_ms),
        (packet(plan=PLAN), "plan", 2 + 8, packet().expires_at_ms),
        (packet(plan={**PLAN, "steps": []}), "plan", 8, packet().expires_at_ms),
        (runbook_packet(), "runbook", 3, NOW + 120_000),
    ],
)
def test_what_an_approval_permits_for_how_often_and_how_long(of, kind, uses, ends):
    assert (kind_of(of), uses_of(of), expires_at_ms(of)) == (kind, uses, ends)


def test_an_action_without_a_tool_is_single():
    assert kind_of(packet(action={})) == "single"


@pytest.mark.parametrize("of", [packet(), packet(plan=PLAN), runbook_packet()])
def test_a_grant_is_its_packet_and_who_agreed(of):
    envelopes = (approve(of, approver=BOB, role="security", reason="fine"), approve(of))
    grant = granted(of, *envelopes)
    assert grant == Grant(
        id=of.id,
        kind=kind_of(of),
        verdict="approved",
        approver=BOB,
        approver_role="security",
        reason="fine",
        packet=grant.packet,
        key_id=KEYS[BOB].key_id,
        uses=uses_of(of),
        approvals=(
            Approval(BOB, "security", "key", KEYS[BOB].key_id, NOW + 1),
            Approval(ALICE, "sre-oncall", "key", KEYS[ALICE].key_id, NOW + 1),
        ),
    )
    assert grant.packet.digest == of.digest
    assert grant.expires_at_ms == expires_at_ms(of)


def test_a_denial_keeps_who_agreed_and_names_who_did_not():
    grant = granted(packet(), approve(packet()), approve(packet(), approver=BOB, verdict="denied", reason="no"))
    assert (grant.verdict, grant.approver, grant.reason, grant.key_id) == ("denied", BOB, "no", KEYS[BOB].key_id)
    assert [item.approver for item in grant.approvals] == [ALICE]


def facts(of, bound, uses_left=2, *, revoked=False):
    return grant_facts(granted(of), evidence_digest=evidence_digest(bound), uses_left=uses_left, revoked=revoked)


def test_rule_20_the_policy_sees_the_plan():
    seen = facts(packet(plan=PLAN), EVIDENCE, revoked=True)
    assert (seen["kind"], seen["uses_left"], seen["revoked"], seen["runbook"]) == ("plan", 2, True, None)
    assert seen["plan_digest"] == jcs.digest(PLAN)
    assert seen["plan"] == {
        "artifact": "a" * 64,
        "last_good": "b" * 64,
        "service": "storefront",
        "environment": "production",
        "ceiling": 100,
        "warm": True,
        "steps": [5, 50],
        "segments": [["ios"], []],
    }


def test_rule_20_the_policy_sees_the_runbook_and_no_plan():
    seen = facts(runbook_packet(), EVIDENCE)
    assert (seen["kind"], seen["plan"], seen["expires_at_ms"]) == ("runbook", None, NOW + 120_000)
    assert seen["runbook"] == {
        "digest": jcs.digest(RUNBOOK),
        "steps": RUNBOOK["steps"],
        "environment": "production",
        "service": "storefront",
    }


@pytest.mark.parametrize(
    ("of", "bound", "matches"),
    [
        (packet(), EVIDENCE, True),
        (packet(), (), False),
        (packet(evidence=(), evidence_digest=evidence_digest(())), EVIDENCE, False),
        (packet(evidence=(), evidence_digest=evidence_digest(())), (), True),
        (packet(plan=PLAN), (), False),
        (runbook_packet(), EVIDENCE, True),
        (runbook_packet(), (), True),
        (runbook_packet(evidence=EVIDENCE, evidence_digest=evidence_digest(EVIDENCE)), EVIDENCE, True),
        (runbook_packet(evidence=EVIDENCE, evidence_digest=evidence_digest(EVIDENCE)), (), False),
    ],
)
def test_rule_18_only_a_runbook_without_evidence_leaves_it_to_its_steps(of, bound, matches):
    assert facts(of, bound)["evidence_digest_matches"] is matches


# --- a candidate ---


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({}, True),
        ({"settled": "approved"}, False),
        ({"revoked": True}, False),
        ({"settled": "x", "revoked": True}, False),
    ],
)
def test_whether_a_person_may_still_answer(changes, waits):
    assert Candidate(packet(), **changes).waiting is waits


def test_a_request_begins_waiting_and_permits_nothing():
    made = Candidate(packet())
    assert (made.envelopes, made.uses_left, made.revoked, made.settled) == ((), 0, False, "")
    assert verify_approvals(made, TRUST) is None


def test_what_was_verified_does_not_change_in_memory():
    verdict, grant = verify_approval(approve(packet()), TRUST), granted(packet())
    for made, field in (
        (verdict, "reason"),
        (verdict.approval, "role"),
        (grant, "uses"),
        (Candidate(packet()), "settled"),
    ):
        with pytest.raises(AttributeError):
            setattr(made, field, getattr(made, field))
    assert isinstance(verdict, Verdict)
