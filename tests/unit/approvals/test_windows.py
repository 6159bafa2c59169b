"""Change windows: open or not, and when next, on a fixed clock."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from bywire.approvals.windows import next_opening_ms, open_window
from bywire.model.operator import ChangeWindow

OFFICE = ChangeWindow(days=(0, 1, 2, 3), start_minute=9 * 60, end_minute=16 * 60, utc_offset_minutes=60)
WINDOWS = st.builds(
    lambda days, start, length, offset: ChangeWindow(tuple(sorted(days)), start, min(start + length, 1440), offset),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.integers(-14 * 60, 14 * 60),
)
TIMES = st.integers(0, 4_102_444_800_000)


def at(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_without_windows_nobody_asks():
    assert open_window((), 0) is None
    assert next_opening_ms((), 0) is None


def test_a_window_is_open_from_its_start_until_before_its_end():
    rows = [
        ("2026-11-16T08:59:59+01:00", False),  # a Monday
        ("2026-11-16T09:00:00+01:00", True),
        ("2026-11-16T15:59:59+01:00", True),
        ("2026-11-16T16:00:00+01:00", False),
        ("2026-11-16T08:30:00+00:00", True),
        ("2026-11-20T12:00:00+01:00", False),  # a Friday
    ]
    for text, expected in rows:
        assert open_window((OFFICE,), at(text)) is expected, text


def test_the_next_opening_is_said():
    rows = [
        ("2026-11-16T12:00:00+01:00", "2026-11-16T12:00:00+01:00"),
        ("2026-11-16T08:00:00+01:00", "2026-11-16T09:00:00+01:00"),
        ("2026-11-16T16:00:00+01:00", "2026-11-17T09:00:00+01:00"),
        ("2026-11-19T20:00:00+01:00", "2026-11-23T09:00:00+01:00"),
    ]
    for now, expected in rows:
        assert next_opening_ms((OFFICE,), at(now)) == at(expected), now
    evening = ChangeWindow(days=(4,), start_minute=20 * 60, end_minute=1440)
    assert next_opening_ms((OFFICE, evening), at("2026-11-20T12:00:00+00:00")) == at("2026-11-20T20:00:00+00:00")


@given(WINDOWS, TIMES)
def test_a_window_agrees_with_the_calendar(window, now_ms):
    zone = timezone(timedelta(minutes=window.utc_offset_minutes))
    local = datetime.fromtimestamp(now_ms // 1000, UTC).astimezone(zone)
    minute = local.hour * 60 + local.minute
    expected = local.weekday() in window.days and window.start_minute <= minute < window.end_minute
    assert open_window((window,), now_ms) is expected


@given(st.lists(WINDOWS, min_size=1, max_size=4), TIMES)
def test_the_next_opening_is_open_and_nothing_opens_before_it(windows, now_ms):
    windows = tuple(windows)
    opens = next_opening_ms(windows, now_ms)
    assert now_ms <= opens <= now_ms + 8 * 86_400_000
    assert open_window(windows, opens)
    if opens > now_ms:
        assert not open_window(windows, now_ms)
        assert not open_window(windows, opens - 1)
