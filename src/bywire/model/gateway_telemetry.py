"""Section `telemetry` of gateway.yaml: who is told of every call, and by which way. Nothing is told by default."""

import msgspec

MIB = 2**20
QUEUE_MAX = 8_192


class OtlpSettings(msgspec.Struct, frozen=True):
    """An OpenTelemetry collector (OTLP/HTTP, protobuf). `url` has no path: `/v1/traces` and `/v1/logs` are below it.

    `headers_file` holds `Name: value` lines that are sent along: what a collector asks for. `private`: it lies on this
    host or network, and only then plain http is taken.
    """

    url: str
    private: bool = False
    headers_file: str = ""
    spans: bool = True
    logs: bool = False


class SyslogSettings(msgspec.Struct, frozen=True):
    """A SIEM that takes RFC 5424 messages, by `tls` (RFC 5425), `tcp` (octet counting) or `udp` (RFC 5426)."""

    host: str
    port: int
    transport: str = "tls"
    private: bool = False
    ca_file: str = ""
    facility: str = "local0"


class JsonLogSettings(msgspec.Struct, frozen=True):
    """One JSON object a line, to `file` or (empty) to standard error.

    A file that would grow beyond `bytes_max` becomes `file.1`; `files_max` of them are kept beside the current one.
    """

    file: str = ""
    bytes_max: int = 64 * MIB
    files_max: int = 4


class MetricsSettings(msgspec.Struct, frozen=True):
    """`GET /metrics`: for who has the token in `token_file`; `open` on a loopback address asks for none."""

    token_file: str = ""
    open: bool = False


class TelemetrySettings(msgspec.Struct, frozen=True):
    """The whole section. `arguments`: parameters are told as well, redacted. `queue` bounds what waits for each way."""

    otlp: OtlpSettings | None = None
    syslog: SyslogSettings | None = None
    json_log: JsonLogSettings | None = None
    metrics: MetricsSettings | None = None
    arguments: bool = False
    queue: int = QUEUE_MAX
