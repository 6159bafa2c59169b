"""A revocation at its bounds, and each refusal under its own code."""

import msgspec
import pytest
from approval_fixtures import KEYS, NOW, TRUST, packet

from bywire.approvals.revocation import REVOKER_ROLES, Revocation, may_revoke, sign_revocation, verify_revocation
from bywire.model.errors import EvidenceError
from bywire.model.statement import APPROVAL, APPROVAL_REVOCATION, Statement, subject
from bywire.seal.dsse import sign_statement, unverified_statement

ALICE, BOB = "person:alice", "person:bob"
SAID = {"approval": packet().id, "person": ALICE, "reason": "wrong artifact", "at_ms": NOW}


def signed(key=KEYS[ALICE], kind=APPROVAL_REVOCATION, digest=None, said=None):
    about = subject(packet().id, digest or packet().digest)
    return sign_statement(Statement(subject=(about,), predicateType=kind, predicate=said or SAID), key)


def refusal(envelope):
    with pytest.raises(EvidenceError) as caught:
        verify_revocation(envelope, packet(), TRUST)
    assert caught.value.next_step
    return caught.value.code, caught.value.message


def test_what_is_signed_is_what_is_read():
    envelope = sign_revocation(packet(), ALICE, "wrong artifact", NOW, KEYS[ALICE])
    assert unverified_statement(envelope).predicate == SAID
    read = verify_revocation(envelope, packet(), TRUST)
    assert read == Revocation(packet().id, packet().digest, ALICE, "wrong artifact", NOW, KEYS[ALICE].key_id)
    with pytest.raises(AttributeError):
        read.person = BOB


@pytest.mark.parametrize("reason", ["x", " x ", "x" * 2_000])
def test_the_shortest_and_the_longest_reason(reason):
    assert verify_revocation(signed(said={**SAID, "reason": reason}), packet(), TRUST).reason == reason


@pytest.mark.parametrize("reason", ["", " ", "x" * 2_001])
def test_no_reason_and_too_long_a_one(reason):
    assert refusal(signed(said={**SAID, "reason": reason})) == (
        "revocation_malformed",
        "a revocation says why, shortly",
    )


@pytest.mark.parametrize(
    "envelope",
    [
        signed(kind=APPROVAL),
        signed(digest="0" * 64),
        signed(said={**SAID, "approval": "ap-other"}),
        signed(digest="0" * 64, said={**SAID, "approval": "ap-other"}),
    ],
)
def test_what_is_no_revocation_of_that_approval(envelope):
    assert refusal(envelope) == ("revocation_malformed", "this is no revocation of that approval")


@pytest.mark.parametrize("changes", [{"more": 1}, {"at_ms": 1.5}, {"reason": 5}])
def test_a_malformed_revocation(changes):
    code, message = refusal(signed(said={**SAID, **changes}))
    assert code == "revocation_malformed"
    assert "malformed" in message


def test_who_is_nobody():
    carol = signed(said={**SAID, "person": "person:carol"})
    assert refusal(carol) == ("approval_unknown_person", "person:carol holds no approver key")
    nobody = {name: value for name, value in SAID.items() if name != "person"}
    assert refusal(signed(said=nobody)) == ("approval_unknown_person", "nobody holds no approver key")
    assert refusal(signed(KEYS[BOB]))[0] == "signature_invalid"


def test_rule_25_a_retired_key_revokes_for_its_own_time():
    keys = tuple(msgspec.structs.replace(key, to_index=10) for key in TRUST.keys)
    retired = msgspec.structs.replace(TRUST, keys=keys)
    assert verify_revocation(signed(), packet(), retired, 9).person == ALICE
    with pytest.raises(EvidenceError):
        verify_revocation(signed(), packet(), retired, 10)


@pytest.mark.parametrize(
    ("roles", "gave", "may"),
    [
        ((), (BOB, ALICE), True),
        (("sre-oncall", "incident-commander"), (), True),
        (("security", "sre-oncall"), (BOB,), True),
        (("sre-oncall",), (BOB,), False),
    ],
)
def test_who_may_take_back(roles, gave, may):
    assert may_revoke(ALICE, roles, gave) is may
    assert sorted(REVOKER_ROLES) == ["incident-commander", "security"]
