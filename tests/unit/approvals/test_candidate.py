"""Several verdicts on one packet: persons are counted, not keys, and what does not verify counts for nobody."""

import json
from pathlib import Path

import msgspec
import pytest
from approval_fixtures import CHAT, KEYS, NOW, PLAN, TRUST, approve, packet

from bywire.approvals.candidate import Candidate, verify_approvals
from bywire.approvals.grant import grant_facts, verify_approval
from bywire.approvals.packet import Packet, sign_verdict
from bywire.identity.trust import TrustedKey, TrustRoot, check_trust_root, parse_trust_root
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import APPROVAL, Statement, subject
from bywire.seal import jcs
from bywire.seal.dsse import sign_statement, unverified_statement
from bywire.seal.keys import SigningKey

RECORDED = json.loads((Path(__file__).parent / "recorded" / "approval_before_quorum.json").read_text())


def combined(*envelopes, of=None, trust=TRUST):
    return verify_approvals(Candidate(of or packet(), envelopes), trust)


def by(*people, of=None, **changes):
    return [approve(of or packet(), approver=f"person:{name}", **changes) for name in people]


def said_in_chat(person="person:carol", *, channel="chat", key=CHAT, of=None):
    return sign_verdict(of or packet(), "approved", person, "sre-oncall", "", NOW, key, channel=channel)


def code_of(envelope, trust=TRUST):
    with pytest.raises(EvidenceError) as caught:
        verify_approval(envelope, trust)
    return caught.value.code


class TestQuorum:
    def test_two_persons_are_two_approvals_oldest_first(self):
        grant = combined(*by("bob", "alice"))
        assert [item.approver for item in grant.approvals] == ["person:bob", "person:alice"]
        assert (grant.verdict, grant.approver) == ("approved", "person:bob")
        assert all(item.asserted_by == "key" for item in grant.approvals)

    def test_nobody_is_no_grant(self):
        assert combined() is None
        assert combined(b"", b"{}", b"null") is None

    def test_rule_19_one_person_with_one_key_counts_once(self):
        grant = combined(*by("alice"), *by("alice", role="security"), *by("alice", reason="again"))
        assert len(grant.approvals) == 1
        assert grant.approvals[0].role == "sre-oncall"

    def test_rule_19_one_person_with_two_keys_counts_once(self):
        second = SigningKey.from_seed(b"A" * 32)
        more = TrustedKey(
            key_id=second.key_id,
            role=KeyRole.APPROVER,
            principal="person:alice",
            public=second.public.raw_public.hex(),
        )
        trust = msgspec.structs.replace(TRUST, keys=(*TRUST.keys, more))
        check_trust_root(trust)
        grant = combined(*by("alice"), *by("alice", key=second), trust=trust)
        assert len(grant.approvals) == 1
        assert len(combined(*by("alice", key=second), *by("bob"), trust=trust).approvals) == 2

    def test_one_denial_denies_wherever_it_stands(self):
        denial = approve(packet(), approver="person:bob", verdict="denied", reason="not on a Friday")
        for envelopes in ((denial, *by("alice")), (*by("alice"), denial)):
            grant = combined(*envelopes)
            assert (grant.verdict, grant.approver, grant.reason) == ("denied", "person:bob", "not on a Friday")

    def test_rule_09_an_agents_verdict_is_nobodys(self):
        forged = approve(packet(), approver="agent:release-controller")
        posing = approve(packet(), approver="person:bob", key=KEYS["agent:release-controller"])
        assert combined(forged, posing) is None
        assert len(combined(*by("alice"), forged, posing).approvals) == 1

    def test_rule_18_a_verdict_on_another_packet_counts_for_nothing(self):
        other = packet(target={"version": 8})
        assert combined(*by("bob", of=other)) is None
        assert len(combined(*by("alice"), *by("bob", of=other)).approvals) == 1

    def test_rule_18_a_packet_changed_in_the_store_fits_no_verdict(self):
        assert combined(*by("alice", "bob"), of=packet(quorum=2)) is None
        assert combined(*by("alice", "bob", of=packet(quorum=2)), of=packet()) is None

    def test_a_retired_key_permits_and_blocks_nothing(self):
        keys = tuple(
            msgspec.structs.replace(key, to_index=1) if key.principal == "person:alice" else key for key in TRUST.keys
        )
        trust = msgspec.structs.replace(TRUST, keys=keys)
        denial = approve(packet(), verdict="denied")
        grant = combined(denial, *by("bob"), trust=trust)
        assert (grant.verdict, [item.approver for item in grant.approvals]) == ("approved", ["person:bob"])

    @pytest.mark.parametrize("quorum", [0, -1])
    def test_a_quorum_of_nobody_is_refused(self, quorum):
        assert code_of(approve(packet(quorum=quorum))) == "approval_malformed"

    def test_the_policy_sees_every_person(self):
        grant = combined(*by("bob", "alice"), said_in_chat())
        facts = grant_facts(grant, evidence_digest=packet().evidence_digest, uses_left=1, revoked=False)
        assert facts["approvals"] == [
            {"approver": "person:bob", "role": "sre-oncall", "asserted_by": "key", "signature_verified": True},
            {"approver": "person:alice", "role": "sre-oncall", "asserted_by": "key", "signature_verified": True},
            {"approver": "person:carol", "role": "sre-oncall", "asserted_by": "channel", "signature_verified": True},
        ]
        assert facts["runbook"] is None


