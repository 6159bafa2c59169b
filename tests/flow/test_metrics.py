"""`GET /metrics`: what it says, to whom, and that the dashboard, the alerts and the rules ask for what is there."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from scene import refused
from serving import prepared
from telemetry_world import told_to
from test_serve_process import running

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "bywire.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "bywire-rules.yaml").read_text())
TOKEN = "scrape-4f2a9c81d07b"
BUDGET = {"scope": "agent:fixer", "unit": "actions", "per_day": 40}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    root = tmp_path_factory.mktemp("metrics")
    file = root / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    with told_to(root / "scene", {"metrics": {"token_file": str(file)}}, budgets=[BUDGET]) as served:
        yield served


def scraped(gateway):
    answer = gateway.send("GET", "/metrics", token=TOKEN)
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(answer.body.decode())}


def value(families, name, **labels):
    samples = [s for family in families.values() for s in family.samples if s.name == name]
    return sum(s.value for s in samples if s.labels.items() >= labels.items())


def test_it_is_for_the_metrics_reader_alone(gateway):
    assert gateway.send("GET", "/metrics", token="").status == 401
    assert gateway.send("GET", "/metrics").status == 401  # an agent's own token
    assert gateway.send("GET", "/metrics", token=TOKEN + "x").status == 401
    assert gateway.send("GET", f"/metrics?token={TOKEN}", token="").status == 401
    assert gateway.send("GET", "/metrics", token=TOKEN, headers={"host": "evil.example"}).status == 421
    assert gateway.send("POST", "/metrics", token=TOKEN).status in {404, 405}


def test_the_readers_token_is_no_agents(gateway):
    assert gateway.post("/v1/call", {"tool": "get_deployment_status"}, token=TOKEN).status == 401


def test_calls_are_counted_by_what_was_decided(gateway):
    before = scraped(gateway)
    gateway.post("/v1/call", {"tool": "get_deployment_status"})
    job = {"run_id": "1", "job_id": "t", "failure_fingerprint": "f00"}
    gateway.post("/v1/call", {"tool": "rerun_job", "parameters": job})
    after = scraped(gateway)

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("bywire_calls_total", effect="allow", category="read", surface="api", status="committed") == 1
    assert grown("bywire_calls_total", effect="deny", environment="non-production") == 1
    assert grown("bywire_denials_total", rule="principal.tool_not_registered") == 1
    assert grown("bywire_agent_calls_total", agent="agent:fixer", effect="deny") == 1
    assert grown("bywire_tool_calls_total", tool="rerun_job", effect="deny") == 1
    assert grown("bywire_call_errors_total", code="policy_denied") == 1
    assert grown("bywire_call_duration_seconds_count", surface="api") == 2
    assert grown("bywire_decide_duration_seconds_count", surface="api") == 2


def test_a_budget_is_shown_as_it_burns(gateway):
    before = scraped(gateway)
    answer = gateway.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "b-1"})
    assert answer.status == 200, answer
    after = scraped(gateway)
    labels = {"scope": "agent:fixer", "unit": "actions", "period": "day"}
    assert value(after, "bywire_budget_limit", **labels) == 40
    assert value(after, "bywire_budget_used", **labels) - value(before, "bywire_budget_used", **labels) == 1
    assert value(after, "bywire_agent_cost", agent="agent:fixer", unit="actions") >= 1


def test_what_waits_for_a_person_and_how_long_it_took(gateway):
    scene = gateway.scene
    before = scraped(gateway)
    pend(gateway)
    waiting = scraped(gateway)
    assert value(waiting, "bywire_approvals_pending") == value(before, "bywire_approvals_pending") + 1
    approval = gateway.gateway.workspace.approvals.rows()[0].packet.id
    ran = scene.bywire("approvals", "deny", approval, "--as", "oncall", "--reason", "not now", "--json")
    assert ran.code == 0, ran
    after = scraped(gateway)
    assert value(after, "bywire_approvals_pending") == value(before, "bywire_approvals_pending")
    assert value(after, "bywire_reviewer_verdicts_total", kind="key", verdict="denied") == 1
    assert value(after, "bywire_approval_wait_seconds_count") == 1
    assert 0 <= value(after, "bywire_approval_wait_seconds_sum") < 60


def pend(gateway):
    answer = gateway.post("/v1/call", {"tool": "shop.deploy", "parameters": {"version": "1"}, "key": "d-1"})
    assert answer.json["error"]["code"] == "approval_needed", answer


def test_no_caller_makes_a_series(gateway):
    for number in range(40):
        gateway.post("/v1/call", {"tool": f"shop.made-up-{number}", "key": f"k{number}"})
        gateway.post("/v1/call", {"tool": f"AKIAIOSFODNN7EXAMPL{number % 10}"})
    text = gateway.send("GET", "/metrics", token=TOKEN).body.decode()
    assert "made-up" not in text
    assert "AKIA" not in text
    assert TOKEN not in text
    assert value(scraped(gateway), "bywire_tool_calls_total", tool="other") >= 80


def test_open_metrics_are_for_a_loopback_address(tmp_path):
    scene = prepared(tmp_path / "scene", telemetry={"metrics": {"open": True}})
    with running(scene) as (_, said):
        import urllib.request

        with urllib.request.urlopen(f"{said['url']}/metrics", timeout=10) as answer:
            assert b"bywire_build_info{" in answer.read()
    document = yaml.safe_load((scene.operator / "gateway.yaml").read_text())
    document["public_url"] = "https://bywire.example"
    (scene.operator / "gateway.yaml").write_text(yaml.safe_dump(document))
    refused(scene.bywire("serve", "--json"), "metrics_exposed")
    scene.close()


def test_without_the_section_there_are_none(tmp_path):
    with told_to(tmp_path / "scene", {}) as gateway:
        assert gateway.send("GET", "/metrics", token="").status == 404
        assert gateway.gateway.observers == ()


def expressions():
    """Every expression of the dashboard and of the rules, with Grafana's variables filled in."""
    dashboard = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    return [re.sub(r"\$__(rate_interval|range)", "5m", one) for one in (*dashboard, *rules)]


