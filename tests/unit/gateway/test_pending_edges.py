"""Which approval an action may use, which request waits for exactly it already, and what a new one says."""

import msgspec
import pytest
from gateway_doubles import (
    ALICE,
    ARTIFACT,
    BOB,
    KEYS,
    LAST_GOOD,
    NOW,
    OPERATOR,
    TRUST,
    MemoryApprovals,
    MemoryRecords,
    MemoryTarget,
    ask,
    decision,
    entrance,
)

from bywire.approvals.candidate import Candidate
from bywire.approvals.packet import sign_verdict
from bywire.gateway.packets import build_packet
from bywire.gateway.pending import Pending
from bywire.model.decision import Effect
from bywire.model.operator import ChangeWindow
from bywire.seal import jcs

MARK = "note repeats untrusted output that this run has read"
PLAN = {
    "service": "storefront",
    "environment": "production",
    "artifact": ARTIFACT,
    "last_good": LAST_GOOD,
    "steps": [{"weight": 5, "segments": []}],
    "ceiling": 100,
    "warm": False,
    "origin": "bywire.yaml",
}
PLAN_DIGEST = jcs.digest(PLAN)
TTL_MS = 600_000
MINUTE_MS = 60_000
ROLES = {ALICE: "sre-oncall", BOB: "security"}


def asked(*args, says=None, **changes):
    target = MemoryTarget()
    target.says = target.says if says is None else says
    return entrance(executors={"target": target}).ask("1", ask(*args, **changes))


def wanted(obligations=()):
    return decision(Effect.APPROVAL_NEEDED, obligations)


def question(made):
    return {"now_ms": made.now_ms, "state": {"target": made.target, "session": {"integrity": "trusted"}}, "facts": {}}


def packet_of(made, **changes):
    built = build_packet(made.action, made.contract, wanted(), question(made), expires_at_ms=NOW + TTL_MS)
    return msgspec.structs.replace(built, **changes)


def verdict(packet, word="approved", who=ALICE, reason="looked at it"):
    return sign_verdict(packet, word, who, ROLES[who], reason, NOW, KEYS[who][1])


def candidate(packet, *words, **changes):
    envelopes = tuple(verdict(packet, word) for word in words)
    return Candidate(packet, envelopes, **{"uses_left": 1, "settled": words[-1] if words else "", **changes})


def pending(*candidates, operator=OPERATOR, before=()):
    return Pending(MemoryApprovals(*candidates, before=before), MemoryRecords(), lambda: TRUST, operator)


def grant(made, *candidates):
    return pending(*candidates).grant(made)


NONE = (None, 0, False)
STEP, BACK = asked(), asked("rollback_release", {"to": LAST_GOOD}, "k2")
GO = asked("start_rollout", PLAN, "k3", plan=PLAN_DIGEST)
UNDER_PLAN = asked(key="k4", plan=PLAN_DIGEST)


# --- what was approved ---


def test_rule_18_an_approved_action_has_its_grant():
    found, uses_left, revoked = grant(STEP, candidate(packet_of(STEP), "approved", uses_left=4))
    assert (found.approver, found.verdict, uses_left, revoked) == (ALICE, "approved", 4, False)
    assert found.packet.digest == packet_of(STEP).digest


def test_nothing_fits_where_nothing_was_approved():
    assert grant(STEP) == NONE
    assert grant(STEP, candidate(packet_of(STEP))) == NONE
    assert grant(STEP, candidate(packet_of(STEP), "denied")) == NONE
    assert grant(STEP, candidate(packet_of(BACK), "approved")) == NONE
    unknown = asked("rm_rf", {})
    assert grant(unknown, candidate(packet_of(STEP), "approved")) == NONE


def test_what_does_not_fit_does_not_hide_what_does():
    good = candidate(packet_of(STEP), "approved", uses_left=2)
    others = [
        candidate(packet_of(STEP, requester="agent:coder"), "approved", uses_left=9),
        candidate(packet_of(STEP), "approved", revoked=True, uses_left=9),
        candidate(packet_of(STEP), "denied", uses_left=9),
        candidate(packet_of(STEP), uses_left=9),
        candidate(packet_of(STEP, target={"stable": "9" * 64}), "approved", uses_left=9),
    ]
    for other in others:
        assert grant(STEP, other) == NONE
        assert grant(STEP, other, good)[1] == 2


@pytest.mark.parametrize(
    ("shown", "now", "fits"),
    [
        ({"stable": LAST_GOOD, "canary": ""}, {"stable": LAST_GOOD, "canary": ""}, True),
        ({"stable": LAST_GOOD}, {"stable": LAST_GOOD, "canary": ""}, True),
        ({"stable": LAST_GOOD, "canary": ""}, {"stable": LAST_GOOD}, True),
        ({}, {"version": 8, "weight": 9}, True),
        ({"stable": LAST_GOOD}, {"stable": ARTIFACT}, False),
        ({"stable": LAST_GOOD, "canary": ""}, {"stable": LAST_GOOD, "canary": ARTIFACT}, False),
        ({"stable": LAST_GOOD}, {}, False),
    ],
)
def test_rule_18_an_approved_action_fits_the_target_it_was_approved_for(shown, now, fits):
    made = asked(says=now)
    found = grant(made, candidate(packet_of(made, target=shown), "approved"))[0]
    assert (found is not None) is fits