class TestChannel:
    def test_rule_19_what_a_channel_asserts_is_marked(self):
        verdict = verify_approval(said_in_chat(), TRUST)
        assert (verdict.approver, verdict.approval.asserted_by) == ("person:carol", "channel")
        assert verdict.key_id == CHAT.key_id

    def test_rule_19_a_channel_never_signs_as_the_persons_own_key(self):
        assert code_of(approve(packet(), approver="person:alice", key=CHAT)) == "signature_invalid"
        assert code_of(approve(packet(), approver="person:carol", key=CHAT)) == "approval_unknown_person"

    @pytest.mark.parametrize("signer", ["person:alice", "agent:release-controller", "workload:builder"])
    def test_rule_19_only_the_channels_key_speaks_for_the_channel(self, signer):
        assert code_of(said_in_chat("person:alice", key=KEYS[signer])) == "signature_invalid"

    @pytest.mark.parametrize("channel", ["mail", "builder", "log"])
    def test_one_channel_is_not_another_and_no_workload_is_one(self, channel):
        for key in (CHAT, KEYS["workload:builder"]):
            assert code_of(said_in_chat(channel=channel, key=key)) == "approval_unknown_person"

    @pytest.mark.parametrize("person", ["agent:planner", "workload:chat", "", "person:"])
    def test_rule_09_a_channel_asserts_persons_only(self, person):
        assert code_of(said_in_chat(person)) == "approval_unknown_person"

    @pytest.mark.parametrize("asserted", ["key", "channel:", "channel", "chat", None, 1, ["channel:chat"]])
    def test_an_assertion_by_nobody_is_malformed(self, asserted):
        predicate = {**unverified_statement(approve(packet())).predicate, "asserted_by": asserted}
        said = Statement(
            subject=(subject(packet().id, packet().digest),),
            predicateType=APPROVAL,
            predicate=predicate,
        )
        for key in (KEYS["person:alice"], CHAT):
            assert code_of(sign_statement(said, key)) == "approval_malformed"

    def test_a_person_in_a_channel_and_by_key_is_one_person(self):
        assert len(combined(said_in_chat("person:alice"), *by("alice")).approvals) == 1

    def test_a_channel_key_speaks_for_no_person_in_the_trust_root(self):
        bad = TrustedKey(
            key_id=CHAT.key_id, role=KeyRole.CHANNEL, principal="person:alice", public=CHAT.public.raw_public.hex()
        )
        with pytest.raises(EvidenceError):
            check_trust_root(TrustRoot(version=1, origin="x", keys=(bad,)))


class TestRecorded:
    """Signed before packets had a quorum: the digest of old packets never changes."""

    def test_an_old_approval_still_verifies(self):
        envelope = json.dumps(RECORDED["envelope"]).encode()
        verdict = verify_approval(envelope, parse_trust_root(json.dumps(RECORDED["trust"]).encode()))
        assert verdict.packet.digest == RECORDED["digest"]
        assert (verdict.packet.quorum, verdict.packet.roles) == (1, ("sre-oncall",))
        assert verdict.approval.asserted_by == "key"
        assert combined(envelope, of=verdict.packet).uses == len(PLAN["steps"]) + 8

    def test_the_same_packet_has_the_same_digest_today(self):
        assert packet(plan=PLAN).digest == RECORDED["digest"]

    def test_a_packet_survives_the_store(self):
        for asked in (packet(), packet(quorum=2, quorum_roles=("security",), risk_flags=("x",), proposed="y")):
            stored = msgspec.json.decode(jcs.canonical(asked.as_json()), type=Packet)
            assert (stored, stored.digest) == (asked, asked.digest)
