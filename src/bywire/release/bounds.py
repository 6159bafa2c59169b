"""Bounds that hold at every look: confidence sequences for a rate and for the difference of two rates.

An ordinary interval that is watched until it looks good is wrong far more often than it says. These may be watched
for as long as anyone likes: P(some n has the true rate outside) <= alpha.

Sources: Robbins, "Statistical methods related to the law of the iterated logarithm", Ann. Math. Statist. 41 (1970),
the mixture over a Beta prior; Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Ann. Statist. 49 (2021). Requests are taken as independent with a constant rate within a step;
counts are divided by the dispersion phi to pay for clumps. Only `math.lgamma` and bisection are used, so the same
counts give the same bounds everywhere up to the last digits.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from bywire.release.log_space import log_mean

# Half the mixture expects anything (Jeffreys), half expects rates near one percent, where healthy services live: the
# second part lets a clean canary pass on a quarter fewer requests.
PRIORS = ((0.5, 0.5), (0.5, 50.0))
_BISECTIONS = 48


class RateBounds(NamedTuple):
    """A rate between 0 and 1, with bounds."""

    estimate: float
    lower: float
    upper: float


class EffectBounds(NamedTuple):
    """A difference of rates, canary minus stable, between -1 and 1, with bounds."""

    estimate: float
    lower: float
    upper: float


def log_mixture(bad: float, requests: float) -> float:
    """The log of the likelihood of `bad` out of `requests`, mixed over `PRIORS`; counts may be real numbers.

    Each prior contributes B(a + bad, b + good) / B(a, b).
    """
    good = requests - bad
    return log_mean([_log_beta(a + bad, b + good) - _log_beta(a, b) for a, b in PRIORS])


def log_likelihood(bad: float, requests: float, rate: float) -> float:
    """The Bernoulli log likelihood of `bad` out of `requests` at `rate`; minus infinity where it is impossible."""
    good = requests - bad
    if (bad > 0 and rate <= 0) or (good > 0 and rate >= 1):
        return -math.inf
    return (bad * math.log(rate) if bad > 0 else 0.0) + (good * math.log1p(-rate) if good > 0 else 0.0)


def rate_bounds(bad: int, requests: int, *, alpha: float, dispersion: float = 1.0) -> RateBounds:
    """The rates whose mixture e-value stays below 1 / alpha: a confidence sequence for a Bernoulli rate.

    Without requests the answer is [0, 1] around 0. `bad` outside 0..requests is clamped.
    """
    if requests <= 0:
        return RateBounds(0.0, 0.0, 1.0)
    total = requests / max(dispersion, 1.0)
    count = min(max(bad, 0), requests) / max(dispersion, 1.0)
    estimate = count / total
    floor = log_mixture(count, total) + math.log(alpha)

    def inside(rate: float) -> bool:
        return log_likelihood(count, total, rate) > floor

    return RateBounds(estimate, _edge(inside, estimate, 0.0), _edge(inside, estimate, 1.0))


def risk_difference(
    canary: tuple[int, int], stable: tuple[int, int], *, alpha: float, dispersion: float = 1.0
) -> EffectBounds:
    """Bounds of p_canary - p_stable from (bad, requests) of each arm, each arm at alpha / 2.

    Both arms are covered at all times with probability 1 - alpha, hence so is their difference, whatever the split of
    traffic was and however long it was watched.
    """
    first = rate_bounds(*canary, alpha=alpha / 2, dispersion=dispersion)
    second = rate_bounds(*stable, alpha=alpha / 2, dispersion=dispersion)
    return EffectBounds(first.estimate - second.estimate, first.lower - second.upper, first.upper - second.lower)


def minimum_detectable_effect(
    requests_canary: int, stable: tuple[int, int], *, alpha: float, dispersion: float = 1.0
) -> float:
    """The least true increase whose expected count would put the lower bound of the effect above zero.

    Computed at the current number of canary requests and the current (bad, requests) of the stable arm. 1.0 when no
    increase could be seen.
    """
    if requests_canary <= 0:
        return 1.0
    control = rate_bounds(*stable, alpha=alpha / 2, dispersion=dispersion)
    total = requests_canary / max(dispersion, 1.0)
    bar = math.log(2 / alpha)

    def hidden(increase: float) -> bool:
        rate = min(control.estimate + increase, 1.0)
        if rate <= control.upper:
            return True
        count = rate * total
        return log_mixture(count, total) - log_likelihood(count, total, control.upper) < bar

    room = 1.0 - control.estimate
    if hidden(room):
        return 1.0
    return _edge(hidden, 0.0, room)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _edge(inside: Callable[[float], bool], start: float, end: float) -> float:
    """Bisect from `start` (inside) towards `end`; returns the first point found outside, so that bounds err wide."""
    if inside(end):
        return end
    within, beyond = start, end
    for _ in range(_BISECTIONS):
        middle = (within + beyond) / 2
        if inside(middle):
            within = middle
        else:
            beyond = middle
    return beyond
