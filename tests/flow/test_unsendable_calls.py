"""A call that no request can be made of is refused before it is decided on, recorded, or shown to a person."""

import json

import pytest
from bywire_sdk import Client, GatewayError
from route_world import ROUTER, routed, schema, tool
from serving import prepared, served

from bywire.model.ask import Ask
from bywire.wiring.hooks import There

TEXT = {"type": ["string", "null", "array", "object", "boolean"]}
RISKY = "production_orchestration"
TOOLS = [
    tool("purge", "POST", "/caches/{name}/purge", schema(["name"], name=TEXT), RISKY, risk="high"),
    tool("move", "POST", "/moves/{+to}", schema(["to"], to=TEXT, how=TEXT), RISKY, risk="high", query=["how"]),
    tool("fill", "POST", "/forms", schema(field=TEXT), RISKY, risk="high", body="form"),
    tool("tag", "PUT", "/tags", schema(tag=TEXT), RISKY, risk="high", headers={"if-match": "tag"}),
    tool("restart", "POST", "/jobs/{job}/restart", schema(["job"], job=TEXT), "harmless_reversible"),
    tool("look", "GET", "/looks/{name}", schema(["name"], name=TEXT, how=TEXT), query=["how"]),
]
OUT_OF_PLACE = [
    "..",
    ".",
    "",
    "a/b",
    "../admin",
    "a%2fb",
    "a%252e",
    "a;b",
    "a?b",
    "a#b",
    "a\\b",
    "a\nb",
    None,
    ["a"],
]
BAD = [
    *[("purge", {"name": value}) for value in OUT_OF_PLACE],
    ("move", {"to": "a//b"}),
    ("move", {"to": "a/../b"}),
    ("move", {"to": "/a"}),
    ("move", {"to": "a", "how": {"deep": 1}}),
    ("move", {"to": "a", "how": None}),
    ("fill", {"field": {"deep": 1}}),
    ("fill", {"field": [["deep"]]}),
    ("tag", {"tag": "a\r\nx-evil: 1"}),
    ("tag", {"tag": "\u2713"}),
    ("tag", {"tag": " etag"}),
    ("tag", {"tag": "etag\t"}),
    ("tag", {"tag": "etag\u00a0"}),
    ("tag", {"tag": ["a"]}),
    ("restart", {"job": "../../admin"}),
    ("look", {"name": ".."}),
    ("look", {"name": "a", "how": {"deep": 1}}),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    place = tmp_path_factory.mktemp("unsendable")
    with pytest.MonkeyPatch.context() as patch, routed(place, patch, tools=TOOLS) as made:
        yield made


def left_alone(gateway, api):
    """Everything that a refused call must not have touched."""
    workspace = gateway.gateway.workspace
    workspace.journal.flush_reads()
    workspace.writer.run(lambda _: None)
    return (
        workspace.ledger.entry_count(),
        workspace.approvals.rows(),
        workspace.reader.rows("SELECT key FROM intents"),
        list(api.seen),
    )


def over_http(path):
    def ask(gateway, name, values, key):
        body = {"tool": f"shop.{name}", "parameters": values, "key": key}
        return gateway.post(f"/v1/{path}", body, token=gateway.token(ROUTER))

    return ask


def authzen(gateway, name, values, key):
    document = {
        "subject": {"type": "agent", "id": "router"},
        "action": {"name": f"shop.{name}"},
        "resource": {"type": "tool", "id": f"shop.{name}", "properties": values},
        "context": {"key": key},
    }
    return gateway.post("/access/v1/evaluation", document, token=gateway.token(ROUTER))


ASKS = {"call": over_http("call"), "permit": over_http("permit"), "advise": over_http("advise"), "authzen": authzen}


@pytest.mark.parametrize("surface", ASKS)
@pytest.mark.parametrize(("name", "values"), BAD)
def test_rule_18_nobody_is_asked_about_a_request_that_cannot_be_made(world, surface, name, values):
    gateway, api = world
    before = left_alone(gateway, api)
    answer = ASKS[surface](gateway, name, values, f"bad-{surface}")
    assert (answer.status, answer.code) == (400, "invalid_parameters"), answer
    said = answer.json["error"]
    assert (said["decision_id"], said["approval"], said["retryable"]) == ("", None, False)
    assert said["reason"].startswith(f"shop.{name}: ")
    assert said["next_step"]
    for value in values.values():
        # The value may be a secret, and is somebody's text.
        assert not isinstance(value, str) or len(value) < 3 or value not in json.dumps(said)
    assert left_alone(gateway, api) == before


def test_the_sdk_and_a_hook_are_told_the_same(world):
    gateway, api = world
    before, url = left_alone(gateway, api), f"http://127.0.0.1:{gateway.port}"
    with Client(url, token=gateway.token(ROUTER)) as client, pytest.raises(GatewayError) as caught:
        client.call("shop.purge", {"name": "../admin"}, key="bad-sdk")
    assert caught.value.payload["code"] == "invalid_parameters"
    way = There(url, gateway.token(ROUTER))
    try:
        told = way.permit(Ask(tool="shop.purge", parameters={"name": "a/b"}, key="bad-hook", surface="hook"))
    finally:
        way.close()
    assert told.payload["code"] == "invalid_parameters"
    assert left_alone(gateway, api) == before


def test_a_key_whose_call_was_refused_is_free_for_one_that_can_be_sent(world):
    gateway, api = world
    asked = over_http("call")
    assert asked(gateway, "restart", {"job": "a/b"}, "same").status == 400
    assert asked(gateway, "restart", {"job": "nightly"}, "same").status == 200
    assert api.seen[-1][1] == "/jobs/nightly/restart"


@pytest.mark.parametrize(
    ("name", "values"), [("purge", {"name": "a b~ü"}), ("move", {"to": "a/b", "how": ["x", True]})]
)
def test_what_can_be_sent_is_decided_on(world, name, values):
    gateway, _ = world
    answer = over_http("call")(gateway, name, values, f"good-{name}")
    assert (answer.status, answer.code) == (202, "approval_needed")


def test_a_built_in_tool_is_held_to_the_request_of_its_connection(tmp_path, monkeypatch):
    monkeypatch.setenv("CI_TOKEN", "tok-1")
    scene = prepared(tmp_path / "scene")
    routes = {"rerun_job": {"method": "POST", "path": "/runs/{run_id}/jobs/{job_id}/rerun"}}
    connection = {"executor": "ci", "origin": "https://ci.example", "token_env": "CI_TOKEN", "routes": routes}
    scene.configure(connections=[connection])
    values = {"run_id": "../../x", "job_id": "t", "failure_fingerprint": "f00"}
    try:
        with served(scene) as gateway:
            answer = gateway.post("/v1/call", {"tool": "rerun_job", "parameters": values})
            assert (answer.status, answer.code) == (400, "invalid_parameters")
            told = gateway.post("/v1/call", {"tool": "rerun_job", "parameters": {**values, "run_id": "7"}})
            assert told.code == "policy_denied"
    finally:
        scene.close()
