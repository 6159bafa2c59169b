"""Does the traffic split as configured? If not, the arms are not comparable and nothing may be promoted.

A canary that drops requests before they are counted, a client pinned to one arm or a router with a rounding fault all
show here first. The test is an e-test, so it may be asked in every interval.
"""

from collections.abc import Sequence

from bywire.release.bounds import log_likelihood, log_mixture
from bywire.release.log_space import log_mean


def log_mismatch(canary: int, total: int, *, weight: float, tolerance: float, dispersion: float) -> float:
    """The log e-value against "the canary's share lies within `tolerance` (relative) of `weight` percent".

    The mixture's likelihood over the best that the null offers (universal inference; Wasserman, Ramdas and
    Balakrishnan, PNAS 117, 2020). 0 without requests.
    """
    if total <= 0:
        return 0.0
    share = min(max(weight / 100, 0.0), 1.0)
    observed = canary / total
    nearest = min(max(observed, share * (1 - tolerance)), 1.0, share * (1 + tolerance))
    requests = total / max(dispersion, 1.0)
    bad = observed * requests
    return log_mixture(bad, requests) - log_likelihood(bad, requests, nearest)


def log_split_mismatch(
    splits: Sequence[tuple[int, int]], *, weight: float, tolerance: float, dispersion: float
) -> float:
    """The mean e-value over (canary, total) of each segment and of all together, as a log."""
    return log_mean(
        [
            log_mismatch(canary, total, weight=weight, tolerance=tolerance, dispersion=dispersion)
            for canary, total in splits
        ]
    )
