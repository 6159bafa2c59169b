"""Contract files, budgets and the bill in a real workspace, from the operator directory to the command line."""

import os

import msgspec
import pytest
import yaml
from connected_world import CLUSTER, DAY, UpstreamDouble
from scene import Scene, refused, wait_until

from bywire.adapters.sqlite_costs import Charge, SqliteCosts
from bywire.model.action import ActionRequest
from bywire.model.decision import OutcomeStatus
from bywire.model.errors import ConfigError, ConflictError
from bywire.wiring.catalogue import BUILT_IN, catalogue, place_of
from bywire.wiring.door import Joined
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.mediation import mediation

AGENT = "agent:scaler"
GATEWAY = {
    "version": 1,
    "upstreams": [{"name": "cluster", "kind": "mcp", "url": "https://cluster.example/mcp", "environment": "staging"}],
    "budgets": [{"scope": "team:platform", "unit": "replica_hours", "per_day": 100}],
    "teams": {"platform": [AGENT]},
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("connected")).prepared()


@pytest.fixture
def scene(prepared, tmp_path):
    made = prepared.clone(tmp_path / "scene")
    write(made, "contracts/cluster.yaml", CLUSTER)
    write(made, "gateway.yaml", yaml.safe_dump(GATEWAY))
    return made


def write(scene, name, text):
    place = scene.operator / name
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.write_text(text)
    place.chmod(0o600)


def registered(scene, *tools):
    more = [part for tool in tools for part in ("--tool", tool)]
    owner = f"person:{scene_owner(scene)}"
    return scene.bywire(
        "agents", "register", AGENT, "--owner", owner, "--pattern", "constrained-executor", *more,
        "--environment", "staging", "--environment", "non-production", "--json",
    )  # fmt: skip


def scene_owner(scene):
    people = yaml.safe_load((scene.operator / "operator.yaml").read_text())["people"]
    return people[0]["id"].removeprefix("person:")


def test_a_contract_file_makes_tools_that_agents_can_be_registered_for(scene):
    assert registered(scene, "cluster.scale", "cluster.get").code == 0
    refused(registered_again(scene, "cluster.drop"), "config_invalid")


def registered_again(scene, tool):
    return scene.bywire(
        "agents", "register", "agent:other", "--owner", f"person:{scene_owner(scene)}", "--pattern", "advisor",
        "--tool", tool, "--environment", "staging", "--json",
    )  # fmt: skip


def test_a_tool_that_nothing_carries_out_yet_is_decided_and_says_so(scene):
    assert registered(scene, "cluster.scale").code == 0
    values = '{"env": "dev", "replicas": 2}'
    ran = scene.bywire("call", "cluster.scale", "--as", AGENT, "--parameters", values, "--key", "k", "--json")
    assert ran.json["status"] == "denied"
    opened = scene.workspace()
    try:
        asked = place_of(Joined(opened).catalogue, "cluster.scale", {"env": "dev"}, opened.operator)
        assert asked == (opened.operator.service, "non-production")
        assert place_of(BUILT_IN, "rollback_release", {}, opened.operator)[1] == opened.operator.environment
    finally:
        opened.close()


