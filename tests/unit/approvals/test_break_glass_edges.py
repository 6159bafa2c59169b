"""Broken glass at its bounds: the last value it may have, and the first it may not."""

import msgspec
import pytest
from approval_fixtures import KEYS, NOW, TRUST

from bywire.approvals.break_glass import (
    BREAKER_ROLES,
    BreakGlass,
    Postmortem,
    check_break_glass,
    sign_break_glass,
    sign_postmortem,
    verify_break_glass,
    verify_postmortem,
)
from bywire.model.errors import EvidenceError
from bywire.model.statement import BREAK_GLASS, BREAK_GLASS_POSTMORTEM, Statement, subject
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement, unverified_statement

ALICE, BOB = "person:alice", "person:bob"
GLASS = BreakGlass(
    person=ALICE,
    role="sre-oncall",
    reason="checkout is down now",
    tools=("set_canary_weight",),
    principals=("agent:release-controller",),
    service="storefront",
    environment="production",
    uses=2,
    opened_at_ms=NOW,
    expires_at_ms=NOW + 60_000,
)


def glass(**changes):
    return msgspec.structs.replace(GLASS, **changes)


def signed(predicate, key=KEYS[ALICE], kind=BREAK_GLASS, about=None):
    about = about or subject("bg-x", jcs.digest(predicate))
    return sign_statement(Statement(subject=(about,), predicateType=kind, predicate=predicate), key)


def refusal(read):
    with pytest.raises(EvidenceError) as caught:
        read()
    assert caught.value.code == "break_glass_refused"
    assert caught.value.next_step
    return caught.value.message


def names(count):
    return tuple(f"agent:a{number}" for number in range(count))


def tools(count):
    return tuple(f"tool_{number}" for number in range(count))


@pytest.mark.parametrize(
    ("last", "beyond", "says"),
    [
        ({"reason": "x" * 20}, {"reason": "x" * 19}, "20 to 2000 characters"),
        ({"reason": "x" * 2_000}, {"reason": "x" * 2_001}, "20 to 2000 characters"),
        ({"reason": "x" * 20}, {"reason": "x" * 19 + " "}, "20 to 2000 characters"),
        ({"tools": tools(16)}, {"tools": tools(17)}, "1 to 16 tools"),
        ({"tools": ("a",)}, {"tools": ()}, "1 to 16 tools"),
        ({"tools": ("a" * 64,)}, {"tools": ("a" * 65,)}, "every tool is named"),
        ({"tools": ("a9_",)}, {"tools": ("9a",)}, "every tool is named"),
        ({"tools": ("a", "b")}, {"tools": ("a", "*", "b")}, "every tool is named"),
        ({"principals": names(8)}, {"principals": names(9)}, "1 to 8 agents"),
        ({"principals": names(1)}, {"principals": ()}, "1 to 8 agents"),
        ({"principals": ("workload:ci", "agent:a")}, {"principals": ("agent:a", "person:alice")}, "every agent"),
        ({"expires_at_ms": NOW + 240 * 60_000}, {"expires_at_ms": NOW + 240 * 60_000 + 1}, "1 to 240 minutes"),
        ({"expires_at_ms": NOW + 1}, {"expires_at_ms": NOW}, "1 to 240 minutes"),
        ({"uses": 1}, {"uses": 0}, "1 to 50 uses"),
        ({"uses": 50}, {"uses": 51}, "1 to 50 uses"),
        ({"person": BOB}, {"person": "agent:planner"}, "agent:planner is no person"),
        ({"role": "security"}, {"role": "sre"}, "one of the roles sre-oncall, incident-commander, security"),
    ],
)
def test_the_last_that_may_be_opened_and_the_first_that_may_not(last, beyond, says):
    check_break_glass(glass(**last))
    assert says in refusal(lambda: check_break_glass(glass(**beyond)))


@pytest.mark.parametrize(
    "last",
    [
        {},
        {"reason": "x" * 20},
        {"reason": "x" * 2_000},
        {"tools": tools(16)},
        {"tools": ("a",)},
        {"principals": names(8)},
        {"uses": 1},
        {"uses": 50},
        {"opened_at_ms": 0, "expires_at_ms": 1},
        *({"role": role} for role in ("sre-oncall", "incident-commander", "security")),
    ],
)
def test_what_may_be_signed_may_be_read(last):
    made = glass(**last)
    read, key_id = verify_break_glass(sign_break_glass(made, KEYS[ALICE]), TRUST)
    assert (read, key_id) == (made, KEYS[ALICE].key_id)
    assert len(BREAKER_ROLES) == 3


