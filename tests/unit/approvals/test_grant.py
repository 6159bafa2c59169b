"""A grant is what a person's own key signed over exactly this packet, and permits nothing else."""

import base64
import json

import msgspec
import pytest
from approval_fixtures import EVIDENCE, KEYS, NOW, PLAN, TRUST, action_packet, approve, other, packet

from bywire.approvals.candidate import Candidate, verify_approvals
from bywire.approvals.grant import PLAN_USES_BESIDE_STEPS, grant_facts, verify_approval
from bywire.approvals.packet import Packet, evidence_digest
from bywire.model.errors import EvidenceError
from bywire.model.statement import APPROVAL, DECISION, Statement, subject
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement


def code_of(envelope, trust=TRUST, index=None):
    with pytest.raises(EvidenceError) as caught:
        verify_approval(envelope, trust, index)
    assert caught.value.next_step
    return caught.value.code


def sign(predicate, *, key=KEYS["person:alice"], kind=APPROVAL, about=None):
    said = Statement(subject=(about or subject(packet().id, packet().digest),), predicateType=kind, predicate=predicate)
    return sign_statement(said, key)


def predicate(**changes):
    said = {
        "packet": packet().as_json(),
        "verdict": "approved",
        "approver": "person:alice",
        "role": "sre-oncall",
        "reason": "fine",
        "at_ms": NOW,
    }
    return {**said, **changes}


def granted(of, envelope):
    """What one verdict amounts to."""
    return verify_approvals(Candidate(of, (envelope,)), TRUST)


def facts(grant, *, evidence=EVIDENCE, uses_left=1, revoked=False):
    return grant_facts(grant, evidence_digest=evidence_digest(evidence), uses_left=uses_left, revoked=revoked)


def test_a_persons_signature_is_a_grant():
    grant = granted(packet(), approve(packet()))
    assert (grant.id, grant.kind, grant.verdict, grant.uses) == ("ap-0123456789ab", "single", "approved", 1)
    assert (grant.approver, grant.approver_role, grant.reason) == ("person:alice", "sre-oncall", "looked at it")
    assert grant.key_id == KEYS["person:alice"].key_id
    assert grant.packet == packet()


def test_a_denial_is_no_permission():
    assert verify_approval(approve(packet(), verdict="denied"), TRUST).verdict == "denied"


def test_rule_20_a_plan_grant_counts_its_steps():
    grant = granted(packet(plan=PLAN), approve(packet(plan=PLAN)))
    assert (grant.kind, grant.uses) == ("plan", len(PLAN["steps"]) + PLAN_USES_BESIDE_STEPS)
    assert facts(grant)["plan"] == {
        "artifact": "a" * 64,
        "last_good": "b" * 64,
        "service": "storefront",
        "environment": "production",
        "ceiling": 100,
        "warm": True,
        "steps": [5, 50],
        "segments": [["ios"], []],
    }


@pytest.mark.parametrize("claimed", ["person:alice", "agent:release-controller", "workload:builder", "", "person:"])
def test_rule_09_an_agent_key_never_approves(claimed):
    for signer in ("agent:release-controller", "workload:builder"):
        assert code_of(approve(packet(), approver=claimed, key=KEYS[signer])) in {
            "signature_invalid",
            "approval_unknown_person",
        }


def test_rule_03_one_person_cannot_sign_for_another():
    assert code_of(approve(packet(), approver="person:alice", key=KEYS["person:bob"])) == "signature_invalid"
    assert code_of(approve(packet(), approver="person:carol", key=KEYS["person:bob"])) == "approval_unknown_person"


@pytest.mark.parametrize("claimed", [None, 1, ["person:alice"], {"id": "person:alice"}, "Person:alice", "alice"])
def test_a_claimed_approver_of_another_shape_is_nobody(claimed):
    assert code_of(sign(predicate(approver=claimed))) == "approval_unknown_person"


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(Packet)])
def test_rule_18_the_signature_is_over_this_very_packet(field):
    seen = packet()
    tampered = {**seen.as_json(), field: other(getattr(seen, field))}
    assert code_of(sign(predicate(packet=tampered), about=subject(seen.id, seen.digest))) == "approval_malformed"


@pytest.mark.parametrize(
    "packet_with_a_lie",
    [
        packet(action_digest="0" * 64),
        msgspec.structs.replace(action_packet(weight=5), action=action_packet(weight=50).action),
        packet(evidence=EVIDENCE[:1]),
        packet(evidence_digest=evidence_digest(())),
    ],
)
def test_rule_18_what_was_shown_is_what_is_bound(packet_with_a_lie):
    assert code_of(approve(packet_with_a_lie)) == "approval_malformed"


