"""Sufficient statistics of live traffic: what the judge reads, from whatever source."""

import msgspec


class ArmInterval(msgspec.Struct, frozen=True):
    """Counts for one arm, segment and interval.

    `interval` is the index of the interval (start = interval * interval_seconds since the epoch); `arm` is `stable`
    or `canary`; `slow` counts requests above the latency objective; `errors` and `slow` are subsets of `requests`.
    `weight` is the canary's traffic share in percent while the interval ran; `digest` is what served it.
    """

    interval: int
    arm: str
    segment: str
    digest: str
    requests: int
    errors: int
    slow: int
    latency_ms_sum: float
    weight: float
