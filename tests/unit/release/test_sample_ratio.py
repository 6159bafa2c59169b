"""Whether traffic splits as configured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from release_fleet import binomial, seeded

from bywire.release.sample_ratio import log_mismatch, log_split_mismatch


def mismatch(canary, total, weight, tolerance=0.2, dispersion=2.0):
    return log_mismatch(canary, total, weight=weight, tolerance=tolerance, dispersion=dispersion)


@pytest.mark.parametrize(
    ("canary", "total", "weight", "wrong"),
    [
        (0, 0, 5, False),
        (50, 1000, 5, False),
        (58, 1000, 5, False),
        (500, 1000, 5, True),
        (0, 1000, 5, True),
        (0, 40, 5, False),
        (1000, 1000, 100, False),
        (990, 1000, 100, False),
        (280, 1000, 50, True),
        (10, 10, 0, True),
    ],
)
def test_split(canary, total, weight, wrong):
    assert (mismatch(canary, total, weight) >= math.log(1000)) is wrong


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 100))
def test_never_raises(canary, stable, weight):
    assert not math.isnan(
        log_split_mismatch([(canary, canary + stable), (0, 0)], weight=weight, tolerance=0.2, dispersion=2)
    )


def test_a_sound_split_is_almost_never_called_unsound():
    rng, called = seeded(2), 0
    for _ in range(300):
        canary = total = 0
        for _ in range(30):
            canary, total = canary + binomial(rng, 200, 0.05), total + 200
            if mismatch(canary, total, 5, tolerance=0.0, dispersion=1.0) >= math.log(100):
                called += 1
                break
    assert called <= 3
