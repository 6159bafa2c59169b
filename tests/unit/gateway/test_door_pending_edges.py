"""When the door has asked a person: what is announced once it is recorded, and what is not."""

import pytest
from door_doubles import World
from gateway_doubles import decision

from bywire.model.decision import Effect, OutcomeStatus

ASKS = decision(Effect.APPROVAL_NEEDED, [{"kind": "approval", "roles": ["sre-oncall"], "count": 1, "tier": "high"}])


@pytest.fixture
def world():
    made = World()
    made.engine.answer = ASKS
    return made


@pytest.mark.parametrize("entry", [0, 1, 60])
def test_rule_18_a_request_for_approval_is_announced_wherever_it_stands_in_the_ledger(world, entry):
    asking = world.approvals.pending

    def recorded(packet):
        asking(packet)
        return entry

    world.approvals.pending = recorded
    outcome = world.note()
    assert (outcome.status, outcome.approval_id, outcome.entry) == (
        OutcomeStatus.PENDING,
        world.approvals.packets[0].id,
        entry,
    )
    assert world.steps.seen == ["door.decided", "door.pending"]


def test_rule_18_a_request_that_waits_already_is_not_announced_again(world):
    world.note()
    world.note()
    assert world.steps.seen == ["door.decided", "door.pending", "door.decided"]


def test_rule_18_a_dry_run_asks_nobody_and_announces_nothing(world):
    outcome = world.note(dry_run=True)
    assert (outcome.status, outcome.approval_id, outcome.entry) == (OutcomeStatus.PENDING, "", 21)
    assert world.approvals.packets == []
    assert world.steps.seen == ["door.decided"]
