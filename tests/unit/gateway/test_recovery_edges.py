"""Which open intents go out again, which are settled by asking, and which wait for a person: contract by contract."""

import msgspec
import pytest
from gateway_doubles import CATALOGUE, LAST_GOOD, NOW, FixedClock, MemoryTarget, ask, row_of

from bywire.gateway.recovery import recover
from bywire.model.decision import Outcome, OutcomeStatus
from bywire.model.errors import EvidenceError, TargetError

COMMITTED, UNKNOWN = OutcomeStatus.COMMITTED, OutcomeStatus.UNKNOWN
NATIVE = row_of(ask("send_note", {"text": "hello"}))
ASKABLE = row_of(ask("push_branch", {"text": "hello"}), deadline_ms=NOW)
RETREAT = row_of(ask("rollback_release", {"to": LAST_GOOD}))


class OpenDoor:
    """The half of the door that recovery walks through: it settles as told and remembers what it sent."""

    def __init__(self):
        self.is_frozen = False
        self.decided = True
        self.raw = {"text": "raw"}
        self.sent = []
        self.settled = []

    def frozen(self):
        return self.is_frozen

    def was_decided(self, row):
        return self.decided

    def raw_parameters(self, row):
        if isinstance(self.raw, Exception):
            raise self.raw
        return self.raw

    def redacted(self, result):
        return {"redacted": result}

    def carry_out(self, row, raw, before, grant):
        self.sent.append((row.key, raw, before, grant))
        return Outcome(COMMITTED, row.action_digest, row.decision, result=raw)

    def settle(self, row, outcome, before, grant):
        self.settled.append((row.key, before, grant))
        return outcome


class OpenIntents:
    """`gateway.ports.Journal`, as far as recovery reads it."""

    def __init__(self, *rows, withdrawn=()):
        self.rows = rows
        self.gone = {row.key for row in withdrawn}

    def recoverable_intents(self):
        return self.rows

    def withdrawn(self, row):
        return row.key in self.gone


def recovered(*rows, door=None, target=None, stopped=False, withdrawn=(), executors=None):
    door = door or OpenDoor()
    executors = {"target": target or MemoryTarget()} if executors is None else executors
    journal = OpenIntents(*rows, withdrawn=withdrawn)
    found = recover(door, journal, CATALOGUE, executors, FixedClock(), lambda row: stopped)
    assert [row for row, _ in found] == list(rows)
    return [outcome for _, outcome in found], door


def unknown(row):
    return Outcome(UNKNOWN, row.action_digest, row.decision)


def test_rule_12_a_native_call_is_sent_again_under_its_own_key():
    (outcome,), door = recovered(NATIVE)
    assert door.sent == [(NATIVE.key, {"text": "raw"}, {"recovered": "sent again under the same key"}, None)]
    assert (outcome.status, outcome.result) == (COMMITTED, {"text": "raw"})
    assert door.settled == []


def test_rule_12_what_the_target_knows_is_settled_and_not_sent():
    target = MemoryTarget()
    target.known[ASKABLE.key] = {"version": 8}
    (outcome,), door = recovered(ASKABLE, target=target)
    assert outcome == Outcome(COMMITTED, ASKABLE.action_digest, ASKABLE.decision, result={"redacted": {"version": 8}})
    assert door.settled == [(ASKABLE.key, {"recovered": "asked the target"}, None)]
    assert door.sent == []


def test_rule_12_what_the_target_does_not_know_is_sent():
    (outcome,), door = recovered(ASKABLE)
    assert outcome.status is COMMITTED
    assert [key for key, *_ in door.sent] == [ASKABLE.key]


@pytest.mark.parametrize("row", [NATIVE, ASKABLE])
def test_rule_12_what_was_permitted_to_its_caller_is_neither_asked_nor_sent(row):
    target = MemoryTarget()
    target.known[row.key] = {"version": 8}
    permitted = msgspec.structs.replace(row, request={**row.request, "mediated": False})
    (outcome,), door = recovered(permitted, target=target)
    assert outcome == unknown(permitted)
    assert (door.sent, door.settled) == ([], [])


