"""What is told of one call: one flat set of fields for spans, log records and lines, with nothing secret in it.

Names of attributes are OpenTelemetry's where there are any (GenAI and MCP semantic conventions, `deployment.*`), and
begin with `bywire.` otherwise. Whatever a caller could have chosen is looked through and cut, since a secret can stand
in a tool's name or a key as well as in a parameter; parameters come only when asked for, and redacted already.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from bywire.model.ask import CallRecord
from bywire.model.connected import THOUSANDTHS
from bywire.model.trace_context import heard

TEXT_CHARS_MAX = 512
LISTED_MAX = 64
ARGUMENTS_CHARS_MAX = 8_192
KINDS_MAX = 32
OTHER_KINDS = "other"
DENY, FAILED, UNKNOWN = "deny", "failed", "unknown"
# A digest is what it says: to look for secrets inside of hundreds of hex digits would cost more than the call.
# What a kind of finding may be called; whatever else comes as one is none.
KIND = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}", re.ASCII)

Shown = Callable[[str], str]
Value = str | int | float | bool | list[str]


def told(record: CallRecord, shown: Shown) -> CallRecord:
    """The record with every text that a caller could have chosen made fit to be told. `shown` redacts one text."""

    def fit(text: str) -> str:
        return (
            "" if not text else text if _DIGEST.fullmatch(text) else shown(text[: 4 * TEXT_CHARS_MAX])[:TEXT_CHARS_MAX]
        )

    context = heard(record.trace)
    return msgspec.structs.replace(
        record,
        # A tool that has a contract is named by the operator; any other name is just what somebody sent.
        tool=record.tool if record.category else fit(record.tool),
        intent=fit(record.intent),
        call=record.call,
        run=fit(record.run),
        change=fit(record.change),
        evidence=tuple(fit(one) for one in record.evidence[:LISTED_MAX]),
        rules=record.rules[:LISTED_MAX],
        would_block=record.would_block[:LISTED_MAX],
        trace=str(context) if context is not None else "",
        redacted_request=counted(record.redacted_request),
        redacted_response=counted(record.redacted_response),
    )


def counted(counts: dict[str, int]) -> dict[str, int]:
    """Counts by kind as they may be told: of few kinds that are called like kinds, and what is left of the others."""
    if not counts:
        return counts
    kept = {kind: counts[kind] for kind in sorted(counts) if KIND.fullmatch(kind) and kind != OTHER_KINDS}
    most = dict(sorted(kept.items(), key=lambda item: (-item[1], item[0]))[:KINDS_MAX])
    left = sum(counts.values()) - sum(most.values())
    return {**most, OTHER_KINDS: left} if left else most


def attributes(record: CallRecord) -> dict[str, Value]:
    """Attributes of a record that was made fit to be told; empty ones are left out."""
    found: dict[str, Any] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": record.tool,
        "gen_ai.tool.call.id": record.call,
        "gen_ai.agent.id": record.principal,
        "mcp.method.name": "tools/call" if record.surface == "mcp" else "",
        "deployment.environment.name": record.environment,
        "error.type": error_type(record),
        "bywire.run": record.run,
        "bywire.service": record.service,
        "bywire.surface": record.surface,
        "bywire.upstream": record.upstream,
        "bywire.action.type": record.category,
        "bywire.agent.owner": record.owner,
        "bywire.agent.team": record.team,
        "bywire.policy.result": record.effect,
        "bywire.policy.version": record.policy_version,
        "bywire.decision.id": record.decision_id,
        "bywire.decision.reason": list(record.rules),
        "bywire.shadow.would_block": list(record.would_block),
        "bywire.status": record.status,
        "bywire.approval.id": record.approval_id,
        "bywire.intent": record.intent,
        "bywire.change": record.change,
        "bywire.evidence": list(record.evidence),
        "bywire.decide.duration_ms": _ms(record.duration_ns.get("decide", 0)),
        "bywire.execute.duration_ms": _ms(record.duration_ns.get("execute", 0)),
        "bywire.arguments": arguments_text(record),
        "bywire.sanitize.effect_before": record.effect_before,
        "bywire.sanitize.effect_after": record.effect_after,
        "bywire.sanitize.replaced": record.replaced,
    }
    for cost in record.cost:
        found[f"bywire.cost.{cost['unit']}"] = cost["amount"] / THOUSANDTHS
    found |= {f"bywire.redacted.request.{kind}": count for kind, count in record.redacted_request.items()}
    found |= {f"bywire.redacted.response.{kind}": count for kind, count in record.redacted_response.items()}
    return {name: value for name, value in found.items() if value not in ("", [], 0)}


def error_type(record: CallRecord) -> str:
    """`error.type`: the payload's code; empty for a call that was carried out, and for one that only waits."""
    return "" if record.error == "approval_needed" else record.error


def span_name(record: CallRecord) -> str:
    """`tools/call TOOL` for MCP, `execute_tool TOOL` for the others."""
    return f"{'tools/call' if record.surface == 'mcp' else 'execute_tool'} {record.tool}"


def arguments_text(record: CallRecord) -> str:
    """The parameters as canonical JSON of bounded length; empty unless they were asked for."""
    if record.arguments is None:
        return ""
    text = json.dumps(record.arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text if len(text) <= ARGUMENTS_CHARS_MAX else f"{text[:ARGUMENTS_CHARS_MAX]} [cut]"


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)
