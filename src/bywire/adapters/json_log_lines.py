"""One JSON object on one line for each call: the same fields for a file, standard error and a SIEM."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from bywire.adapters.otel_fields import ARGUMENTS_CHARS_MAX, Shown, arguments_text, told
from bywire.model.ask import CallRecord
from bywire.model.connected import THOUSANDTHS

_LEFT_OUT = ("started_ms", "duration_ns", "cost", "arguments", "trace", "span")


def line_of(record: CallRecord, shown: Shown) -> bytes:
    """The line without its end: ASCII, so that no text of a caller ends a line or moves a terminal's cursor."""
    return _encoded(fields_of(told(record, shown)))


def short_line_of(record: CallRecord, shown: Shown, bytes_max: int) -> bytes:
    """The line within `bytes_max`; what is long is left out, and the line says so. Never half an object."""
    fields = fields_of(told(record, shown))
    for dropped in ("arguments", "evidence", "rules", "would_block", "intent", "change"):
        line = _encoded(fields)
        if len(line) <= bytes_max:
            return line
        if fields.pop(dropped, None) is not None:
            fields["left_out"] = [*fields.get("left_out", []), dropped]
    return _encoded(fields)


def fields_of(record: CallRecord) -> dict[str, Any]:
    """The fields of a record that was made fit to be told; empty ones are left out."""
    plain: dict[str, Any] = {
        name: value
        for name, value in msgspec.to_builtins(record).items()
        if name not in _LEFT_OUT and value not in ("", (), [], {}, 0)
    }
    span = record.span.split("-")
    return {
        "time": rfc3339(record.started_ms),
        "kind": "call",
        **plain,
        **({"trace_id": span[1], "span_id": span[2]} if len(span) == 4 else {}),
        **({"cost": {one["unit"]: one["amount"] / THOUSANDTHS for one in record.cost}} if record.cost else {}),
        "duration_ms": {name: round(value / 1e6, 3) for name, value in record.duration_ns.items()},
        **_arguments(record),
    }


def rfc3339(at_ms: int) -> str:
    """A time in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _arguments(record: CallRecord) -> dict[str, Any]:
    if record.arguments is None:
        return {}
    text = arguments_text(record)
    return {"arguments": record.arguments if len(text) <= ARGUMENTS_CHARS_MAX else text}


def _encoded(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii").replace(b"\x7f", b"\\u007f")