def test_rule_18_the_steps_of_a_plan_change_the_target_themselves():
    approved = candidate(packet_of(GO, target={"stable": "9" * 64}), "approved", uses_left=9)
    assert grant(UNDER_PLAN, approved)[1] == 9
    assert grant(GO, approved) == NONE


def test_rule_16_a_revoked_approval_denies_its_steps_and_nothing_else():
    revoked = candidate(packet_of(GO), "approved", revoked=True, uses_left=9)
    found, uses_left, is_revoked = grant(UNDER_PLAN, revoked)
    assert (found is not None, uses_left, is_revoked) == (True, 9, True)
    assert grant(GO, revoked) == NONE
    back = asked("rollback_release", {"to": LAST_GOOD}, plan=PLAN_DIGEST)
    assert grant(back, revoked) == NONE


# --- what waits ---


def asks(made, *candidates, obligations=(), operator=OPERATOR, before=()):
    return pending(*candidates, operator=operator, before=before).packet(
        made, made.contract, wanted(obligations), question(made)
    )


def test_a_new_question_lives_for_the_operators_time():
    made, new = asks(STEP)
    assert new
    assert made == packet_of(STEP)
    assert made.expires_at_ms == NOW + TTL_MS
    assert made.supersedes == ""


def test_a_person_is_asked_once_while_the_question_is_alive():
    waiting = candidate(packet_of(STEP, id="ap-first", expires_at_ms=NOW + 1))
    assert asks(STEP, waiting) == (waiting.packet, False)
    for over in (
        candidate(packet_of(STEP, id="ap-first", expires_at_ms=NOW)),
        candidate(packet_of(STEP, id="ap-first"), settled="expired"),
        candidate(packet_of(STEP, id="ap-first"), revoked=True),
        candidate(packet_of(STEP, id="ap-first", bundle_digest="0" * 64)),
        candidate(packet_of(STEP, id="ap-first", target={"stable": ARTIFACT})),
    ):
        made, new = asks(STEP, over)
        assert (made.id, new) == (packet_of(STEP).id, True)
        assert asks(STEP, over, waiting) == (waiting.packet, False)


def test_rule_18_people_are_asked_anew_once_more_speaks_against_it_than_they_were_told():
    told = candidate(packet_of(STEP))
    made, new = pending(told).packet(STEP, STEP.contract, wanted(), question(STEP), (MARK,))
    assert new
    assert made.uncertain == (MARK,)
    assert made.id != told.packet.id, "the store keeps the first packet of a name"
    # Who was told more was told this, too; two sessions that ask in turns are two questions and no more.
    for repeated, packet in (((), told.packet), ((MARK,), made)):
        again = pending(candidate(made), told).packet(STEP, STEP.contract, wanted(), question(STEP), repeated)
        assert again[1] is False
        assert set(packet.uncertain) <= set(again[0].uncertain)


@pytest.mark.parametrize(
    ("word", "says"),
    [("denied", f"{ALICE} denied this before: looked at it"), ("approved", "the approval expired or was used up")],
)
def test_rule_18_a_question_that_was_answered_says_so(word, says):
    settled = candidate(packet_of(STEP, id="ap-first"), word, uses_left=0)
    for found in (asks(STEP, settled), asks(STEP, before=(settled,))):
        made, new = found
        assert new
        assert (made.supersedes, made.contrary[0]) == ("ap-first", says)
        assert made.id != packet_of(STEP).id


def test_a_verdict_that_does_not_verify_answered_nothing():
    forged = Candidate(packet_of(STEP, id="ap-x"), (b"{}",), settled="approved")
    assert asks(STEP, forged) == (packet_of(STEP), True)
    real = candidate(packet_of(STEP, id="ap-first"), "denied")
    assert asks(STEP, forged, real)[0].supersedes == "ap-first"


def test_a_revocation_is_named():
    made, new = asks(STEP, candidate(packet_of(STEP, id="ap-first"), "approved", revoked=True))
    assert new
    assert made.contrary[0] == f"ap-first, an approval of this by {ALICE}, was revoked"


# --- a gate that opens later ---

SCHEDULED = ({"kind": "approval", "gate": "scheduled", "roles": [], "count": 1},)


def windows(*found):
    return msgspec.structs.replace(OPERATOR, change_windows=found)


def local(offset_minutes):
    """(weekday, minute of the day) that many minutes from NOW, in UTC."""
    day, minute = divmod(NOW // MINUTE_MS + offset_minutes, 1_440)
    return (day + 3) % 7, minute


def test_a_scheduled_question_outlives_the_wait_for_its_window():
    day, minute = local(120)
    operator = windows(ChangeWindow((day,), minute, minute + 30))
    opens_ms = NOW - NOW % MINUTE_MS + 120 * MINUTE_MS
    assert asks(STEP, obligations=SCHEDULED, operator=operator)[0].expires_at_ms == opens_ms + TTL_MS
    plain = ({**SCHEDULED[0], "gate": "single"},)
    assert asks(STEP, obligations=plain, operator=operator)[0].expires_at_ms == NOW + TTL_MS


@pytest.mark.parametrize("operator", [OPERATOR, windows(ChangeWindow(tuple(range(7)), 0, 1_440))])
def test_a_scheduled_question_whose_window_is_open_lives_as_any_other(operator):
    assert asks(STEP, obligations=SCHEDULED, operator=operator)[0].expires_at_ms == NOW + TTL_MS
