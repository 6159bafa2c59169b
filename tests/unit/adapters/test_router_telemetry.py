"""Traffic counts: nothing is lost, only closed intervals show, memory is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from bywire.adapters.router_telemetry import INTERVALS_MAX, TrafficCounts

requests = st.lists(
    st.tuples(
        st.integers(0, 20_000), st.sampled_from(["stable", "canary"]), st.sampled_from(["ios", "other"]), st.booleans()
    ),
    max_size=80,
)


def collect(counts, now_ms, rows_max):
    found, since = [], 0
    while True:
        rows, following = counts.rows(since, now_ms, rows_max)
        found += rows
        if following >= counts.interval(now_ms):
            return found
        assert following > since
        since = following


@given(requests, st.integers(1, 5))
def test_every_request_is_counted_once_whatever_the_page_size(requests, rows_max):
    counts = TrafficCounts(1.0)
    for now_ms, arm, segment, error in sorted(requests):
        counts.add(now_ms, arm, segment, "d", error=error, slow=error, latency_ms=2.0, weight=25.0)
    rows = collect(counts, 30_000, rows_max)
    assert sum(row.requests for row in rows) == len(requests)
    assert sum(row.errors for row in rows) == sum(error for *_, error in requests)
    assert sum(row.latency_ms_sum for row in rows) == 2.0 * len(requests)
    assert [row.interval for row in rows] == sorted(row.interval for row in rows)
    assert all(row.weight == 25.0 for row in rows)


def test_the_running_interval_is_not_shown_and_a_change_of_weight_is_averaged():
    counts = TrafficCounts(0.5)
    for weight in (10.0, 20.0):
        counts.add(1_700, "canary", "ios", "d", error=False, slow=False, latency_ms=1.0, weight=weight)
    assert counts.rows(0, 1_999, 100) == ([], 3)
    rows, following = counts.rows(0, 2_000, 100)
    assert (following, [row.interval for row in rows], rows[0].weight) == (4, [3], 15.0)
    assert counts.rows(4, 2_000, 100) == ([], 4)


def test_old_intervals_are_forgotten():
    counts = TrafficCounts(1.0)
    for second in range(INTERVALS_MAX + 50):
        counts.add(second * 1000, "stable", "ios", "d", error=False, slow=False, latency_ms=1.0, weight=0.0)
    rows, _ = counts.rows(0, 10_000_000, 1_000_000)
    assert len(rows) == INTERVALS_MAX
    assert rows[0].interval == 50
