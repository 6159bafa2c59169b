"""Change windows to the minute, on clocks east and west of Greenwich."""

from datetime import datetime

import pytest

from bywire.approvals.windows import next_opening_ms, open_window
from bywire.model.operator import ChangeWindow

MONDAY_TEN = ChangeWindow(days=(0,), start_minute=600, end_minute=660)
EAST = ChangeWindow(days=(0,), start_minute=0, end_minute=60, utc_offset_minutes=120)
WEST = ChangeWindow(days=(6,), start_minute=1_380, end_minute=1_440, utc_offset_minutes=-120)


def at(text):
    return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1_000)


@pytest.mark.parametrize(
    ("window", "now", "is_open", "opens"),
    [
        (MONDAY_TEN, "2026-11-16T09:59:59", False, "2026-11-16T10:00:00"),
        (MONDAY_TEN, "2026-11-16T10:00:00", True, "2026-11-16T10:00:00"),
        (MONDAY_TEN, "2026-11-16T10:59:59", True, "2026-11-16T10:59:59"),
        (MONDAY_TEN, "2026-11-16T11:00:00", False, "2026-11-23T10:00:00"),
        (MONDAY_TEN, "2026-11-17T10:30:00", False, "2026-11-23T10:00:00"),
        (MONDAY_TEN, "2026-11-22T23:59:59", False, "2026-11-23T10:00:00"),
        (EAST, "2026-11-15T21:59:59", False, "2026-11-15T22:00:00"),
        (EAST, "2026-11-15T22:00:00", True, "2026-11-15T22:00:00"),
        (EAST, "2026-11-15T23:00:00", False, "2026-11-22T22:00:00"),
        (WEST, "2026-11-16T00:59:59", False, "2026-11-16T01:00:00"),
        (WEST, "2026-11-16T01:59:59", True, "2026-11-16T01:59:59"),
        (WEST, "2026-11-16T02:00:00", False, "2026-11-23T01:00:00"),
    ],
)
def test_a_window_to_the_second(window, now, is_open, opens):
    assert open_window((window,), at(now)) is is_open
    assert next_opening_ms((window,), at(now)) == at(opens)


def test_of_several_windows_one_open_is_enough_and_the_nearest_is_next():
    both = (MONDAY_TEN, EAST)
    assert open_window(both, at("2026-11-16T10:00:00"))
    assert open_window(both, at("2026-11-15T22:00:00"))
    assert not open_window(both, at("2026-11-16T12:00:00"))
    assert next_opening_ms(both, at("2026-11-16T12:00:00")) == at("2026-11-22T22:00:00")
    assert next_opening_ms(both[::-1], at("2026-11-16T12:00:00")) == at("2026-11-22T22:00:00")
    assert next_opening_ms((), at("2026-11-16T12:00:00")) is None
    assert open_window((), at("2026-11-16T12:00:00")) is None


def test_before_the_epoch_began_its_days_were_counted_too():
    thursday = ChangeWindow(days=(3,), start_minute=0, end_minute=1_440)
    assert open_window((thursday,), 0)
    assert not open_window((thursday,), -1)
    assert next_opening_ms((thursday,), -1) == 0