FAULTS = {
    "a built-in name": CLUSTER.replace("upstream: cluster", "upstream: rollback_release"),
    "another upstream": CLUSTER.replace("upstream: cluster", "upstream: payments"),
    "twice": CLUSTER.replace("name: get", "name: scale"),
    "a retreat": CLUSTER.replace("category: production_orchestration", "category: exposure_reducing"),
    "no YAML": "tools: [",
    "a bomb": "a: &a [" + "x," * 50 + "]\nb: &b [" + "*a," * 50 + "]\nc: [" + "*b," * 50 + "]\n",
    "a reference outside": CLUSTER.replace("{}, image", "{$ref: 'file:///etc/passwd'}, image"),
    "a free limit": CLUSTER.replace("category: read", "category: read\n    rate_per_hour: 5"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_rule_16_a_faulty_file_is_refused_and_keeps_nothing_built_in_waiting(scene, name):
    write(scene, "contracts/cluster.yaml", FAULTS[name])
    opened = scene.workspace()
    try:
        with pytest.raises(ConfigError, match=r"cluster\.yaml"):
            catalogue(opened, read_gateway(opened))
        joined = Joined(opened)
        assert [str(fault) for fault in joined.faults]
        assert joined.catalogue.names() == BUILT_IN.names()
        assert joined.door.advise(
            opened.token("agent:release-controller", "r"),
            ActionRequest("get_deployment_status", opened.operator.service, opened.operator.environment, {}, ""),
        )
    finally:
        opened.close()


def test_a_call_of_a_tool_with_a_faulty_file_says_what_is_wrong(scene):
    write(scene, "contracts/cluster.yaml", FAULTS["twice"])
    ran = scene.bywire("call", "cluster.scale", "--as", "agent:release-controller", "--key", "k", "--json")
    assert ran.code == 2
    assert "cluster.yaml" in ran.json["error"]["message"]


def test_rule_16_budgets_that_cannot_be_read_stop_everything_but_retreats(scene):
    write(scene, "gateway.yaml", "version: 1\nbudgets: [{scope: everybody}]\n")
    opened = scene.workspace()
    try:
        joined = Joined(opened)
        token = opened.token("agent:recourse", "r")
        values = {"branch": "fix", "base": "a" * 40, "files": [{"path": "x", "sha256": "b" * 64}]}
        operator = opened.operator
        asked = ActionRequest("create_fix_branch", operator.service, operator.environment, values, "k")
        outcome = joined.door.call(token, asked)
        assert (outcome.status, outcome.error["code"]) == (OutcomeStatus.DENIED, "config_invalid")
        assert "gateway.yaml" in outcome.error["message"]
        retreat = ActionRequest("rollback_release", operator.service, operator.environment, {"to": "a" * 64}, "r")
        back = joined.door.call(opened.token("agent:release-controller", "r"), retreat)
        assert (back.error or {}).get("code") != "config_invalid"
    finally:
        opened.close()


def test_an_agent_keeps_working_when_a_tool_of_its_was_disconnected(scene):
    assert registered(scene, "cluster.scale", "get_deployment_status").code == 0
    (scene.operator / "contracts" / "cluster.yaml").unlink()
    ran = scene.bywire("agents", "list", "--json")
    assert ran.code == 0
    assert scene.bywire("doctor", "--json").code in {0, 1}


@pytest.mark.parametrize(
    "name",
    [
        "cluster.yml", "Cluster.yaml", "a.b.yaml", ".yaml", "x" * 40 + ".yaml", "cluster.json", "cluster.yaml~",
        "cluster", "README.md", ".cluster.yaml",
    ],
)  # fmt: skip
def test_rule_08_a_file_that_names_no_upstream_is_refused_and_not_skipped(scene, name):
    write(scene, f"contracts/{name}", CLUSTER)
    opened = scene.workspace()
    try:
        assert any("names no upstream" in str(fault) for fault in Joined(opened).faults)
    finally:
        opened.close()


@pytest.mark.parametrize("name", [".cluster.yaml.swp", ".DS_Store", ".gitignore"])
def test_what_an_editor_leaves_behind_is_no_contract(scene, name):
    write(scene, f"contracts/{name}", CLUSTER)
    opened = scene.workspace()
    try:
        assert Joined(opened).faults == ()
    finally:
        opened.close()


def test_rule_01_a_directory_that_others_may_write_to_connects_nothing(scene):
    (scene.operator / "contracts").chmod(0o777)
    opened = scene.workspace()
    try:
        assert Joined(opened).catalogue.names() == BUILT_IN.names()
        with pytest.raises(ConfigError, match="others may write"):
            catalogue(opened, read_gateway(opened))
    finally:
        opened.close()


def test_a_link_to_a_contract_elsewhere_is_not_followed(scene, tmp_path):
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(CLUSTER)
    (scene.operator / "contracts" / "cluster.yaml").unlink()
    os.symlink(elsewhere, scene.operator / "contracts" / "cluster.yaml")
    opened = scene.workspace()
    try:
        assert Joined(opened).catalogue.names() == BUILT_IN.names()
    finally:
        opened.close()


def carried(scene, *requests):
    """Send calls through the real door and policy, with an upstream of our own at the executor's port."""
    opened = scene.workspace()
    try:
        upstream = UpstreamDouble()
        joined = Joined(opened)
        joined.executors["upstream:cluster"] = upstream
        token = opened.token(AGENT, "run-1")
        return [joined.door.call(token, request) for request in requests], mediation(opened)
    finally:
        opened.close()


def scale(key, replicas, environment="non-production", env="dev"):
    return ActionRequest("cluster.scale", "repo", environment, {"env": env, "replicas": replicas}, key)


def service_of(scene, request):
    service = yaml.safe_load((scene.operator / "operator.yaml").read_text())["service"]
    return msgspec.structs.replace(request, service=service)


def test_a_team_spends_its_budget_and_is_billed(scene):
    write(scene, "contracts/cluster.yaml", CLUSTER.replace("risk: high", "risk: low\n    trusted_output: true"))
    assert registered(scene, "cluster.scale").code == 0
    calls = [service_of(scene, scale(f"k{number}", 2)) for number in range(3)]
    outcomes, through = carried(scene, *calls)
    assert [outcome.status for outcome in outcomes] == [OutcomeStatus.COMMITTED] * 2 + [OutcomeStatus.DENIED], outcomes
    assert {reason.rule for reason in outcomes[2].decision.reasons} == {"state.limit_exhausted"}
    assert (through.mediated, through.permitted, through.share) == (2, 0, 1.0)
    told = scene.bywire("costs", "--json").json
    assert told["budgets"] == [
        {
            "scope": "team:platform", "unit": "replica_hours", "period": "day",
            "limit": 100, "used": 96, "left": 4, "set_in": "gateway.yaml",
        }
    ]  # fmt: skip
    assert {"team": "platform", "principal": AGENT, "unit": "replica_hours", "amount": 96, "calls": 2} in told["totals"]
    said = scene.bywire("costs", "--since", "1d")
    assert said.code == 0
    assert "96 of 100 replica_hours used today" in said.out
    assert "96 replica_hours in 2 calls" in said.out
    for wrong in ("0d", "7", "-1d", "9999d", "7h"):
        assert scene.bywire("costs", "--since", wrong).code == 2


def test_rule_12_a_permit_that_nobody_reports_is_a_persons_to_settle(scene):
    quick = CLUSTER.replace("risk: high", "risk: low\n    deadline_seconds: 1")
    write(scene, "contracts/cluster.yaml", quick)
    (scene.operator / "gateway.yaml").unlink()
    assert registered(scene, "cluster.scale").code == 0
    opened = scene.workspace()
    token = opened.token(AGENT, "run-1")
    permit = Joined(opened).door.permit(token, service_of(scene, scale("k", 1)))
    opened.close()
    key = f"{AGENT}|cluster.scale|k"
    assert permit.result["intent"] == key, permit
    told = scene.bywire("status", "--json").json["mediation"]
    assert told == {"mediated": 0, "permitted": 1, "unreported": 1, "advised": 0, "share": 0.0}
    assert "1 by their callers, 1 of them not reported" in scene.bywire("status").out
    settle = ("reconcile", "settle", key, "--as", "oncall", "--happened", "yes", "--reason", "seen", "--json")
    wait_until(lambda: scene.bywire(*settle).code == 0)
    opened = scene.workspace()
    try:
        assert mediation(opened).unreported == 0
        with pytest.raises(ConflictError, match="settled as committed"):
            Joined(opened).door.report(opened.token(AGENT, "run-1"), key, "failed", None)
    finally:
        opened.close()


def test_nothing_spent_is_said(scene):
    assert "nothing was spent in 7 days" in scene.bywire("costs").out


class Rows:
    def __init__(self):
        self.asked = []

    def rows(self, sql, values):
        self.asked.append(values)
        return [("agent:x", "t", "cluster.scale", "staging", "tokens", 5, 1)]


def test_days_are_both_included():
    reader = Rows()
    (charge,) = SqliteCosts(reader).usage_between(DAY, DAY + 1)
    assert charge == Charge("agent:x", "t", "cluster.scale", "staging", "tokens", 5, 1)
    assert reader.asked == [(DAY * 24, DAY * 24 + 47)]
