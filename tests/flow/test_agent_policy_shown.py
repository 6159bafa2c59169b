"""An agent's own policy, activated while a gateway serves: in lists of tools, in metrics and on the bill."""

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from scene import wait_until
from serving import TOOLS, changed
from telemetry_world import told_to

RULE = "agents.fixer.tool_not_listed"
WITH_TOOL = "agent:fixer|tool:shop.restart"
POLICY = {
    "agent": "fixer",
    "actions": [{"name": "shop.restart", "budgets": {"per_minute": 3, "per_hour": 4}}, {"name": "shop.list_orders"}],
    "budgets": {"per_day": 30},
}
BUDGETS = [
    {"scope": "agent:fixer", "unit": "actions", "per_day": 40},
    {"scope": "agent:fixer", "per_minute": 50},
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with told_to(tmp_path_factory.mktemp("shown") / "scene", {"metrics": {"open": True}}, budgets=BUDGETS) as running:
        assert listed(running) == sorted(TOOLS)
        place = running.scene.operator / "agent-policies"
        place.mkdir(mode=0o700)
        (place / "fixer.yaml").write_text(yaml.safe_dump(POLICY))
        for command in ("compile", "activate"):
            assert running.scene.bywire("policy", command).code == 0
        yield running


def listed(gateway):
    answer = gateway.send("GET", "/v1/tools?upstream=shop")
    assert answer.status == 200, answer
    return [tool["name"] for tool in answer.json["tools"]]


def test_a_list_follows_the_policy_the_trials_and_the_registration_of_a_running_gateway(gateway):
    scene = gateway.scene
    wait_until(lambda: listed(gateway) == ["shop.list_orders", "shop.restart"])
    hidden = gateway.post("/v1/call", {"tool": "shop.deploy", "parameters": {"version": "1"}, "key": "h"})
    assert [rule["rule"] for rule in hidden.json["error"]["rules"]] == [RULE]
    begin = ("policy", "shadow", "begin", RULE, "--as", "oncall", "--days", "1", "--reason", "a try", "--json")
    assert scene.bywire(*begin).code == 0
    assert listed(gateway) == sorted(TOOLS)
    assert scene.bywire("policy", "shadow", "end", RULE, "--as", "oncall").code == 0
    assert listed(gateway) == ["shop.list_orders", "shop.restart"]
    changed(scene, tools=["shop.list_orders", "shop.deploy"])
    assert listed(gateway) == ["shop.list_orders"]
    changed(scene, tools=TOOLS)
    assert listed(gateway) == ["shop.list_orders", "shop.restart"]


def told(gateway, name):
    answer = gateway.send("GET", "/metrics", token="")
    (family,) = (one for one in text_string_to_metric_families(answer.body.decode()) if one.name == name)
    return {(sample.labels["scope"], sample.labels["period"]): sample.value for sample in family.samples}


def test_the_budgets_of_an_agents_own_policy_burn_in_the_metrics_and_are_billed(gateway):
    listed(gateway)
    gateway.gateway.workspace.policies.settle()
    assert told(gateway, "bywire_budget_limit") == {
        ("agent:fixer", "day"): 30,  # the smaller one of two
        ("agent:fixer", "minute"): 50,
        (WITH_TOOL, "hour"): 4,
        (WITH_TOOL, "minute"): 3,
    }
    permits = [
        gateway.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": f"own-{n}"}).status
        for n in range(4)
    ]
    assert permits == [200, 200, 200, 403]
    assert set(told(gateway, "bywire_budget_used").values()) == {3}
    budgets = gateway.scene.bywire("costs", "--json").json["budgets"]
    assert [(one["scope"], one["period"], one["limit"], one["left"], one["set_in"]) for one in budgets] == [
        ("agent:fixer", "day", 40, 37, "gateway.yaml"),
        ("agent:fixer", "day", 30, 27, "agent policy"),
        ("agent:fixer", "minute", 50, 47, "gateway.yaml"),
        (WITH_TOOL, "hour", 4, 1, "agent policy"),
        (WITH_TOOL, "minute", 3, 0, "agent policy"),
    ]
    said = gateway.scene.bywire("costs").out
    assert "agent:fixer with shop.restart: 3 of 4 actions used this hour" in said
    assert "next  wait for a minute, or raise it in the agent's policy" in said
