"""OpenTelemetry over OTLP/HTTP: a span and, when wanted, a log record for every call, as protobuf, in batches.

The messages are the ones of `opentelemetry.proto`; they are sent as everything here is sent, to one origin that was
checked, without redirects, proxies or settings of the environment.
"""

import gzip
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from bywire import __version__
from bywire.adapters.otel_fields import DENY, FAILED, UNKNOWN, Shown, Value, attributes, error_type, span_name, told
from bywire.adapters.pinned_http import PinnedHttp
from bywire.model.ask import CallRecord
from bywire.model.errors import TargetError
from bywire.model.trace_context import heard

TRACES_PATH, LOGS_PATH = "/v1/traces", "/v1/logs"
_SCOPE = InstrumentationScope(name="bywire", version=__version__)
_MS = 1_000_000
# Bits 8 and 9 of a span's flags: whether its parent is in another process is known, and it is.
_REMOTE_KNOWN, _REMOTE = 0x100, 0x200


class OtlpExporter:
    """Sends batches of records to one collector."""

    def __init__(
        self,
        client: PinnedHttp,
        shown: Shown,
        resource: Mapping[str, str],
        *,
        headers: Mapping[str, str],
        spans: bool,
        logs: bool,
    ) -> None:
        self._client = client
        self._shown = shown
        self._resource = Resource(attributes=_pairs(resource))
        self._headers = {
            "User-Agent": f"bywire/{__version__}",
            **headers,
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
        }
        self._spans = spans
        self._logs = logs

    def send(self, batch: Sequence[CallRecord]) -> None:
        """One request for each signal. Raises TargetError or OSError when the collector does not take it."""
        fit = [told(record, self._shown) for record in batch]
        if self._spans:
            scope = ScopeSpans(scope=_SCOPE, spans=[span_of(record) for record in fit])
            request = ExportTraceServiceRequest(
                resource_spans=[ResourceSpans(resource=self._resource, scope_spans=[scope])]
            )
            self._post(TRACES_PATH, request.SerializeToString())
        if self._logs:
            records = ScopeLogs(scope=_SCOPE, log_records=[log_of(record) for record in fit])
            told_logs = ExportLogsServiceRequest(
                resource_logs=[ResourceLogs(resource=self._resource, scope_logs=[records])]
            )
            self._post(LOGS_PATH, told_logs.SerializeToString())

    def close(self) -> None:
        """Give connections back."""
        self._client.close()

    def _post(self, path: str, message: bytes) -> None:
        answer = self._client.send("POST", path, self._headers, gzip.compress(message, 1), reuse=True)
        if not 200 <= answer.status < 300:
            raise TargetError(f"the collector answered {answer.status}", code="target_refused")


def span_of(record: CallRecord) -> Span:
    """The span of one call that was made fit to be told: server side, in its caller's trace."""
    own, parent = heard(record.span), heard(record.trace)
    begun, total = record.started_ms * _MS, record.duration_ns.get("total", 0)
    code = Status.STATUS_CODE_ERROR if error_type(record) else Status.STATUS_CODE_UNSET
    span = Span(
        trace_id=bytes.fromhex(own.trace_id) if own else b"",
        span_id=bytes.fromhex(own.span_id) if own else b"",
        name=span_name(record),
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=begun,
        end_time_unix_nano=begun + total,
        attributes=_pairs(attributes(record)),
        status=Status(code=code),
        flags=_REMOTE_KNOWN | (own.flags if own else 0),
    )
    if parent is not None and own is not None and parent.trace_id == own.trace_id:
        span.parent_span_id = bytes.fromhex(parent.span_id)
        span.flags |= _REMOTE
    return span


def log_of(record: CallRecord) -> LogRecord:
    """The log record of one call that was made fit to be told; it names the call's span."""
    own = heard(record.span)
    at = record.started_ms * _MS + record.duration_ns.get("total", 0)
    number, text = _severity(record)
    return LogRecord(
        time_unix_nano=at,
        observed_time_unix_nano=at,
        severity_number=number,
        severity_text=text,
        event_name="bywire.call",
        body=AnyValue(string_value=f"{record.status or 'failed'} {record.tool}"),
        attributes=_pairs(attributes(record)),
        trace_id=bytes.fromhex(own.trace_id) if own else b"",
        span_id=bytes.fromhex(own.span_id) if own else b"",
        flags=own.flags if own else 0,
    )


def _severity(record: CallRecord) -> tuple[Any, str]:
    if record.effect == DENY or record.would_block:
        return SeverityNumber.SEVERITY_NUMBER_WARN, "WARN"
    if record.status in {FAILED, UNKNOWN} and record.error:
        return SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR"
    return SeverityNumber.SEVERITY_NUMBER_INFO, "INFO"


def _pairs(values: Mapping[str, Value] | Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=_unicode(value))
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=_unicode(item)) for item in value]))


def _unicode(text: str) -> str:
    """Protobuf takes no lone surrogates."""
    return text.encode("utf-8", "replace").decode()
