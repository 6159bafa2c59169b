"""Bounds that hold at every look."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_fleet import seeded

from bywire.release.bounds import minimum_detectable_effect, rate_bounds, risk_difference

counts = st.integers(0, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
alphas = st.floats(1e-6, 0.5)
dispersions = st.floats(1, 20)


@given(counts, counts, alphas, dispersions)
@settings(max_examples=150, deadline=None)
def test_bounds_contain_the_estimate_and_are_finite(canary, stable, alpha, dispersion):
    bounds = risk_difference(canary, stable, alpha=alpha, dispersion=dispersion)
    assert -1 <= bounds.lower <= bounds.estimate <= bounds.upper <= 1
    assert all(math.isfinite(value) for value in bounds)


@given(counts, alphas)
@settings(max_examples=80, deadline=None)
def test_less_alpha_and_more_dispersion_never_narrow(count, alpha):
    narrow = rate_bounds(*count, alpha=alpha)
    for wide in (rate_bounds(*count, alpha=alpha / 10), rate_bounds(*count, alpha=alpha, dispersion=3)):
        assert wide.lower <= narrow.lower + 1e-9
        assert wide.upper >= narrow.upper - 1e-9


@given(st.integers(1, 5000), counts)
@settings(max_examples=80, deadline=None)
def test_minimum_detectable_effect_is_a_rate_and_shrinks_with_traffic(requests, stable):
    few = minimum_detectable_effect(requests, stable, alpha=0.05)
    many = minimum_detectable_effect(requests * 10, stable, alpha=0.05)
    assert 0 <= many <= few + 1e-9 <= 1 + 1e-9


def test_what_is_detectable_is_detected_at_its_expected_count():
    effect = minimum_detectable_effect(1000, (2, 20000), alpha=0.05)
    just_above = math.ceil((effect + 2 / 20000) * 1000) + 1
    assert risk_difference((just_above, 1000), (2, 20000), alpha=0.05).lower > 0
    assert risk_difference((just_above - 3, 1000), (2, 20000), alpha=0.05).lower <= 0


def test_no_requests_say_nothing():
    assert rate_bounds(0, 0, alpha=0.05) == (0.0, 0.0, 1.0)
    assert risk_difference((0, 0), (0, 0), alpha=0.05) == (0.0, -1.0, 1.0)
    assert minimum_detectable_effect(0, (0, 100), alpha=0.05) == 1.0


@pytest.mark.parametrize(("bad", "requests"), [(-3, 10), (11, 10), (5, -1)])
def test_impossible_counts_do_not_raise(bad, requests):
    bounds = rate_bounds(bad, requests, alpha=0.05)
    assert 0 <= bounds.lower <= bounds.upper <= 1


def test_a_clean_canary_needs_this_many_requests():
    """The table that a bake time is planned from: clean requests until the upper bound is below the tolerance."""
    for tolerance, needed in ((0.08, 56), (0.04, 121), (0.02, 258)):
        assert risk_difference((0, needed), (0, 20 * needed), alpha=0.05).upper <= tolerance
        assert risk_difference((0, needed - 5), (0, 20 * needed), alpha=0.05).upper > tolerance


@pytest.mark.parametrize("p", [0.002, 0.05, 0.4])
def test_coverage_is_time_uniform(p):
    """Watched at forty times, the true rate leaves the bounds in at most alpha of the runs (here: well below)."""
    rng, alpha, runs, missed = seeded(11), 0.1, 200, 0
    for _ in range(runs):
        bad = requests = 0
        for _ in range(40):
            step = max(5, requests // 8)
            bad += sum(rng.random() < p for _ in range(step))
            requests += step
            bounds = rate_bounds(bad, requests, alpha=alpha)
            if not bounds.lower <= p <= bounds.upper:
                missed += 1
                break
    assert missed / runs <= alpha


def test_an_ordinary_interval_would_fail_the_same_watch():
    """The coverage test can fail: a 90% normal interval, watched the same way, misses far more often."""
    rng, p, runs, missed = seeded(11), 0.4, 200, 0
    for _ in range(runs):
        bad = requests = 0
        for _ in range(40):
            step = max(5, requests // 8)
            bad += sum(rng.random() < p for _ in range(step))
            requests += step
            rate = bad / requests
            if abs(rate - p) > 1.645 * max(rate * (1 - rate) / requests, 1e-9) ** 0.5:
                missed += 1
                break
    assert missed / runs > 0.25
