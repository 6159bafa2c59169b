"""Reminders: each said once, none after the end, and who is asked when nobody answers."""

from approval_fixtures import NOW, packet
from hypothesis import given
from hypothesis import strategies as st

from bywire.approvals.reminders import due, is_escalated
from bywire.model.operator import Reminders

SCHEDULE = Reminders(after_seconds=(600, 1_800), escalate_after_seconds=2_700, escalate_to=("incident-commander",))


def names(seconds, already=(), schedule=SCHEDULE, of=None):
    return [item.name for item in due(of or packet(), schedule, NOW + seconds * 1_000, already)]


def test_each_time_has_its_reminder():
    assert names(599) == []
    assert names(600) == ["after-600"]
    assert names(601, {"after-600"}) == []
    assert names(1_800, {"after-600"}) == ["after-1800"]
    assert names(2_700, {"after-600", "after-1800"}) == ["escalated"]
    assert names(2_700, {"after-600", "after-1800", "escalated"}) == []


def test_of_missed_times_only_the_latest_is_said():
    assert names(2_699) == ["after-1800"]
    assert names(3_000) == ["after-1800", "escalated"]


def test_nothing_is_due_after_the_end_or_without_a_schedule():
    assert names(3_599) == ["after-1800", "escalated"]
    assert names(3_600) == []
    assert names(3_000, schedule=Reminders()) == []
    assert names(-1) == []


def test_a_reminder_says_who_and_until_when():
    first, escalated = due(packet(quorum_roles=("security",)), SCHEDULE, NOW + 3_000_000, ())
    assert (first.roles, first.escalates) == (("security",), False)
    assert (escalated.roles, escalated.escalates) == (("incident-commander",), True)
    assert first.act_by_ms == packet().expires_at_ms


def test_an_escalated_request_stays_so_until_its_end():
    assert not is_escalated(packet(), SCHEDULE, NOW + 2_699_999)
    assert is_escalated(packet(), SCHEDULE, NOW + 2_700_000)
    assert not is_escalated(packet(), SCHEDULE, NOW + 3_600_000)
    assert not is_escalated(packet(), Reminders(after_seconds=(1,)), NOW + 3_000_000)


@given(
    st.sets(st.integers(1, 4_000), max_size=8),
    st.integers(0, 4_000),
    st.lists(st.integers(0, 4_000), max_size=40),
)
def test_nothing_is_said_twice_whenever_one_looks(after, escalate, looks):
    schedule = Reminders(tuple(sorted(after)), escalate, ("security",))
    said = []
    for seconds in sorted(looks):
        said += names(seconds, said, schedule)
    assert len(said) == len(set(said))
    assert len(said) <= len(after) + 1
