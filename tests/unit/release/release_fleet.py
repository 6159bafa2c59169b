"""A small simulated fleet: seeded traffic of two arms, with segments, bursts and bugs."""

import random

from bywire.model.telemetry import ArmInterval

ARTIFACT = "a" * 64
LAST_GOOD = "b" * 64
SEGMENTS = ("android", "desktop", "ios", "mobile-web")


def row(interval, arm, segment="desktop", requests=100, errors=0, slow=0, weight=5.0, digest=None):
    served = digest if digest is not None else (ARTIFACT if arm == "canary" else LAST_GOOD)
    return ArmInterval(interval, arm, segment, served, requests, errors, slow, float(requests * 10), float(weight))


def binomial(rng, n, p):
    if n * p > 30 and n * (1 - p) > 30:
        return min(n, max(0, round(rng.gauss(n * p, (n * p * (1 - p)) ** 0.5))))
    return sum(rng.random() < p for _ in range(n)) if p > 0 else 0


def clumped(rng, n, p, clump):
    """Bad requests that come `clump` at a time (retries): variance about `clump` times that of single ones."""
    return min(n, clump * binomial(rng, max(n // clump, 1), p)) if n else 0


def traffic(
    rng,
    intervals,
    weight,
    *,
    per_segment=60,
    rate=0.002,
    harmed=None,
    slow=0.01,
    clump=1,
    segments=SEGMENTS,
    wobble=0,
):
    """Rows of both arms; `harmed` maps segments to the canary's error rate; `wobble` moves the shared baseline."""
    rows = []
    for interval in intervals:
        shared = rate * (1 + wobble * rng.random())
        for segment in segments:
            canary = binomial(rng, per_segment, weight / 100)
            for arm, requests in (("canary", canary), ("stable", per_segment - canary)):
                p = (harmed or {}).get(segment, shared) if arm == "canary" else shared
                errors, late = clumped(rng, requests, p, clump), clumped(rng, requests, slow, clump)
                rows.append(row(interval, arm, segment, requests, errors, late, weight))
    return rows


def seeded(seed):
    return random.Random(seed)
