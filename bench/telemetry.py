"""What a call pays to be observed, in its own thread: the record and what counts or queues it; and, beside it, what the
sending thread does for each. Nothing leaves the process. `python -m bench telemetry`
"""

import statistics
import time

import msgspec

from bench.measured import at_most
from bywire.adapters.json_log_lines import line_of
from bywire.adapters.metrics_counts import CallCounts
from bywire.adapters.otel_export import span_of
from bywire.adapters.otel_fields import told
from bywire.adapters.telemetry_outbox import Outbox
from bywire.adapters.trace_ids import begun
from bywire.gateway.redaction import Redactor
from bywire.model.ask import CallRecord

OBSERVED_MICROSECONDS_MAX = 25
TOLD_MICROSECONDS_MAX = 250
CALLS, ROUNDS = 2_000, 9
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


MASKED = {
    "effect": "sanitize",
    "effect_before": "sanitize",
    "effect_after": "allow",
    "status": "committed",
    "error": "",
    "rules": (),
    "redacted_request": {"email": 2, "phone": 1},
    "redacted_response": {"email": 1, "github_token": 1},
}


def masked_record():
    """One write that was allowed as it was masked."""
    return msgspec.structs.replace(record(), **MASKED)


def record():
    """One denied write, as a surface would tell it."""
    return CallRecord(
        surface="mcp",
        tool="shop.deploy",
        upstream="shop",
        category="production_orchestration",
        principal="agent:fixer",
        owner="person:dana",
        team="platform",
        service="storefront",
        environment="production",
        effect="deny",
        status="denied",
        rules=("contract.unreviewed", "state.limit_exhausted"),
        error="policy_denied",
        decision_id="d-0123456789abcdef",
        policy_version="5f" * 32,
        approval_id="",
        intent="agent:fixer|shop.deploy|k-1",
        run="run-1",
        change="change-7",
        evidence=("ab" * 32,),
        cost=({"unit": "replica_hours", "amount": 48_000},),
        would_block=(),
        started_ms=1_790_000_000_000,
        duration_ns={"decide": 300_000, "total": 2_000_000},
        trace=TRACE,
        call="0123456789abcdef-17",
        span=str(begun(TRACE)),
    )


def bars():
    """Medians over rounds, in microseconds a call."""
    one, shown = record(), Redactor(b"w" * 32).shown
    counts, outboxes = CallCounts(), [Outbox(name, lambda _: None, CALLS) for name in ("otlp", "syslog")]

    def observed():
        made = record()
        counts.observed(made)
        for outbox in outboxes:
            outbox.observed(made)

    masked = masked_record()

    def observed_masked():
        counts.observed(masked)
        for outbox in outboxes:
            outbox.observed(masked)

    def spans():
        span_of(told(one, shown)).SerializeToString()

    try:
        yield at_most("telemetry.observed", _median(observed), "us", OBSERVED_MICROSECONDS_MAX, 1)
        yield at_most("telemetry.observed_masked", _median(observed_masked), "us", OBSERVED_MICROSECONDS_MAX, 1)
    finally:
        for outbox in outboxes:
            outbox.close()
    yield at_most("telemetry.span", _median(spans), "us", TOLD_MICROSECONDS_MAX, 1)
    yield at_most(
        "telemetry.span_masked",
        _median(lambda: span_of(told(masked, shown)).SerializeToString()),
        "us",
        TOLD_MICROSECONDS_MAX,
        1,
    )
    yield at_most("telemetry.line", _median(lambda: line_of(one, shown)), "us", TOLD_MICROSECONDS_MAX, 1)


def _median(work):
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            work()
        rounds.append((time.perf_counter() - began) / CALLS * 1e6)
    return statistics.median(rounds)