def test_rule_18_an_envelope_changed_after_signing_is_refused():
    parsed = json.loads(approve(packet()))
    payload = base64.b64decode(parsed["payload"])
    for before, after in ((b'"weight":5', b'"weight":6'), (b"approved", b"denied"), (b"person:alice", b"person:bobby")):
        assert before in payload
        parsed["payload"] = base64.b64encode(payload.replace(before, after)).decode()
        assert code_of(json.dumps(parsed).encode()) in {"signature_invalid", "approval_unknown_person"}


@pytest.mark.parametrize("about", [subject("ap-1", sha256_hex(b"another")), subject("ap-1", packet(tier="low").digest)])
def test_a_wrong_subject_is_refused(about):
    assert code_of(sign(predicate(), about=about)) == "approval_malformed"


def test_another_kind_of_statement_is_no_approval():
    assert code_of(sign(predicate(), kind=DECISION)) == "approval_malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "maybe"},
        {"verdict": None},
        {"verdict": True},
        {"reason": "x" * 2_001},
        {"reason": None},
        {"role": 1},
        {"at_ms": "now"},
        {"packet": None},
        {"packet": []},
        {"packet": {**packet().as_json(), "extra": 1}},
        {"packet": {name: value for name, value in packet().as_json().items() if name != "missing"}},
        {"packet": {**packet().as_json(), "expires_at_ms": "never"}},
    ],
)
def test_a_malformed_approval_is_refused(changes):
    assert code_of(sign(predicate(**changes))) == "approval_malformed"


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"steps": []},
        {**PLAN, "steps": "many"},
        {**PLAN, "steps": [5, 50]},
        {**PLAN, "steps": [{"segments": []}]},
        {**PLAN, "ceiling": "100"},
        {**PLAN, "extra": 1},
    ],
)
def test_rule_20_a_signed_plan_that_is_none_grants_nothing(plan):
    signed = packet(plan=plan, plan_digest=jcs.digest(plan))
    assert code_of(approve(signed)) == "approval_malformed"


def test_rule_20_a_plan_under_another_digest_is_refused():
    assert code_of(approve(packet(plan=PLAN, plan_digest="e" * 64))) == "approval_malformed"
    assert code_of(approve(packet(plan=None, plan_digest="e" * 64))) == "approval_malformed"


@pytest.mark.parametrize("envelope", [b"", b"{}", b"null", b"\xff"])
def test_what_is_no_envelope_grants_nothing(envelope):
    assert code_of(envelope) == "envelope_malformed"


def test_rule_25_a_retired_approver_key_is_believed_for_its_own_time_only():
    keys = tuple(msgspec.structs.replace(key, to_index=10) for key in TRUST.keys)
    retired = msgspec.structs.replace(TRUST, keys=keys)
    assert verify_approval(approve(packet()), retired, index=9).verdict == "approved"
    assert code_of(approve(packet()), retired, index=10) == "approval_unknown_person"
    assert code_of(approve(packet()), retired) == "approval_unknown_person"


def test_the_policy_sees_what_the_person_bound():
    seen = facts(granted(packet(), approve(packet())), uses_left=3)
    asked = packet()
    assert seen == {
        "id": asked.id,
        "kind": "single",
        "approver": "person:alice",
        "approver_role": "sre-oncall",
        "approvals": [
            {"approver": "person:alice", "role": "sre-oncall", "asserted_by": "key", "signature_verified": True}
        ],
        "signature_verified": True,
        "action_digest": asked.action_digest,
        "plan_digest": "",
        "evidence_digest_matches": True,
        "bundle_digest": asked.bundle_digest,
        "expires_at_ms": asked.expires_at_ms,
        "uses_left": 3,
        "revoked": False,
        "plan": None,
        "runbook": None,
    }


def test_rule_18_other_evidence_no_longer_fits():
    grant = granted(packet(), approve(packet()))
    assert facts(grant, evidence=tuple(reversed(EVIDENCE)))["evidence_digest_matches"]
    for evidence in ((), EVIDENCE[:1], (*EVIDENCE, "0" * 64), (EVIDENCE[0], EVIDENCE[0])):
        assert not facts(grant, evidence=evidence)["evidence_digest_matches"]
    assert facts(grant, revoked=True)["revoked"]
