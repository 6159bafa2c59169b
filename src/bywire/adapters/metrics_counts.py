"""Counters and histograms of calls, kept so that a call pays for a few additions and a scrape for the rest.

Every name that becomes a label is one of a set that the operator bounds: contracts, registrations, rules of the policy.
Beyond a number of them, and for whatever nobody declared, the label is `other`; so no caller makes a series.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from bywire.adapters.otel_fields import KIND
from bywire.model.ask import CallRecord

NAMES_MAX = 200
KINDS_MAX = 160
OTHER, NONE = "other", "none"
SANITIZE, ADVISED = "sanitize", "advised"
SURFACES = frozenset({"mcp", "http", "authzen", "ext_authz", "hook", "sdk", "egress", "api"})
DECIDE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
CALL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WAIT_BUCKETS = (30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0)


class Histogram:
    """Observations in seconds, by buckets; not thread-safe by itself."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, how many were at most that), `+Inf` last."""
        found, total = [], 0
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            total += count
            found.append(("+Inf" if bound is None else repr(bound), float(total)))
        return found


class Names:
    """The first names that are seen keep their own, later ones share `other`."""

    def __init__(self, most: int = NAMES_MAX) -> None:
        self._known: set[str] = set()
        self._most = most

    def of(self, name: str) -> str:
        """The label for a name."""
        if not name:
            return NONE
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


class CallCounts:
    """`model.ask.Observer`: what `/metrics` says of calls. Read it under `lock`."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self.lock = threading.Lock()
        # By surface, effect, status, category and environment.
        self.calls: Counter[tuple[str, str, str, str, str]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.agents: Counter[tuple[str, str]] = Counter()
        self.tools: Counter[tuple[str, str]] = Counter()
        self.denials: Counter[str] = Counter()
        self.would_blocks: Counter[str] = Counter()
        self.decide: dict[str, Histogram] = {}
        self.total: dict[str, Histogram] = {}
        # By kind of finding and direction: what was taken out of actions that were allowed so, and out of answers.
        self.redactions: Counter[tuple[str, str]] = Counter()
        self._agents, self._tools, self._rules = Names(names_max), Names(names_max), Names(names_max)
        self._kinds = Names(min(names_max, KINDS_MAX))

    def observed(self, record: CallRecord) -> None:
        """Count it."""
        surface = record.surface if record.surface in SURFACES else OTHER
        effect, durations = record.effect or NONE, record.duration_ns
        with self.lock:
            place = (record.category or OTHER, record.environment or NONE)
            self.calls[surface, effect, record.status, *place] += 1
            self.agents[self._agents.of(record.principal), effect] += 1
            # A name without a contract is whatever somebody sent.
            self.tools[self._tools.of(record.tool) if record.category else OTHER, effect] += 1
            if record.error:
                self.errors[surface, record.error] += 1
            if effect == "deny":
                self.denials.update(self._rules.of(rule) for rule in set(record.rules))
            if record.would_block:
                self.would_blocks.update(self._rules.of(rule) for rule in record.would_block)
            if record.redacted_request and effect == SANITIZE and record.status != ADVISED:
                self._redacted(record.redacted_request, "request")
            if record.redacted_response:
                self._redacted(record.redacted_response, "response")
            _histogram(self.total, surface, CALL_BUCKETS).observe(durations.get("total", 0) / 1e9)
            if decide := durations.get("decide", 0):
                _histogram(self.decide, surface, DECIDE_BUCKETS).observe(decide / 1e9)

    def _redacted(self, counts: dict[str, int], direction: str) -> None:
        for kind, count in counts.items():
            self.redactions[self._kinds.of(kind) if KIND.fullmatch(kind) else OTHER, direction] += count


def _histogram(known: dict[str, Histogram], surface: str, bounds: Sequence[float]) -> Histogram:
    found = known.get(surface)
    if found is None:
        found = known[surface] = Histogram(bounds)
    return found
