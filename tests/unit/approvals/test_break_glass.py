"""Broken glass: signed by the person who answers for it, bounded in everything, and owed a post-mortem."""

import msgspec
import pytest
from approval_fixtures import CHAT, KEYS, NOW, TRUST, approve, packet

from bywire.approvals.break_glass import (
    MINUTES_MAX,
    BreakGlass,
    Postmortem,
    check_break_glass,
    sign_break_glass,
    sign_postmortem,
    verify_break_glass,
    verify_postmortem,
)
from bywire.model.errors import EvidenceError
from bywire.model.statement import BREAK_GLASS, Statement, subject
from bywire.seal import jcs
from bywire.seal.dsse import sign_statement

ALICE, BOB = "person:alice", "person:bob"
GLASS = BreakGlass(
    person=ALICE,
    role="sre-oncall",
    reason="checkout is down and the approver's phone is off",
    tools=("set_canary_weight",),
    principals=("agent:release-controller",),
    service="storefront",
    environment="production",
    uses=2,
    opened_at_ms=NOW,
    expires_at_ms=NOW + 30 * 60_000,
)
TEXT = "At 09:12 checkout failed for every customer. " * 4
STORY = Postmortem(GLASS.id, ALICE, TEXT, NOW)


def glass(**changes):
    return msgspec.structs.replace(GLASS, **changes)


def forged(value, key=KEYS[ALICE], kind=BREAK_GLASS, digest=""):
    """A statement signed without asking what it says."""
    about = subject(value.id, digest or jcs.digest(value.as_json()))
    return sign_statement(Statement(subject=(about,), predicateType=kind, predicate=value.as_json()), key)


def code_of(read):
    with pytest.raises(EvidenceError) as caught:
        read()
    return caught.value.code


def test_what_a_person_signs_is_what_is_open():
    read, key_id = verify_break_glass(sign_break_glass(GLASS, KEYS[ALICE]), TRUST)
    assert (read, key_id) == (GLASS, KEYS[ALICE].key_id)
    assert read.id == GLASS.id
    assert glass(uses=3).id != GLASS.id


@pytest.mark.parametrize("signer", [KEYS[BOB], KEYS["agent:release-controller"], KEYS["workload:builder"], CHAT])
def test_rule_09_nobody_breaks_glass_in_anothers_name(signer):
    assert code_of(lambda: verify_break_glass(forged(GLASS, signer), TRUST)) == "signature_invalid"


@pytest.mark.parametrize("person", ["agent:release-controller", "workload:builder", "person:carol", "", "alice"])
def test_a_person_with_a_key_breaks_glass_and_nobody_else(person):
    for key in KEYS.values():
        assert code_of(lambda key=key: verify_break_glass(forged(glass(person=person), key), TRUST)) == (
            "break_glass_refused"
        )


BAD = [
    {"role": "service-owner"},
    {"role": ""},
    {"reason": "short"},
    {"reason": " " * 40},
    {"reason": "x" * 2_001},
    {"tools": ()},
    {"tools": ("*",)},
    {"tools": ("set_canary_weight", "*")},
    {"tools": tuple(f"tool_{number}" for number in range(17))},
    {"principals": ()},
    {"principals": ("*",)},
    {"principals": ("agent:*",)},
    {"principals": ("person:alice",)},
    {"uses": 0},
    {"uses": 51},
    {"expires_at_ms": NOW},
    {"expires_at_ms": NOW - 1},
    {"expires_at_ms": NOW + MINUTES_MAX * 60_000 + 1},
]


@pytest.mark.parametrize("changes", BAD)
def test_glass_without_bounds_is_neither_made_nor_read(changes):
    assert code_of(lambda: check_break_glass(glass(**changes))) == "break_glass_refused"
    assert code_of(lambda: sign_break_glass(glass(**changes), KEYS[ALICE])) == "break_glass_refused"
    assert code_of(lambda: verify_break_glass(forged(glass(**changes)), TRUST)) == "break_glass_refused"


def test_another_statement_is_no_broken_glass():
    assert code_of(lambda: verify_break_glass(approve(packet()), TRUST)) == "break_glass_refused"
    other = forged(GLASS, kind="https://bywire.dev/approval/v1")
    assert code_of(lambda: verify_break_glass(other, TRUST)) == "break_glass_refused"
    assert code_of(lambda: verify_break_glass(forged(GLASS, digest="0" * 64), TRUST)) == "break_glass_refused"


def test_a_retired_key_opens_nothing_now_and_is_believed_for_its_time():
    keys = tuple(msgspec.structs.replace(key, to_index=10) for key in TRUST.keys)
    retired = msgspec.structs.replace(TRUST, keys=keys)
    envelope = sign_break_glass(GLASS, KEYS[ALICE])
    assert code_of(lambda: verify_break_glass(envelope, retired)) == "break_glass_refused"
    assert verify_break_glass(envelope, retired, 9)[0] == GLASS


def test_a_postmortem_is_of_this_glass_by_its_person():
    read, _ = verify_postmortem(sign_postmortem(STORY, KEYS[ALICE]), GLASS, TRUST)
    assert read == STORY
    for other in (glass(uses=3), glass(person=BOB)):
        assert code_of(lambda other=other: verify_postmortem(sign_postmortem(STORY, KEYS[ALICE]), other, TRUST))
    by_bob = msgspec.structs.replace(STORY, person=BOB)
    assert code_of(lambda: verify_postmortem(sign_postmortem(by_bob, KEYS[BOB]), GLASS, TRUST)) == "break_glass_refused"
    assert code_of(lambda: verify_postmortem(sign_postmortem(STORY, KEYS[BOB]), GLASS, TRUST)) == "signature_invalid"


@pytest.mark.parametrize("document", ["", "fine now", " " * 500, "x" * 70_000])
def test_a_postmortem_says_something(document):
    short = msgspec.structs.replace(STORY, document=document)
    assert code_of(lambda: sign_postmortem(short, KEYS[ALICE])) == "break_glass_refused"
