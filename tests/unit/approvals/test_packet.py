"""What a person signs covers everything they saw, and what changed since is said in words."""

import msgspec
import pytest
from approval_fixtures import EVIDENCE, KEYS, NOW, PLAN, action_packet, other, packet
from hypothesis import given
from hypothesis import strategies as st

from bywire.approvals.packet import (
    BINDING_FIELDS,
    REASON_CHARS_MAX,
    Packet,
    differences,
    evidence_digest,
    packet_id,
    sign_verdict,
)
from bywire.model.errors import EvidenceError
from bywire.seal import jcs

FIELDS = [field.name for field in msgspec.structs.fields(Packet)]


@pytest.mark.parametrize("field", FIELDS)
def test_rule_18_the_digest_covers_every_field(field):
    asked = packet()
    changed = msgspec.structs.replace(asked, **{field: other(getattr(asked, field))})
    assert changed.digest != asked.digest
    assert packet().digest == asked.digest


@pytest.mark.parametrize("field", ["evidence", "approver_roles", "missing", "contrary", "uncertain"])
def test_rule_18_the_digest_covers_every_item_of_a_list(field):
    asked = packet(**{field: ("one", "two")})
    digests = {asked.digest}
    for items in (("one",), ("two",), ("two", "one"), ("one", "two", "two"), ("onetwo",), ()):
        digests.add(packet(**{field: items}).digest)
    assert len(digests) == 7


def test_rule_18_the_digest_covers_what_lies_deep_in_action_plan_and_target():
    digests = {packet(plan=PLAN).digest}
    digests.add(packet(plan={**PLAN, "ceiling": 99}).digest)
    digests.add(packet(plan={**PLAN, "steps": [{"weight": 5, "segments": ["android"]}, PLAN["steps"][1]]}).digest)
    digests.add(packet(plan=PLAN, target={"version": 8, "stable": "b" * 64}).digest)
    digests.add(packet(plan=PLAN, action={"tool": "set_canary_weight", "parameters": {"weight": 5}}).digest)
    digests.add(packet(plan=PLAN, action={"tool": "set_canary_weight", "parameters": {"weight": 5.5}}).digest)
    assert len(digests) == 6


@given(st.lists(st.sampled_from([letter * 64 for letter in "abcdef"]), max_size=6))
def test_rule_18_evidence_is_a_sorted_list_whatever_order_it_came_in(evidence):
    assert evidence_digest(tuple(evidence)) == evidence_digest(tuple(reversed(evidence)))
    assert evidence_digest((*evidence, "0" * 64)) != evidence_digest(tuple(evidence))


def test_a_packet_is_named_by_what_it_binds():
    names = {
        packet_id("a", "b", "c", 1),
        packet_id("ab", "", "c", 1),
        packet_id("a", "b", "c", 2),
        packet_id("a", "c", "b", 1),
    }
    assert len(names) == 4
    assert packet_id("a", "b", "c", 1) in names


def test_nothing_differs_between_equal_packets():
    assert differences(packet(), packet()) == ()
    # What a person is shown beside what they bind may change without asking them again.
    later = packet(requested_at_ms=NOW + 5, expires_at_ms=NOW + 10, prose="other words", missing=(), id="ap-2")
    assert differences(packet(), later) == ()


def test_rule_18_a_changed_parameter_is_named_with_both_values():
    (said,) = differences(action_packet(weight=5, artifact="a"), action_packet(weight=50, artifact="a"))
    assert said == "weight: approved 5, asked 50"
    assert differences(action_packet(weight=5), action_packet(weight=5, segments=["ios"])) == (
        'segments: approved null, asked ["ios"]',
    )
    assert differences(action_packet(weight=5, warm=True), action_packet(weight=5)) == (
        "warm: approved true, asked null",
    )


def test_rule_18_a_change_that_python_calls_equal_is_still_named():
    for before, after in ((True, 1), (1, 1.0), (False, 0)):
        if action_packet(value=before).action_digest != action_packet(value=after).action_digest:
            assert differences(action_packet(value=before), action_packet(value=after))


@pytest.mark.parametrize("field", BINDING_FIELDS)
def test_rule_18_each_bound_field_that_changed_is_named(field):
    asked = packet(plan=PLAN)
    changed = msgspec.structs.replace(asked, **{field: "f" * 64})
    (said,) = differences(asked, changed)
    assert said.startswith(f"{field}: ")
    assert "ffff" in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"quorum": 2}, "quorum: approved 1, asked 2"),
        ({"quorum_roles": ("security", "sre-oncall")}, "quorum_roles: approved none, asked security, sre-oncall"),
    ],
)
def test_rule_18_more_people_to_agree_is_another_question(changes, says):
    assert differences(packet(), packet(**changes)) == (says,)


def test_rule_18_names_that_begin_alike_are_shown_so_that_they_differ():
    (said,) = differences(packet(requester="agent:release-controller"), packet(requester="agent:release-conductor"))
    assert "agent:release-controller" in said
    assert "agent:release-conductor" in said


@pytest.mark.parametrize("verdict", ["", "Approved", "approve", "yes", "approved "])
def test_only_two_verdicts_exist(verdict):
    with pytest.raises(EvidenceError) as caught:
        sign_verdict(packet(), verdict, "person:alice", "sre-oncall", "", NOW, KEYS["person:alice"])
    assert caught.value.code == "approval_malformed"


def test_a_reason_is_short():
    with pytest.raises(EvidenceError) as caught:
        sign_verdict(
            packet(), "approved", "person:alice", "sre", "x" * (REASON_CHARS_MAX + 1), NOW, KEYS["person:alice"]
        )
    assert caught.value.code == "approval_malformed"


def test_a_packet_survives_its_json():
    asked = packet(plan=PLAN)
    assert msgspec.convert(msgspec.json.decode(jcs.canonical(asked.as_json())), Packet) == asked
    assert asked.evidence == EVIDENCE
