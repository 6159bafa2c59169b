"""What `GET /metrics` says, in a registry of its own: nothing of the process or of other libraries is in it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from bywire.adapters.metrics_counts import NAMES_MAX, CallCounts, Histogram, Names
from bywire.adapters.metrics_reviews import Reviews
from bywire.adapters.telemetry_outbox import Outbox
from bywire.model.connected import THOUSANDTHS

# Series of budgets; of more, those with the least left are shown.
BUDGETS_MAX = 2_000


class Spent(msgspec.Struct, frozen=True):
    """One budget: `used` and `limit` in thousandths of `unit`, in the `period` that it is now (UTC)."""

    scope: str
    unit: str
    period: str
    used: int
    limit: int


class Used(msgspec.Struct, frozen=True):
    """What one agent's effects cost today (UTC), in thousandths of `unit`."""

    agent: str
    team: str
    unit: str
    amount: int


class Now(msgspec.Struct, frozen=True):
    """What a scrape looks up."""

    version: str
    policy_revision: str
    policy_digest: str
    budgets: tuple[Spent, ...]
    usage: tuple[Used, ...]
    unrecorded: int = 0
    config_stale: bool = False


class Scrape:
    """The registry's one collector. `look` is asked, and the database read, for every scrape."""

    def __init__(
        self, calls: CallCounts, reviews: Reviews, outboxes: Sequence[Outbox], look: Callable[[], tuple[int, Now]]
    ) -> None:
        self._calls = calls
        self._reviews = reviews
        self._outboxes = tuple(outboxes)
        self._look = look
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._agents = Names()

    def text(self) -> bytes:
        """The exposition, Prometheus text format 0.0.4. Raises errors of the database."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when the registry is made."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, also those without a series yet."""
        now_ms, now = self._look()
        yield _gauge("bywire_build_info", "The version that runs.", ("version",), {(now.version,): 1})
        policy = {(now.policy_revision, now.policy_digest): 1}
        yield _gauge("bywire_policy_info", "The policy in force.", ("revision", "digest"), policy)
        stale = {(): int(now.config_stale)}
        yield _gauge(
            "bywire_config_stale", "1 while files differ from what the server read when it started.", (), stale
        )
        with self._calls.lock:
            yield from list(self._of_calls())
        with self._reviews.lock:
            self._reviews.refresh(now_ms)
            yield from list(self._of_reviews())
        yield from self._of_budgets(now)
        yield from self._of_outboxes(now)

    def _of_calls(self) -> Iterator[Metric]:
        calls = self._calls
        place = ("surface", "effect", "status", "category", "environment")
        yield _counter("bywire_calls", "Calls answered, by what was decided and how they ended.", place, calls.calls)
        yield _counter(
            "bywire_call_errors", "Calls not simply carried out, by code.", ("surface", "code"), calls.errors
        )
        yield _counter("bywire_agent_calls", "Calls of each agent.", ("agent", "effect"), calls.agents)
        yield _counter("bywire_tool_calls", "Calls of each tool.", ("tool", "effect"), calls.tools)
        denials = {(rule,): count for rule, count in calls.denials.items()}
        yield _counter("bywire_denials", "Denials, by each rule that fired.", ("rule",), denials)
        would = {(rule,): count for rule, count in calls.would_blocks.items()}
        yield _counter("bywire_would_blocks", "Calls that a rule in shadow would have denied.", ("rule",), would)
        yield _counter(
            "bywire_redactions",
            "What was taken out of actions that were allowed so, and out of answers, by kind.",
            ("kind", "direction"),
            calls.redactions,
        )
        yield _histogram("bywire_decide_duration_seconds", "Deciding alone, in the policy engine.", calls.decide)
        yield _histogram("bywire_call_duration_seconds", "Calls from beginning to end.", calls.total)

    def _of_reviews(self) -> Iterator[Metric]:
        reviews = self._reviews
        yield _gauge("bywire_approvals_pending", "Requests that wait for a person.", (), {(): reviews.pending})
        wait = HistogramMetricFamily(
            "bywire_approval_wait_seconds", "From a request to the verdict that settled it, by the signer's clock."
        )
        wait.add_metric([], reviews.wait.cumulative(), sum_value=reviews.wait.sum)
        yield wait
        verdicts = {**reviews.verdicts, ("break_glass", "opened"): reviews.glass}
        yield _counter(
            "bywire_reviewer_verdicts",
            "What people said: with their own key, through a channel, or by breaking glass.",
            ("kind", "verdict"),
            verdicts,
        )
        yield _gauge("bywire_break_glass_open", "Broken glass that can be used now.", (), {(): reviews.glass_open})

    def _of_budgets(self, now: Now) -> Iterator[Metric]:
        labels = ("scope", "unit", "period")
        fullest = sorted(now.budgets, key=lambda one: one.limit - one.used)[:BUDGETS_MAX]
        # Of two that count the same thing the smaller one is the limit, so it is the one that stays.
        kept = sorted(fullest, key=lambda one: -one.limit)
        used = {(one.scope, one.unit, one.period): one.used / THOUSANDTHS for one in kept}
        limit = {(one.scope, one.unit, one.period): one.limit / THOUSANDTHS for one in kept}
        yield _gauge("bywire_budget_used", "What of a budget is used: this day or hour (UTC), or lately.", labels, used)
        yield _gauge("bywire_budget_limit", "A budget, for its period.", labels, limit)
        usage: Counter[tuple[str, ...]] = Counter()
        for one in now.usage[: NAMES_MAX * 10]:
            usage[self._agents.of(one.agent), one.team, one.unit] += one.amount
        cost = {key: amount / THOUSANDTHS for key, amount in usage.items()}
        yield _gauge("bywire_agent_cost", "What an agent's effects cost today (UTC).", ("agent", "team", "unit"), cost)

    def _of_outboxes(self, now: Now) -> Iterator[Metric]:
        boxes = self._outboxes
        yield _gauge(
            "bywire_telemetry_waiting",
            "Records that wait to be sent.",
            ("sink",),
            {(b.name,): b.waiting for b in boxes},
        )
        gone = {
            **{(box.name, "queue_full"): box.dropped for box in boxes},
            **{(box.name, "not_taken"): box.lost for box in boxes},
            ("all", "unrecorded"): now.unrecorded,
        }
        yield _counter("bywire_telemetry_dropped", "Records that were never sent.", ("sink", "reason"), gone)
        sent = {(box.name,): box.sent for box in boxes}
        yield _counter("bywire_telemetry_sent", "Records that were sent.", ("sink",), sent)


def _counter(name: str, help_text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, help_text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histogram(name: str, help_text: str, values: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, help_text, labels=("surface",))
    for surface, one in values.items():
        family.add_metric([surface], one.cumulative(), sum_value=one.sum)
    return family
