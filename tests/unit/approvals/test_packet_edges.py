"""A packet's old form, its names, its differences word for word, and the verdict over it field by field."""

import msgspec
import pytest
from approval_fixtures import CHAT, KEYS, NOW, PLAN, action_packet, packet

from bywire.approvals.packet import Packet, differences, evidence_digest, packet_id, sign_verdict
from bywire.model.statement import APPROVAL
from bywire.seal import jcs
from bywire.seal.dsse import unverified_statement

LATER = ["quorum", "quorum_roles", "gate", "risk_flags", "alternatives", "evidence_summary", "proposed"]
SAYING = {
    "quorum": 2,
    "quorum_roles": ("security",),
    "gate": "scheduled",
    "risk_flags": ("x",),
    "alternatives": ("x",),
    "evidence_summary": ("x",),
    "proposed": "x",
}
ALICE = "person:alice"


def test_what_came_later_is_left_out_while_it_says_nothing():
    plain = packet().as_json()
    first = {field.name for field in msgspec.structs.fields(Packet)} - set(LATER)
    assert set(plain) == first
    assert "supersedes" in plain
    for name, value in SAYING.items():
        assert packet(**{name: value}).as_json() == {**plain, name: value}


def test_a_packet_that_says_nothing_of_what_came_later_means_its_defaults():
    read = msgspec.convert(msgspec.json.decode(jcs.canonical(packet().as_json())), Packet)
    assert (read.quorum, read.quorum_roles, read.gate, read.proposed) == (1, (), "", "")
    assert (read.risk_flags, read.alternatives, read.evidence_summary) == ((), (), ())
    bare = packet().as_json()
    del bare["supersedes"]
    assert msgspec.convert(bare, Packet).supersedes == ""


def test_a_packet_takes_no_field_that_nobody_knows_and_no_change():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**packet().as_json(), "more": 1}, Packet)
    with pytest.raises(AttributeError):
        packet().tier = "low"


def test_whose_agreement_counts():
    assert packet().roles == ("sre-oncall",)
    assert packet(quorum_roles=("security",)).roles == ("security",)
    assert packet(approver_roles=()).roles == ()


def test_names_and_digests_are_derived():
    name = packet_id("a", "b", "c", 1)
    assert name == "ap-" + jcs.digest(["a", "b", "c", 1])[:12]
    assert evidence_digest(("b", "a")) == jcs.digest(["a", "b"])
    assert packet().digest == jcs.digest(packet().as_json())


# --- what changed, in words ---


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({"weight": 5}, {"weight": 5}, ()),
        ({"weight": 5}, {"weight": 50}, ("weight: approved 5, asked 50",)),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, ("a: approved 1, asked 2", "b: approved 1, asked 2")),
        ({"a": 1}, {}, ("a: approved 1, asked null",)),
        ({}, {"a": 1}, ("a: approved null, asked 1",)),
    ],
)
def test_a_changed_parameter_is_named_and_its_digest_is_not(before, after, says):
    assert differences(action_packet(**before), action_packet(**after)) == says


def test_an_action_without_parameters_has_none():
    bare = packet(action={"tool": "x"}, action_digest="e" * 64)
    assert differences(bare, bare) == ()
    (said,) = differences(bare, packet(action={"tool": "x"}, action_digest="f" * 64))
    assert said == f"action_digest: approved {'e' * 16}, asked {'f' * 16}"
    assert differences(bare, action_packet(weight=5)) == ("weight: approved null, asked 5",)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({"stable": "b" * 64}, {"stable": "b" * 64, "canary": ""}, ()),
        ({"stable": "b" * 64, "canary": ""}, {"stable": "b" * 64}, ()),
        ({"version": 1}, {"version": 2}, ()),
        (
            {"stable": "b" * 64},
            {"stable": "c" * 64},
            (f"stable release of the target: {'b' * 12} when asked, {'c' * 12} now",),
        ),
        ({"canary": "c" * 64}, {}, (f"canary release of the target: {'c' * 12} when asked, nothing now",)),
        ({}, {"canary": "c" * 64}, (f"canary release of the target: nothing when asked, {'c' * 12} now",)),
    ],
)
def test_a_changed_target_is_named(before, after, says):
    assert differences(packet(target=before), packet(target=after)) == says


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"evidence_digest": "e" * 64}, f"asked {'e' * 16}"),
        ({"bundle_digest": "e" * 64}, f"asked {'e' * 16}"),
        ({"plan_digest": "e" * 64}, f"approved , asked {'e' * 16}"),
        ({"environment": "staging"}, "environment: approved production, asked staging"),
        ({"requester": "agent:coder"}, "requester: approved agent:release-controller, asked agent:coder"),
        ({"quorum": 2}, "quorum: approved 1, asked 2"),
        ({"quorum_roles": ("a", "b")}, "quorum_roles: approved none, asked a, b"),
    ],
)
def test_a_changed_binding_is_named(changes, says):
    (said,) = differences(packet(), packet(**changes))
    assert said.startswith(next(iter(changes)))
    assert said.endswith(says)


def test_a_changed_parameter_does_not_hide_another_change():
    asked = msgspec.structs.replace(action_packet(weight=50), environment="staging")
    assert differences(action_packet(weight=5), asked) == (
        "weight: approved 5, asked 50",
        "environment: approved production, asked staging",
    )


# --- the verdict ---


def test_a_verdict_is_signed_field_by_field():
    asked = packet(plan=PLAN)
    envelope = sign_verdict(asked, "denied", ALICE, "sre-oncall", "x" * 2_000, NOW, KEYS[ALICE])
    said = unverified_statement(envelope)
    assert said.predicateType == APPROVAL
    assert [(item.name, item.sha256) for item in said.subject] == [(asked.id, asked.digest)]
    assert said.predicate == {
        "packet": msgspec.json.decode(jcs.canonical(asked.as_json())),
        "verdict": "denied",
        "approver": ALICE,
        "role": "sre-oncall",
        "reason": "x" * 2_000,
        "at_ms": NOW,
    }


def test_rule_19_a_channel_says_that_it_is_one():
    envelope = sign_verdict(packet(), "approved", ALICE, "", "", NOW, CHAT, channel="chat")
    assert unverified_statement(envelope).predicate["asserted_by"] == "channel:chat"
