"""The algebra of a limit by the second or minute: no stretch of that length ever holds more, and a wait is exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.model.windows import DAY, HOUR, MINUTE, PERIOD_MS, SECOND, next_period_ms, room_at
from bywire.wiring.pacing import Pace

NOW = 1_790_000_000_000
LENGTH = PERIOD_MS[SECOND]
# Steps of the clock, back and forth: processes of one database need not agree on the millisecond.
steps = st.sampled_from([0, 1, 250, 499, 500, 501, 999, 1_000, 1_001, -1, -400])
asked = st.tuples(steps, st.integers(0, 6))
entries = st.lists(st.tuples(st.integers(NOW - 2_500, NOW + 500), st.integers(0, 5)), max_size=12)


def heaviest(taken, length=LENGTH):
    """The most that any stretch of this length holds, wherever it ends."""
    return max((sum(a for at, a in taken if end - length < at <= end) for end, _ in taken), default=0)


@given(calls=st.lists(asked, max_size=40), limit=st.integers(0, 8))
def test_no_stretch_holds_more_than_the_limit_wherever_it_begins(calls, limit):
    taken, now = [], NOW
    for step, amount in calls:
        now += step
        if room_at(taken, SECOND, limit, amount, now) == now:
            taken.append((now, amount))
    assert heaviest(taken) <= limit


@given(taken=entries, limit=st.integers(0, 12), amount=st.integers(0, 12))
def test_a_wait_is_exactly_long_enough(taken, limit, amount):
    free = room_at(taken, SECOND, limit, amount, NOW)
    fits = lambda now: sum(a for at, a in taken if at > now - LENGTH) + amount <= limit
    if free is None:
        assert amount > limit
        return
    assert free >= NOW
    assert fits(free)
    assert free == NOW or not fits(free - 1)


@given(calls=st.lists(st.integers(0, 700), max_size=60), limit=st.integers(1, 5))
def test_the_times_of_the_last_calls_say_the_same_as_the_whole_log(calls, limit):
    pace, taken, now = Pace(limit, LENGTH), [], NOW
    for step in calls:
        now += step
        free = pace.free_ms(now)
        assert free == room_at(taken, SECOND, limit, 1, now)
        if free == now:
            pace.count(now)
            taken.append((now, 1))
    assert heaviest(taken) <= limit
    assert pace.is_idle(now + LENGTH)
    assert pace.is_idle(now) is not bool(taken and taken[-1][0] > now - LENGTH)


def test_the_turn_of_a_minute_is_no_second_helping():
    turn = next_period_ms(MINUTE, NOW)
    before = [(turn - 1, 5)]
    assert room_at(before, MINUTE, 5, 1, turn) == turn - 1 + PERIOD_MS[MINUTE]


def test_more_than_the_limit_never_fits():
    assert room_at([], MINUTE, 5, 6, NOW) is None
    assert room_at([], MINUTE, 0, 0, NOW) == NOW


@pytest.mark.parametrize(("period", "length"), [(HOUR, 3_600_000), (DAY, 86_400_000)])
def test_an_hour_and_a_day_are_the_calendars(period, length):
    begins = NOW // length * length
    assert next_period_ms(period, begins) == begins + length
    assert next_period_ms(period, begins + length - 1) == begins + length