def test_what_is_signed_names_itself():
    statement = unverified_statement(sign_break_glass(GLASS, KEYS[ALICE]))
    assert GLASS.id == f"bg-{jcs.digest(GLASS.as_json())[:12]}"
    assert [(item.name, item.sha256) for item in statement.subject] == [(GLASS.id, jcs.digest(GLASS.as_json()))]
    assert statement.predicateType == BREAK_GLASS
    assert statement.predicate == msgspec.json.decode(msgspec.json.encode(GLASS))


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"tools": [""]},
        {"principals": [""]},
        {"principals": ["a" * 193]},
        {"opened_at_ms": -1},
        {"uses": "2"},
        {"uses": 2.5},
        {"reason": None},
    ],
)
def test_a_malformed_glass_is_refused_as_such(changes):
    predicate = {**GLASS.as_json(), **changes}
    assert "malformed" in refusal(lambda: verify_break_glass(signed(predicate), TRUST))


def test_a_name_has_at_least_one_letter_and_192_at_most():
    predicate = {**GLASS.as_json(), "principals": ["a" * 192]}
    assert "every agent is named" in refusal(lambda: verify_break_glass(signed(predicate), TRUST))


def test_glass_of_nobody_is_refused_by_name():
    predicate = GLASS.as_json()
    assert "person:carol holds no approver key" in refusal(
        lambda: verify_break_glass(signed({**predicate, "person": "person:carol"}), TRUST)
    )
    predicate.pop("person")
    assert "nobody holds no approver key" in refusal(lambda: verify_break_glass(signed(predicate), TRUST))


def test_what_was_opened_cannot_be_changed_in_memory():
    for made in (GLASS, Postmortem("bg-1", ALICE, "x", NOW)):
        with pytest.raises(AttributeError):
            made.person = BOB


# --- the post-mortem ---


def story(document, **changes):
    return Postmortem(**{"break_glass": GLASS.id, "person": ALICE, "document": document, "at_ms": NOW, **changes})


@pytest.mark.parametrize(
    ("last", "beyond"),
    [
        ("x" * 100, "x" * 99),
        ("x" * 100, "x" * 99 + " "),
        ("x" * 65_536, "x" * 65_537),
        ("\u00e4" * 32_768, "\u00e4" * 32_768 + "x"),
    ],
)
def test_a_postmortem_has_bounds_where_it_is_made_and_where_it_is_read(last, beyond):
    made = story(last)
    envelope = sign_postmortem(made, KEYS[ALICE])
    assert verify_postmortem(envelope, GLASS, TRUST) == (made, KEYS[ALICE].key_id)
    statement = unverified_statement(envelope)
    assert [(item.name, item.sha256) for item in statement.subject] == [(GLASS.id, sha256_hex(last.encode()))]
    refusal(lambda: sign_postmortem(story(beyond), KEYS[ALICE]))
    forged = signed(msgspec.to_builtins(story(beyond)), kind=BREAK_GLASS_POSTMORTEM)
    assert "post-mortem" in refusal(lambda: verify_postmortem(forged, GLASS, TRUST))


def test_a_postmortem_that_no_encoding_holds_is_refused_by_size_or_by_form():
    assert "65536 bytes" in refusal(lambda: sign_postmortem(story("\ud800" * 65_537), KEYS[ALICE]))


@pytest.mark.parametrize("changes", [{"break_glass": "bg-other"}, {"person": BOB}])
def test_a_postmortem_of_another_glass_or_person_settles_nothing(changes):
    made = story("x" * 100, **changes)
    envelope = sign_postmortem(made, KEYS[made.person])
    assert "another glass" in refusal(lambda: verify_postmortem(envelope, GLASS, TRUST))


def test_a_glass_is_no_postmortem_and_a_malformed_one_is_none():
    envelope = sign_break_glass(GLASS, KEYS[ALICE])
    assert "another kind" in refusal(lambda: verify_postmortem(envelope, GLASS, TRUST))
    predicate = {**msgspec.to_builtins(story("x" * 100)), "more": 1}
    forged = signed(predicate, kind=BREAK_GLASS_POSTMORTEM)
    assert "malformed" in refusal(lambda: verify_postmortem(forged, GLASS, TRUST))
    settled = signed(msgspec.to_builtins(story("x" * 100)), kind=BREAK_GLASS)
    assert "another kind" in refusal(lambda: verify_postmortem(settled, GLASS, TRUST))
