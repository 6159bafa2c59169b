"""Telemetry of a served gateway, read where it arrives: at a collector, in a file and at a SIEM."""

import json
import re
import socket
import time

import pytest
from egress_world import certificate, site
from telemetry_world import TRACE, StreamListener, collecting, lines_of, plain, told_to, until

AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2c3D4e5" * 3 + "a1B2c3"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END PRIVATE KEY-----"
PASSWORD = "hunter2-correct-horse"
SECRETS = (AWS, GITHUB, "MIIEvQIBADANBgkqhkiG9w0BAQ", PASSWORD)
JOB = {"tool": "shop.restart", "parameters": {"job": "a"}}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(gateway, collector, file): spans, logs and lines, with arguments."""
    root = tmp_path_factory.mktemp("telemetry")
    headers = root / "headers"
    headers.write_text(f"Authorization: Basic {PASSWORD}\n")
    headers.chmod(0o600)
    with collecting() as collector:
        telemetry = {
            "otlp": {"url": collector.url, "private": True, "headers_file": str(headers), "logs": True},
            "json_log": {"file": str(root / "calls.jsonl")},
            "arguments": True,
        }
        with told_to(root / "scene", telemetry, teams={"shopkeepers": ["agent:fixer"]}) as running:
            yield running, collector, root / "calls.jsonl"


def span_of(collector, decision):
    return until(lambda: [one for one in collector.spans if plain(one).get("bywire.decision.id") == decision])[0]


def test_a_denied_call_is_a_span_in_its_callers_trace(told):
    gateway, collector, _ = told
    job = {"run_id": "1", "job_id": "t", "failure_fingerprint": "f00"}
    answer = gateway.post("/v1/call", {"tool": "rerun_job", "parameters": job}, headers={"traceparent": TRACE})
    said = answer.json["error"]
    span = span_of(collector, said["decision_id"])
    assert span.name == "execute_tool rerun_job"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == tuple(TRACE.split("-")[1:3])
    assert span.span_id.hex() not in TRACE
    assert (span.flags, span.kind, span.status.code) == (0x301, 2, 2)
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 10**10
    found = plain(span)
    assert (
        found.items()
        >= {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "rerun_job",
            "gen_ai.tool.call.id": said["call_id"],
            "gen_ai.agent.id": "agent:fixer",
            "bywire.agent.owner": "person:dana",
            "bywire.agent.team": "shopkeepers",
            "deployment.environment.name": "non-production",
            "error.type": "policy_denied",
            "bywire.policy.result": "deny",
            "bywire.policy.version": said["policy_version"],
            "bywire.decision.reason": ["principal.tool_not_registered"],
            "bywire.run": "run-1",
            "bywire.surface": "api",
        }.items()
    )
    assert found["bywire.decide.duration_ms"] > 0
    headers = next(headers for path, headers, _ in collector.asked if path == "/v1/traces")
    assert headers["Authorization"] == f"Basic {PASSWORD}"


@pytest.mark.parametrize(
    "trace",
    ["", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", TRACE.replace("00-", "ff-", 1), TRACE + "x", "é" * 99],
)
def test_a_traceparent_that_says_nothing_begins_a_trace(told, trace):
    gateway, collector, _ = told
    sent = {"traceparent": trace.encode("latin-1", "replace").decode("latin-1")} if trace else {}
    key = f"t-{len(trace)}-{trace[:2].isascii()}"
    answer = gateway.post("/v1/call", {"tool": "shop.nothing", "key": key}, headers=sent)
    assert answer.status == 404
    spans = until(lambda: [s for s in collector.spans if plain(s).get("bywire.intent", "").endswith(key)])
    assert spans[0].parent_span_id == b""
    assert spans[0].trace_id.hex() != TRACE.split("-")[1]
    assert len(spans[0].trace_id.strip(b"\0")) >= 8


def test_the_log_record_and_the_line_name_the_span(told):
    gateway, collector, file = told
    said = gateway.post("/v1/call", {"tool": "get_deployment_status"}, headers={"traceparent": TRACE}).json
    span = span_of(collector, said["decision_id"])
    log = until(lambda: [one for one in collector.logs if one.span_id == span.span_id])[0]
    assert (log.trace_id, log.severity_text, log.event_name) == (span.trace_id, "INFO", "bywire.call")
    line = until(lambda: [one for one in lines_of(file) if one.get("span_id") == span.span_id.hex()])[0]
    assert line.items() >= {
        "kind": "call", "tool": "get_deployment_status", "category": "read", "effect": "allow", "status": "committed",
        "principal": "agent:fixer", "team": "shopkeepers", "trace_id": TRACE.split("-")[1],
    }.items()  # fmt: skip
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert 0 < line["duration_ms"]["decide"] < line["duration_ms"]["total"]
    assert file.stat().st_mode & 0o077 == 0


def test_nothing_secret_leaves_in_a_parameter_a_name_a_key_or_an_error(told):
    gateway, collector, file = told
    hidden = {"password": PASSWORD, "deep": [{"note": f"use {AWS} or {GITHUB}"}], "pem": PEM, GITHUB: 1}
    asks = [
        {"tool": "shop.restart", "parameters": {"job": "a", **hidden}, "key": "s-1"},
        {"tool": f"shop.{AWS}", "parameters": hidden, "key": "s-2"},
        {"tool": "shop.restart", "parameters": {"job": GITHUB}, "key": f"s-3-{GITHUB}"},
        {"tool": "shop.list_orders", "parameters": {"limit": AWS}, "change": GITHUB, "evidence": [AWS], "key": "s-4"},
        {"tool": f"\n{PEM}", "parameters": {}, "key": f"s-5 password={PASSWORD}"},
    ]
    before = len(collector.spans)
    for ask in asks:
        gateway.post("/v1/call", ask, headers={"traceparent": f"00-{AWS}"})
    until(lambda: len(collector.spans) >= before + len(asks) and len(lines_of(file)) >= len(collector.spans))
    everything = b"\n".join(collector.raw).decode("utf-8", "replace") + file.read_text()
    assert [secret for secret in SECRETS if secret in everything] == []
    assert "[github_token]" in everything
    assert "[aws_key]" in everything
    assert '"arguments"' in file.read_text()


def test_one_call_is_one_line_whatever_it_is_called(told):
    gateway, _, file = told
    before = len(file.read_text().splitlines())
    gateway.post("/v1/call", {"tool": 'a\n{"kind":"call"}\u2028\u0085\x1b[2J\x7f', "key": "line"})
    until(lambda: len(file.read_text().splitlines()) > before)
    written = file.read_bytes().splitlines()
    assert len(written) == before + 1
    assert all(0x20 <= byte < 0x7F for byte in written[-1])


def test_arguments_are_told_only_when_asked_for(tmp_path):
    with (
        collecting() as collector,
        told_to(tmp_path / "s", {"otlp": {"url": collector.url, "private": True}}) as gateway,
    ):
        gateway.post("/v1/call", {"tool": "shop.restart", "parameters": {"job": "marmalade"}, "key": "k"})
        until(lambda: collector.spans)
        assert b"marmalade" not in b"".join(collector.raw)
        assert "bywire.arguments" not in plain(collector.spans[0])


def test_a_collector_that_is_down_or_refuses_blocks_no_call_and_is_counted(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as dead:
        telemetry = {
            # It accepts and never answers.
            "otlp": {"url": f"http://127.0.0.1:{dead.getsockname()[1]}", "private": True},
            "syslog": {"host": "127.0.0.1", "port": 9, "transport": "tcp", "private": True},
            "metrics": {"open": True},
            "queue": 16,
        }
        with told_to(tmp_path / "s", telemetry) as gateway:
            began = time.monotonic()
            for _ in range(120):
                assert gateway.post("/v1/call", {"tool": "get_deployment_status"}).status == 200
            assert time.monotonic() - began < 15
            text = gateway.send("GET", "/metrics", token="").body.decode()
            dropped = re.findall(
                r'^bywire_telemetry_dropped_total\{reason="queue_full",sink="(\w+)"\} (\S+)', text, re.MULTILINE
            )
            assert {name for name, count in dropped if float(count) > 0} == {"otlp", "syslog"}
            # The end does not wait for it either.
            began = time.monotonic()
        assert time.monotonic() - began < 12


def test_a_siem_on_tcp_gets_framed_messages_and_gets_them_after_it_was_away(tmp_path):
    listener = StreamListener()
    telemetry = {"syslog": {"host": "127.0.0.1", "port": listener.port, "transport": "tcp", "private": True}}
    try:
        with told_to(tmp_path / "s", telemetry) as gateway:
            gateway.post("/v1/call", {"tool": "shop.nothing", "key": "k"})
            first = until(lambda: listener.messages)[0]
            # local0 is 16; a denial is a warning, 4.
            head, text = first.split(b" - {", 1)
            assert re.fullmatch(rb"<132>1 20\S+Z \S+ bywire \d+ call", head)
            assert json.loads(b"{" + text)["error"] == "unknown_tool"
            listener.hang_up()
            gateway.post("/v1/call", {"tool": "get_deployment_status"})
            second = until(lambda: listener.messages[1:])[0]
            assert second.startswith(b"<134>1 ")
            assert listener.connections == 2
    finally:
        listener.close()


def test_a_siem_on_udp_gets_whole_objects_of_bounded_size(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(15)
        place = {"host": "127.0.0.1", "port": listener.getsockname()[1], "transport": "udp", "private": True}
        with told_to(tmp_path / "s", {"syslog": place, "arguments": True}) as gateway:
            evidence = [f"{n:064x}" for n in range(60)]
            ask = {"tool": "shop.restart", "parameters": {"job": "x" * 60}, "evidence": evidence, "key": "k"}
            gateway.post("/v1/call", ask)
            message = listener.recv(65_536)
            assert len(message) <= 2_048
            line = json.loads(message[message.index(b"{") :])
            assert line["left_out"] == ["arguments", "evidence"]


def test_a_log_file_is_turned_over(tmp_path):
    file = tmp_path / "calls.jsonl"
    with told_to(tmp_path / "s", {"json_log": {"file": str(file), "bytes_max": 65_536, "files_max": 2}}) as gateway:
        for _ in range(250):
            gateway.post("/v1/call", {"tool": "get_deployment_status"})
    older = [tmp_path / "calls.jsonl.1", tmp_path / "calls.jsonl.2"]
    assert older[0].exists()
    assert not (tmp_path / "calls.jsonl.3").exists()
    found = [line for path in (older[1], older[0], file) if path.exists() for line in lines_of(path)]
    assert len(found) == 250
    assert all(path.stat().st_size <= 65_536 for path in (*older, file) if path.exists())


def test_an_upstream_is_told_the_calls_own_span_and_never_the_text_a_caller_sent(tmp_path):
    with site() as api, collecting() as collector:
        telemetry = {"otlp": {"url": collector.url, "private": True}}
        with told_to(tmp_path / "s", telemetry, upstream_url=f"http://127.0.0.1:{api.server_port}") as gateway:
            gateway.post("/v1/call", {"tool": "shop.list_orders"}, headers={"traceparent": TRACE})
            span = until(lambda: collector.spans)[0]
            passed_on = f"00-{TRACE.split('-')[1]}-{span.span_id.hex()}-01"
            assert passed_on in str(api.seen)
            assert TRACE.split("-")[2] not in str(api.seen)


def test_a_siem_on_tls_is_told_when_its_certificate_is_the_one_named(tmp_path):
    context, _ = certificate(tmp_path, "localhost")
    listener = StreamListener(context)
    place = {"host": "localhost", "port": listener.port, "ca_file": str(tmp_path / "tls.pem")}
    try:
        with told_to(tmp_path / "s", {"syslog": place}) as gateway:
            for number in (1, 2):
                gateway.post("/v1/call", {"tool": "get_deployment_status"})
                until(lambda wanted=number: len(listener.messages) >= wanted)
            assert listener.connections == 1
    finally:
        listener.close()