def test_every_name_they_ask_for_is_there(gateway):
    families = scraped(gateway)
    known = {"up", *(rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule)}
    for family in families.values():
        names = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        known |= {family.name + suffix for suffix in names}
    asked = {name for one in expressions() for name in re.findall(r"\bbywire[a-z0-9_:]*", re.sub(r'"[^"]*"', "", one))}
    assert asked - known == set()
    assert {"bywire_calls_total", "bywire_budget_used", "bywire_approval_wait_seconds_bucket"} <= asked


def test_every_label_they_ask_for_is_there(gateway):
    pend(gateway)
    gateway.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "ana@example.com"}, "key": "m-1"})
    families = scraped(gateway)
    for one in expressions():
        for name, inside in re.findall(r"\b(bywire[a-z_]+)\{([^}]*)\}", one):
            family = next(f for f in families.values() if f.name in {name, name.removesuffix("_total")})
            labels = {label for sample in family.samples for label in sample.labels}
            assert {part.split("=")[0] for part in inside.split(",")} <= labels, one


def promtool():
    found = shutil.which("promtool")
    if found is None:
        assert not os.environ.get("CI"), "CI installs prometheus"
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return found


def test_the_rules_load_and_every_expression_parses(tmp_path):
    tool = promtool()
    rules = [{"record": f"dashboard:expression:{index}", "expr": one} for index, one in enumerate(expressions())]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    for file in (DEPLOY / "prometheus" / "bywire-rules.yaml", tmp_path / "all.yaml"):
        ran = subprocess.run([tool, "check", "rules", file], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    place = DEPLOY / "prometheus"
    ran = subprocess.run(
        [tool, "check", "config", "--syntax-only", place / "prometheus.yaml"], capture_output=True, check=False
    )
    assert ran.returncode == 0, ran


def test_what_is_scraped_passes_the_linter(gateway):
    text = gateway.send("GET", "/metrics", token=TOKEN).body
    ran = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, check=False)
    assert ran.returncode == 0, ran