@pytest.mark.parametrize("silence", [TargetError("down"), OSError("gone"), TimeoutError("late")])
def test_rule_12_a_target_that_does_not_answer_leaves_it_open_and_the_next_one_goes_on(silence):
    target = MemoryTarget()
    target.known[ASKABLE.key] = silence
    outcomes, door = recovered(ASKABLE, NATIVE, target=target)
    assert outcomes[0] == unknown(ASKABLE)
    assert [key for key, *_ in door.sent] == [NATIVE.key]


def test_rule_12_what_can_neither_be_asked_nor_repeated_waits_for_a_person():
    page = row_of(ask("page_person", {"text": "hello"}), deadline_ms=0)
    gone = msgspec.structs.replace(NATIVE, tool="no_such_tool")
    outcomes, door = recovered(page, gone)
    assert outcomes == [unknown(page), unknown(gone)]
    assert (door.sent, door.settled) == ([], [])


@pytest.mark.parametrize(("deadline_ms", "sent"), [(NOW + 1, False), (NOW, True), (NOW - 1, True)])
def test_rule_13_what_cannot_be_fenced_waits_for_its_deadline(deadline_ms, sent):
    row = msgspec.structs.replace(ASKABLE, deadline_ms=deadline_ms)
    (outcome,), door = recovered(row)
    assert (outcome.status is COMMITTED, bool(door.sent)) == (sent, sent)


def test_rule_13_what_is_fenced_does_not_wait():
    (outcome,), _ = recovered(msgspec.structs.replace(NATIVE, deadline_ms=NOW + 60_000))
    assert outcome.status is COMMITTED


def test_without_an_executor_nothing_is_known():
    assert recovered(NATIVE, ASKABLE, executors={})[0] == [unknown(NATIVE), unknown(ASKABLE)]


# --- whether anything may go out at all ---


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, {"send_note", "rollback_release"}),
        ({"stopped": True}, {"rollback_release"}),
        ({"withdrawn": (NATIVE, RETREAT)}, {"rollback_release"}),
        ({"withdrawn": (RETREAT,)}, {"send_note", "rollback_release"}),
    ],
)
def test_rule_16_after_a_stop_or_a_revocation_only_a_retreat_goes_out(changes, sent):
    outcomes, door = recovered(NATIVE, RETREAT, **changes)
    assert {key.split("|")[1] for key, *_ in door.sent} == sent
    assert [outcome.status is COMMITTED for outcome in outcomes] == [row.tool in sent for row in (NATIVE, RETREAT)]


@pytest.mark.parametrize("changes", [{"is_frozen": True}, {"decided": False}])
def test_rule_16_frozen_or_never_decided_not_even_a_retreat(changes):
    door = OpenDoor()
    for name, value in changes.items():
        setattr(door, name, value)
    outcomes, _ = recovered(NATIVE, RETREAT, ASKABLE, door=door)
    assert outcomes == [unknown(NATIVE), unknown(RETREAT), unknown(ASKABLE)]
    assert door.sent == []


def test_rule_12_the_target_may_be_asked_even_when_nothing_may_be_sent():
    target = MemoryTarget()
    target.known[ASKABLE.key] = {"version": 8}
    (outcome,), _ = recovered(ASKABLE, target=target, stopped=True)
    assert outcome.status is COMMITTED


@pytest.mark.parametrize("raw", [None, EvidenceError("expired", code="sealed_expired")])
def test_rule_04_without_its_raw_parameters_nothing_is_sent(raw):
    door = OpenDoor()
    door.raw = raw
    outcomes, _ = recovered(NATIVE, door=door)
    assert outcomes == [unknown(NATIVE)]
    assert door.sent == []


def test_nothing_open_is_nothing_to_do():
    assert recovered()[0] == []
