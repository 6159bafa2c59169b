"""`telemetry` of gateway.yaml: who is told of every call. What is not named is told nothing."""

from bywire.config.reading import Node, read_optional
from bywire.model.gateway_telemetry import (
    MIB,
    QUEUE_MAX,
    JsonLogSettings,
    MetricsSettings,
    OtlpSettings,
    SyslogSettings,
    TelemetrySettings,
)

FACILITIES = ("user", "daemon", "auth", "authpriv", "local0", "local1", "local2", "local3", "local4", "local5",
              "local6", "local7")  # fmt: skip
TRANSPORTS = ("tls", "tcp", "udp")
PORTS = {"tls": 6_514, "tcp": 601, "udp": 514}
QUEUE_BOUNDS = (16, 65_536)
LOG_BYTES_BOUNDS = (65_536, 1_024 * MIB)
LOG_FILES_BOUNDS = (1, 100)
STDERR = "stderr"
_KEYS = ("otlp", "syslog", "json_log", "metrics", "arguments", "queue")
_ORIGIN = r"https?://[A-Za-z0-9.\[\]:-]{1,255}"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}"


def read_telemetry(node: Node) -> TelemetrySettings:
    """Raises FieldError naming the first fault."""
    fields = node.fields(_KEYS)
    return TelemetrySettings(
        otlp=read_optional(fields, "otlp", _otlp, None),
        syslog=read_optional(fields, "syslog", _syslog, None),
        json_log=read_optional(fields, "json_log", _json_log, None),
        metrics=read_optional(fields, "metrics", _metrics, None),
        arguments=_flag(fields, "arguments", absent=False),
        queue=read_optional(fields, "queue", lambda item: item.integer(*QUEUE_BOUNDS, "records"), QUEUE_MAX),
    )


def _otlp(node: Node) -> OtlpSettings:
    fields = node.fields(("url", "private", "headers_file", "spans", "logs"), required=("url",))
    private = _flag(fields, "private", absent=False)
    url = fields["url"].text("a collector's URL without a path, such as https://otel.example:4318", pattern=_ORIGIN)
    if url.startswith("http:") and not private:
        raise fields["url"].refuse("http is for private addresses", "write https, or add `private: true`")
    found = OtlpSettings(
        url=url,
        private=private,
        headers_file=read_optional(fields, "headers_file", _absolute, ""),
        spans=_flag(fields, "spans", absent=True),
        logs=_flag(fields, "logs", absent=False),
    )
    if not (found.spans or found.logs):
        raise node.refuse("the collector is told nothing", "set `spans` or `logs`, or remove `otlp`")
    return found


def _syslog(node: Node) -> SyslogSettings:
    fields = node.fields(("host", "port", "transport", "private", "ca_file", "facility"), required=("host",))
    transport = read_optional(fields, "transport", lambda item: item.choice(TRANSPORTS), "tls")
    private = _flag(fields, "private", absent=False)
    if transport != "tls" and not private:
        raise node.refuse(f"{transport} can be read on its way", "write `transport: tls`, or add `private: true`")
    if "ca_file" in fields and transport != "tls":
        raise fields["ca_file"].refuse(f"{transport} knows no certificates", "write `transport: tls`")
    return SyslogSettings(
        host=fields["host"].text("a host or address", pattern=_HOST),
        port=read_optional(fields, "port", lambda item: item.integer(1, 65_535), PORTS[transport]),
        transport=transport,
        private=private,
        ca_file=read_optional(fields, "ca_file", _absolute, ""),
        facility=read_optional(fields, "facility", lambda item: item.choice(FACILITIES), "local0"),
    )


def _json_log(node: Node) -> JsonLogSettings:
    if node.value == STDERR:
        return JsonLogSettings()
    fields = node.fields(("file", "bytes_max", "files_max"), required=("file",))
    absent = JsonLogSettings()
    return JsonLogSettings(
        file=_absolute(fields["file"]),
        bytes_max=read_optional(
            fields, "bytes_max", lambda item: item.integer(*LOG_BYTES_BOUNDS, "bytes"), absent.bytes_max
        ),
        files_max=read_optional(
            fields, "files_max", lambda item: item.integer(*LOG_FILES_BOUNDS, "files"), absent.files_max
        ),
    )


def _metrics(node: Node) -> MetricsSettings:
    fields = node.fields(("token_file", "open"))
    found = MetricsSettings(
        token_file=read_optional(fields, "token_file", _absolute, ""), open=_flag(fields, "open", absent=False)
    )
    if bool(found.token_file) == found.open:
        raise node.refuse("metrics are for who has a token, or open", "name a token_file, or write `open: true`")
    return found


def _flag(fields: dict[str, Node], name: str, *, absent: bool) -> bool:
    return read_optional(fields, name, lambda item: item.boolean(), absent)


def _absolute(node: Node) -> str:
    return node.text("an absolute path", pattern=r"/[^\x00-\x1f]*", most=512)
