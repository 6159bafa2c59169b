"""Sums of numbers too large or too small to hold, kept as logarithms."""

import math
from collections.abc import Iterable, Sequence


def log_sum(values: Iterable[float]) -> float:
    """Log of the sum of exponentials, without overflow; minus infinity for nothing."""
    listed = list(values)
    top = max(listed, default=-math.inf)
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in listed))


def log_mean(values: Sequence[float]) -> float:
    """Log of the mean of exponentials: the mean of e-values is an e-value, however they depend on each other."""
    return log_sum(values) - math.log(len(values)) if values else 0.0
