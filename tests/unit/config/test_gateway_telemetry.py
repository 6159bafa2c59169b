"""`telemetry` of gateway.yaml: what is taken, and what is refused with the field's name."""

import pytest

from bywire.config.gateway_telemetry import read_telemetry
from bywire.config.reading import FieldError, Node
from bywire.model.gateway_telemetry import JsonLogSettings, OtlpSettings, SyslogSettings, TelemetrySettings


def read(value):
    return read_telemetry(Node(value, "gateway.yaml", path=("telemetry",)))


def test_nothing_is_told_by_default():
    assert read({}) == TelemetrySettings()
    assert (TelemetrySettings().otlp, TelemetrySettings().arguments) == (None, False)


def test_what_is_named_is_told():
    found = read(
        {
            "otlp": {"url": "https://otel.example:4318"},
            "syslog": {"host": "siem.example"},
            "json_log": "stderr",
            "metrics": {"token_file": "/etc/bywire/metrics"},
            "arguments": True,
        }
    )
    assert found.otlp == OtlpSettings(url="https://otel.example:4318")
    assert found.syslog == SyslogSettings(host="siem.example", port=6_514)
    assert found.json_log == JsonLogSettings()
    assert found.arguments


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"otlp": {"url": "http://otel.example:4318"}}, "telemetry.otlp.url"),
        ({"otlp": {"url": "https://otel.example/v1/traces"}}, "telemetry.otlp.url"),
        ({"otlp": {"url": "https://user:pw@otel.example"}}, "telemetry.otlp.url"),
        ({"otlp": {"url": "https://otel.example", "spans": False}}, "telemetry.otlp"),
        ({"otlp": {"url": "https://otel.example", "headers_file": "headers"}}, "telemetry.otlp.headers_file"),
        ({"syslog": {"host": "siem.example", "transport": "udp"}}, "telemetry.syslog"),
        ({"syslog": {"host": "siem.example", "transport": "tcp"}}, "telemetry.syslog"),
        ({"syslog": {"host": "siem.example", "port": 0}}, "telemetry.syslog.port"),
        ({"syslog": {"host": "a b"}}, "telemetry.syslog.host"),
        ({"json_log": "stdout"}, "telemetry.json_log"),
        ({"json_log": {"file": "calls.jsonl"}}, "telemetry.json_log.file"),
        ({"json_log": {"file": "/x", "bytes_max": 1}}, "telemetry.json_log.bytes_max"),
        ({"metrics": {}}, "telemetry.metrics"),
        ({"metrics": {"open": True, "token_file": "/x"}}, "telemetry.metrics"),
        ({"arguments": "yes"}, "telemetry.arguments"),
        ({"queue": 1}, "telemetry.queue"),
        ({"spans": True}, "telemetry"),
    ],
)
def test_a_fault_is_named(section, where):
    with pytest.raises(FieldError) as raised:
        read(section)
    assert where in raised.value.message
    assert raised.value.next_step
