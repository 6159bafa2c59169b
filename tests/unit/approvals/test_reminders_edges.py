"""Reminders to the millisecond: the first moment they are due, the last one, and what each of them says."""

import pytest
from approval_fixtures import NOW, packet

from bywire.approvals.reminders import ESCALATED, Reminder, due, is_escalated
from bywire.model.operator import Reminders

END = packet().expires_at_ms
SCHEDULE = Reminders(after_seconds=(600, 1_800), escalate_after_seconds=2_700, escalate_to=("security",))


@pytest.mark.parametrize(
    ("ms", "names"),
    [
        (-1, []),
        (599_999, []),
        (600_000, ["after-600"]),
        (1_799_999, ["after-600"]),
        (1_800_000, ["after-1800"]),
        (2_699_999, ["after-1800"]),
        (2_700_000, ["after-1800", "escalated"]),
        (END - NOW - 1, ["after-1800", "escalated"]),
        (END - NOW, []),
        (END - NOW + 1, []),
    ],
)
def test_when_a_reminder_is_due(ms, names):
    assert [item.name for item in due(packet(), SCHEDULE, NOW + ms, ())] == names


def test_at_once_is_at_once():
    at_once = Reminders(after_seconds=(0,))
    assert [item.name for item in due(packet(), at_once, NOW, ())] == ["after-0"]
    assert due(packet(), at_once, NOW - 1, ()) == ()


@pytest.mark.parametrize(
    ("already", "names"),
    [
        ((), ["after-1800", "escalated"]),
        (("after-600",), ["after-1800", "escalated"]),
        (("after-1800",), ["escalated"]),
        (("escalated",), ["after-1800"]),
        (("after-1800", "escalated"), []),
    ],
)
def test_what_was_said_is_not_said_again(already, names):
    assert [item.name for item in due(packet(), SCHEDULE, NOW + 3_000_000, already)] == names


def test_a_reminder_goes_to_those_who_may_answer():
    asked = packet(approver_roles=("sre-oncall",))
    assert due(asked, SCHEDULE, NOW + 3_000_000, ()) == (
        Reminder(asked.id, "after-1800", ("sre-oncall",), END),
        Reminder(asked.id, ESCALATED, ("security",), END),
    )


@pytest.mark.parametrize(
    ("after", "ms", "escalated"),
    [
        (0, 0, False),
        (0, 1_000, False),
        (1, 999, False),
        (1, 1_000, True),
        (1, END - NOW - 1, True),
        (1, END - NOW, False),
        (1, -1, False),
    ],
)
def test_when_others_are_asked_too(after, ms, escalated):
    schedule = Reminders(escalate_after_seconds=after, escalate_to=("security",))
    assert is_escalated(packet(), schedule, NOW + ms) is escalated


def test_only_the_escalation_escalates_and_nothing_changes_in_memory():
    said = Reminder("ap-1", ESCALATED, (), END)
    assert said.escalates
    assert said.name == "escalated"
    assert not Reminder("ap-1", "after-1", (), END).escalates
    with pytest.raises(AttributeError):
        said.name = "after-1"
