"""Taking back is signed like giving, is about one packet, and is not for everybody."""

import pytest
from approval_fixtures import KEYS, NOW, TRUST, approve, packet

from bywire.approvals.revocation import may_revoke, sign_revocation, verify_revocation
from bywire.model.errors import EvidenceError
from bywire.model.statement import APPROVAL_REVOCATION, Statement, subject
from bywire.seal.dsse import sign_statement

ALICE, BOB = "person:alice", "person:bob"


def revoked(of=None, person=ALICE, key=None, reason="wrong artifact"):
    return sign_revocation(of or packet(), person, reason, NOW, key or KEYS[person])


def code_of(envelope, of=None):
    with pytest.raises(EvidenceError) as caught:
        verify_revocation(envelope, of or packet(), TRUST)
    assert caught.value.next_step
    return caught.value.code


def test_a_signed_revocation_is_believed():
    told = verify_revocation(revoked(), packet(), TRUST)
    assert (told.approval, told.person, told.reason, told.at_ms) == (packet().id, ALICE, "wrong artifact", NOW)
    assert told.key_id == KEYS[ALICE].key_id


def test_nobody_revokes_in_anothers_name():
    assert code_of(revoked(person=ALICE, key=KEYS[BOB])) == "signature_invalid"
    for agent in ("agent:release-controller", "workload:builder"):
        assert code_of(revoked(person=ALICE, key=KEYS[agent])) == "signature_invalid"
        assert code_of(revoked(person=agent, key=KEYS[agent])) == "approval_unknown_person"


@pytest.mark.parametrize("of", [packet(id="ap-other"), packet(tier="low")])
def test_a_revocation_is_of_one_packet(of):
    assert code_of(revoked(of)) == "revocation_malformed"
    assert code_of(revoked(), of) == "revocation_malformed"


@pytest.mark.parametrize("changes", [{"approval": "ap-other"}, {"approval": None}, {"more": 1}, {"at_ms": "now"}])
def test_what_it_says_is_what_it_is_about(changes):
    said = {"approval": packet().id, "person": ALICE, "reason": "wrong artifact", "at_ms": NOW, **changes}
    about = subject(packet().id, packet().digest)
    statement = Statement(subject=(about,), predicateType=APPROVAL_REVOCATION, predicate=said)
    assert code_of(sign_statement(statement, KEYS[ALICE])) == "revocation_malformed"


def test_an_approval_is_no_revocation():
    assert code_of(approve(packet())) == "approval_unknown_person"


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2_001])
def test_a_reason_is_given_and_short(reason):
    assert code_of(revoked(reason=reason)) == "revocation_malformed"


@pytest.mark.parametrize(
    ("roles", "gave", "may"),
    [
        ((), (ALICE,), True),
        ((), (BOB,), False),
        ((), (), False),
        (("sre-oncall",), (BOB,), False),
        (("incident-commander",), (BOB,), True),
        (("security",), (), True),
        (("service-owner", "database-owner"), (), False),
    ],
)
def test_who_may_take_back(roles, gave, may):
    assert may_revoke(ALICE, roles, gave) is may
