"""`/v1` of a served gateway: calls, permits, reports, advice, tools; the one payload with its status."""

import msgspec
import pytest
from serving import TOOLS, changed, prepared, served

from bywire.model.errors import PolicyError
from bywire.wiring.listing import Lister


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    scene = prepared(tmp_path_factory.mktemp("serve") / "scene")
    with served(scene) as running:
        yield running
    scene.close()


def test_a_read_is_answered_with_its_label(gateway):
    answer = gateway.post("/v1/call", {"tool": "get_deployment_status"})
    assert answer.status == 200
    assert answer.json["status"] == "committed"
    assert answer.json["label"]["instruction_authority"] == "none"
    assert answer.headers["cache-control"] == "no-store"


def test_an_unregistered_tool_is_denied_with_the_payload(gateway):
    job = {"run_id": "1", "job_id": "t", "failure_fingerprint": "f00"}
    answer = gateway.post("/v1/call", {"tool": "rerun_job", "parameters": job})
    assert (answer.status, answer.code) == (403, "policy_denied")
    said = answer.json["error"]
    assert [rule["rule"] for rule in said["rules"]] == ["principal.tool_not_registered"]
    assert (said["effect"], said["retryable"]) == ("deny", False)
    assert all(said[name] for name in ("reason", "next_step", "policy_version", "decision_id", "call_id"))


def test_an_unknown_tool_says_so(gateway):
    answer = gateway.post("/v1/call", {"tool": "shop.nothing", "key": "k"})
    assert (answer.status, answer.code) == (404, "unknown_tool")


def test_a_permit_is_durable_before_it_is_answered_and_settled_by_a_report(gateway):
    answer = gateway.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "p-1"})
    assert answer.status == 200, answer
    permit = answer.json
    assert permit["parameters"] == {"job": "a"}
    row = gateway.gateway.workspace.journal.find(permit["intent"])
    assert row.state == "intended"
    said = gateway.post("/v1/report", {"intent": permit["intent"], "status": "committed", "result": {"ok": True}})
    assert (said.status, said.json["status"]) == (200, "committed")
    assert gateway.gateway.workspace.journal.find(permit["intent"]).state == "committed"


def test_tools_are_those_the_agent_is_registered_for(gateway):
    answer = gateway.send("GET", "/v1/tools?upstream=shop")
    assert [tool["name"] for tool in answer.json["tools"]] == sorted(TOOLS)


def test_what_the_table_forbids_wherever_it_leads_is_not_listed(gateway):
    contract = gateway.gateway.catalogue.find("shop.deploy")
    workspace = gateway.gateway.workspace
    registration = gateway.gateway.joined.standing.registration("agent:fixer")
    bundle = workspace.bundle()

    def listed(contract=contract, registration=registration, **tables):
        changed = msgspec.structs.replace(bundle, tables={**bundle.tables, **tables})
        return bool(Lister("shop", "non-production").shown([contract], registration, changed))

    assert listed()
    forbidden = {"environments": {"non-production": {"posture": "forbidden"}, "production": {"posture": "approval"}}}
    assert not listed(connected={contract.category: forbidden})
    assert not listed(connected={})
    assert not listed(registration=msgspec.structs.replace(registration, tools=("shop.restart",)))
    assert not listed(registration=msgspec.structs.replace(registration, environments=("staging",)))
    elsewhere = msgspec.structs.replace(contract.place, parameter="env", values={"dev": "non-production"})
    both = msgspec.structs.replace(registration, environments=("production",))
    assert listed(msgspec.structs.replace(contract, place=elsewhere), both, connected={contract.category: forbidden})


def test_an_advisor_is_not_shown_what_it_can_never_do(tmp_path):
    scene = prepared(tmp_path / "scene")
    changed(scene, pattern="advisor")
    with served(scene) as gateway:
        tools = gateway.send("GET", "/v1/tools?upstream=shop").json["tools"]
        assert [tool["name"] for tool in tools] == ["shop.list_orders"]
        denied = gateway.post("/v1/call", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "h"})
        assert denied.json["error"]["rules"][0]["rule"] == "principal.pattern_forbids"
    scene.close()


def test_advice_authorises_nothing_and_says_what_it_would_be(gateway):
    answer = gateway.post("/v1/advise", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "advice"})
    assert (answer.status, answer.json["effect"], answer.json["authorises"]) == (200, "allow", False)
    assert answer.json["payload"] is None
    assert gateway.gateway.workspace.journal.find("agent:fixer|shop.restart|advice") is None
    denied = gateway.post("/v1/advise", {"tool": "shop.nothing", "key": "advice"}).json
    assert (denied["effect"], denied["payload"]["code"]) == ("deny", "unknown_tool")


def test_a_permit_is_reported_once_and_by_who_got_it(gateway):
    permit = gateway.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "b"}, "key": "p-2"}).json
    report = {"intent": permit["intent"], "status": "failed", "error": "it broke"}
    stranger = gateway.token("agent:release-controller")
    assert gateway.post("/v1/report", report, token=stranger).code == "invalid_parameters"
    assert gateway.post("/v1/report", report).json["status"] == "failed"
    assert gateway.post("/v1/report", report).json["status"] == "failed"
    other = gateway.post("/v1/report", {**report, "status": "committed"})
    assert (other.status, other.code) == (409, "conflict")


def test_a_built_in_tool_is_carried_out_here_and_not_permitted(gateway):
    answer = gateway.post("/v1/permit", {"tool": "get_deployment_status"})
    assert (answer.status, answer.code) == (400, "invalid_parameters")


def test_advice_that_nobody_could_give_is_an_error(gateway, monkeypatch):
    def broken(*_):
        raise PolicyError("the bundle cannot be loaded")

    monkeypatch.setattr(gateway.gateway.joined.door._decider, "judge", broken)
    answer = gateway.post("/v1/advise", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "advice-2"})
    assert (answer.status, answer.code) == (500, "engine_error")