def test_the_alerts_fire_when_they_should(tmp_path):
    tool = promtool()
    shutil.copy(DEPLOY / "prometheus" / "bywire-rules.yaml", tmp_path)
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(ALERT_TESTS))
    ran = subprocess.run([tool, "test", "rules", tmp_path / "tests.yaml"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def series(name, values):
    return {"series": name, "values": values}


def firing(alert, at, labels=None):
    """That the alert fires with these labels and no others; that it does not, where there are none."""
    said = {"alertname": alert, "alertstate": "firing", "severity": "warning", **(labels or {})}
    names = ",".join(f'{name}="{value}"' for name, value in said.items())
    samples = [{"labels": f"ALERTS{{{names}}}", "value": 1}] if labels is not None else []
    return {"expr": f'ALERTS{{alertname="{alert}",alertstate="firing"}}', "eval_time": at, "exp_samples": samples}


ALERT_TESTS = {
    "rule_files": ["bywire-rules.yaml"],
    "evaluation_interval": "1m",
    "tests": [
        {
            "interval": "1m",
            "input_series": [
                series('bywire_calls_total{effect="deny"}', "0+30x60"),
                series('bywire_calls_total{effect="allow"}', "0+30x60"),
                series('bywire_budget_used{scope="team:a",unit="tokens",period="day"}', "0+1x60"),
                series('bywire_budget_limit{scope="team:a",unit="tokens",period="day"}', "100+0x60"),
                series('bywire_budget_used{scope="agent:x",unit="replica_hours",period="day"}', "990x60"),
                series('bywire_budget_limit{scope="agent:x",unit="replica_hours",period="day"}', "1000x60"),
                series('bywire_budget_used{scope="agent:x",unit="actions",period="minute"}', "5x60"),
                series('bywire_budget_limit{scope="agent:x",unit="actions",period="minute"}', "5x60"),
                series('bywire_agent_calls_total{agent="agent:x",effect="deny"}', "0+30x60"),
                series('bywire_telemetry_dropped_total{sink="syslog",reason="queue_full"}', "0+1x60"),
                series('bywire_redactions_total{direction="request",kind="email"}', "0+30x60"),
                series('bywire_redactions_total{direction="response",kind="email"}', "0+1x60"),
                series('bywire_redactions_total{direction="response",kind="credential"}', "0x60 0+1x20"),
                series("bywire_config_stale", "0x20 1x40"),
            ],
            "promql_expr_test": [
                {
                    "expr": "bywire:blocked_ratio:rate5m",
                    "eval_time": "30m",
                    "exp_samples": [{"labels": "bywire:blocked_ratio:rate5m", "value": 0.5}],
                },
                {
                    "expr": "bywire:budget_burn_rate:1h > bool 14",
                    "eval_time": "1h",
                    "exp_samples": [
                        {"labels": '{scope="agent:x",unit="replica_hours",period="day"}', "value": 0},
                        {"labels": '{scope="team:a",unit="tokens",period="day"}', "value": 1},
                    ],
                },
                firing(
                    "BywireBudgetNearlyUsed",
                    "5m",
                    {"severity": "info", "scope": "agent:x", "unit": "replica_hours", "period": "day"},
                ),
                firing("BywireRateKeepsFull", "10m"),
                firing("BywireRateKeepsFull", "20m", {"scope": "agent:x", "unit": "actions", "period": "minute"}),
                firing("BywireRedactsMuch", "40m", {"direction": "request", "kind": "email"}),
                firing("BywireCredentialRepeated", "60m"),
                firing("BywireCredentialRepeated", "70m", {}),
                firing("BywireConfigStale", "20m"),
                firing("BywireConfigStale", "40m", {}),
            ],
        }
    ],
}
