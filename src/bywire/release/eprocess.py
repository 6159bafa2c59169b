"""Evidence for harm that may be watched for ever: an e-process on the bad requests of both arms.

Within one interval, given how many requests were bad in total, the canary's share of them has a known law when the arms
are alike, whatever the service's error rate is at that moment. A baseline that moves, a shared outage and a change of
weight all cancel. Under "the rate ratio is at most exp(margin)" the expected value never exceeds one, so by Ville's
inequality it ever reaches 1 / alpha with probability at most alpha.

Sources: Ramdas, Grunwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statist. Sci.
38 (2023); Hoeffding, JASA 58 (1963), theorem 4, for why the binomial law errs on the safe side when bad requests are
not rare; Shin, Ramdas and Rinaldo, "E-detectors" (2022), for the mixture over starting times; Wang and Ramdas, "False
discovery rate control with e-values", JRSS-B 84 (2022), for attribution.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from bywire.release.log_space import log_sum

# Alternatives: log rate ratios beyond the margin, equally weighted, from a creeping leak to a segment that is down.
ALTERNATIVES = (0.25, 0.6, 1.4, 3.0, 6.0)
E_VALUE_MAX = 1e12

Hypothesis = TypeVar("Hypothesis", bound=Hashable)


class ArmCounts(NamedTuple):
    """Requests and bad requests of both arms in one interval."""

    requests_canary: int
    bad_canary: int
    requests_stable: int
    bad_stable: int


def log_likelihood_ratio(counts: ArmCounts, margin: float, shift: float) -> float:
    """Log of L(margin + shift) / L(margin), L binomial with theta(d) = n_c e^d / (n_c e^d + n_b)."""
    if counts.requests_canary <= 0 or counts.requests_stable <= 0:
        return 0.0
    at_margin = counts.requests_canary * math.exp(margin) + counts.requests_stable
    shifted = counts.requests_canary * math.exp(margin + shift) + counts.requests_stable
    bad = counts.bad_canary + counts.bad_stable
    return counts.bad_canary * shift - bad * math.log(shifted / at_margin)


def log_e_value(intervals: Iterable[ArmCounts], *, margin_log_ratio: float, dispersion: float) -> float:
    """The log e-value of harm beyond the margin after these intervals, in order; 0 without any bad request.

    E = sum_k pi_k sum_s w_s prod_{t >= s} LR_t(k)^(1/phi): a mixture over effect sizes k and over the interval s in
    which the harm began, with w_s = 1 / (s (s + 1)), so that a leak that starts late is not drowned by the healthy time
    before it. A power 1/phi <= 1 of a likelihood ratio is still an e-value (Jensen).
    """
    running = [-math.inf] * len(ALTERNATIVES)
    seen = 0
    for counts in intervals:
        seen += 1
        start = -math.log(seen * (seen + 1))
        for index, shift in enumerate(ALTERNATIVES):
            gain = log_likelihood_ratio(counts, margin_log_ratio, shift) / max(dispersion, 1.0)
            running[index] = log_sum((running[index], start)) + gain
    not_started = -math.log(seen + 1)
    return log_sum(log_sum((value, not_started)) for value in running) - math.log(len(ALTERNATIVES))


def attribute(log_e_values: Mapping[Hypothesis, float], alpha: float) -> tuple[Hypothesis, ...]:
    """The hypotheses that e-BH rejects at false discovery rate `alpha`, strongest first; ties in the mapping's order.

    Rejects the k* largest, k* = max { k : e_(k) >= m / (alpha k) }; valid under any dependence.
    """
    ranked = sorted(log_e_values, key=lambda name: -log_e_values[name])
    total = len(ranked)
    cut = max(
        (k for k, name in enumerate(ranked, 1) if log_e_values[name] >= math.log(total / (alpha * k))),
        default=0,
    )
    return tuple(ranked[:cut])


def reported(log_value: float) -> float:
    """An e-value for people and files: capped, four significant digits."""
    if log_value >= math.log(E_VALUE_MAX):
        return E_VALUE_MAX
    return float(f"{math.exp(log_value):.4g}")
