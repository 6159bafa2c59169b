"""The evidence for harm."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_fleet import binomial, seeded

from bywire.release.eprocess import ArmCounts, attribute, log_e_value, reported
from bywire.release.log_space import log_mean, log_sum


def evidence(intervals, margin=0.2, dispersion=1.6):
    return log_e_value(intervals, margin_log_ratio=margin, dispersion=dispersion)


def arm_counts(limit=10**9):
    return st.tuples(st.integers(0, limit), st.integers(0, limit)).flatmap(
        lambda n: st.builds(ArmCounts, st.just(n[0]), st.integers(0, n[0]), st.just(n[1]), st.integers(0, n[1]))
    )


@pytest.mark.parametrize(
    "intervals",
    [
        [],
        [ArmCounts(0, 0, 0, 0)],
        [ArmCounts(50, 0, 950, 0)] * 30,
        [ArmCounts(0, 0, 950, 40)],
        [ArmCounts(50, 9, 0, 0)],
    ],
)
def test_without_a_comparison_there_is_no_evidence(intervals):
    assert evidence(intervals) == pytest.approx(0.0, abs=1e-12)


@given(st.lists(arm_counts(), min_size=1, max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_one_more_bad_canary_request_never_lowers_the_evidence(intervals, data):
    index = data.draw(st.integers(0, len(intervals) - 1))
    counts = intervals[index]
    if counts.bad_canary >= counts.requests_canary:
        return
    more = [*intervals]
    more[index] = counts._replace(bad_canary=counts.bad_canary + 1)
    before = evidence(intervals)
    assert math.isfinite(before)
    assert evidence(more) >= before - 1e-6 * max(1, abs(before))


@given(st.lists(arm_counts(), max_size=8))
@settings(max_examples=60, deadline=None)
def test_stable_failing_too_never_raises_the_evidence(intervals):
    worse = [c._replace(bad_stable=min(c.requests_stable, c.bad_stable + 5)) for c in intervals]
    before = evidence(intervals)
    assert evidence(worse) <= before + 1e-6 * max(1, abs(before))


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_the_evidence_of_equal_arms_reaches_twenty_in_less_than_one_run_of_twenty(rate):
    """Ville: P(sup E >= 20) <= 0.05, without margin and dispersion to help, watched at every interval."""
    rng, runs, crossed = seeded(5), 300, 0
    for _ in range(runs):
        seen = []
        for _ in range(25):
            seen.append(ArmCounts(30, binomial(rng, 30, rate), 270, binomial(rng, 270, rate)))
            if evidence(seen, margin=0.0, dispersion=1.0) >= math.log(20):
                crossed += 1
                break
    assert crossed / runs <= 0.05


def test_a_shared_outage_is_no_evidence_and_a_late_leak_is():
    outage = [ArmCounts(50, 0, 950, 1)] * 10 + [ArmCounts(50, 20, 950, 380)] * 10
    assert evidence(outage) < math.log(2)
    leak = [ArmCounts(50, 0, 950, 1)] * 60 + [ArmCounts(50, 3, 950, 1)] * 6
    assert evidence(leak) > math.log(1000)


def test_attribution_names_the_harmed_and_only_them():
    strong, weak = math.log(1e6), 0.0
    assert attribute({"a": weak, "b": strong, "c": weak, "d": strong + 1}, 0.05) == ("d", "b")
    assert attribute({"a": math.log(79), "b": weak, "c": weak, "d": weak}, 0.05) == ()
    assert attribute({"a": math.log(81), "b": weak, "c": weak, "d": weak}, 0.05) == ("a",)
    assert attribute({}, 0.05) == ()


@given(st.lists(st.floats(-1e9, 1e9), max_size=6))
def test_sums_in_log_space_do_not_overflow(values):
    total = log_sum(values)
    assert total >= max(values, default=-math.inf)
    assert math.isfinite(log_mean(values))


def test_reported_values_are_capped_and_short():
    assert reported(1e9) == 1e12
    assert reported(0.0) == 1.0
    assert reported(math.log(1234567)) == 1235000.0
