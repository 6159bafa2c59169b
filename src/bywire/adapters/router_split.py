"""Which arm serves a request: a pure function of the split, the user, the segment and the time.

The canary's weight is a lease (RULES 16): past its expiry the share is 0 with no action of anybody. A user stays in an
arm while the weight grows, and cannot compute or choose the arm: the bucket is a keyed hash whose key never leaves the
target.
"""

import hashlib
from dataclasses import dataclass, replace

BUCKETS = 10_000  # 0.01 % of traffic each
OTHER_SEGMENT = "other"
STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class TrafficSplit:
    """`stable` and `canary` are digests or empty; `weight` is percent of the traffic of `segments` (empty = all).

    `lease_expires` is in seconds of the same monotonic clock as every `now`.
    """

    salt: bytes
    stable: str = ""
    canary: str = ""
    weight: float = 0.0
    segments: frozenset[str] = frozenset()
    lease_expires: float = 0.0

    def share(self, segment: str, now: float) -> float:
        """The canary's share of a segment's traffic now, in percent."""
        if not self.canary or now >= self.lease_expires or (self.segments and segment not in self.segments):
            return 0.0
        return self.weight

    def arm(self, bucket: int, segment: str, now: float) -> str:
        """`canary` or `stable` for a user's bucket."""
        return CANARY if bucket < round(self.share(segment, now) * BUCKETS / 100) else STABLE

    def bucket(self, user: bytes) -> int:
        """Where a user falls, 0..9999: uniform, sticky for one canary, unpredictable without the salt."""
        digest = hashlib.blake2b(self.canary.encode() + b"\0" + user, key=self.salt, digest_size=8).digest()
        return int.from_bytes(digest, "big") % BUCKETS

    def without_canary_traffic(self) -> "TrafficSplit":
        """The same split with the canary at weight 0."""
        return replace(self, weight=0.0, segments=frozenset(), lease_expires=0.0)


def segment_of(claimed: bytes, known: frozenset[str]) -> str:
    """The segment that a header value names; anything unknown is `other`, so that clients cannot invent segments."""
    name = claimed.decode("latin-1")
    return name if name in known else OTHER_SEGMENT
