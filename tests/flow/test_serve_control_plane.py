"""The `/v1` control plane: what a caller sees is its own; a verdict is taken for its signature and for nothing else."""

import json
from pathlib import Path

import msgspec
import pytest
from openapi_spec_validator import validate
from serving import prepared, register, served

from bywire.approvals.packet import sign_verdict
from bywire.model.principal import KeyRole
from bywire.wiring import overview

SNAPSHOT = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = prepared(tmp_path_factory.mktemp("plane") / "scene")
    register(scene, "other", ["shop.list_orders", "shop.deploy"])
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def gateway(scene):
    with served(scene) as running:
        yield running


def asked(gateway, version):
    answer = gateway.post("/v1/permit", {"tool": "shop.deploy", "parameters": {"version": version}, "key": version})
    assert answer.status == 202
    return answer.json["error"]["approval"]["id"]


def get(gateway, path, **more):
    return gateway.send("GET", path, **more)


def test_status_says_what_is_served(gateway):
    told = get(gateway, "/v1/status").json
    assert told["upstreams"] == [{"name": "shop", "kind": "http"}]
    assert told["policy"]["digest"] == gateway.gateway.workspace.bundle().digest
    assert (told["frozen"], told["incident"], told["policy_refused"]) == (False, False, "")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/status",
        "/v1/approvals",
        "/v1/approvals/ap-1",
        "/v1/approvals/ap-1/state",
        "/v1/decisions/d",
        "/v1/agents/self",
    ],
)
def test_nobody_unknown_sees_anything(gateway, path):
    assert get(gateway, path, token="").status == 401


def test_approvals_are_shown_to_who_asked_and_to_nobody_else(gateway):
    approval = asked(gateway, "1")
    assert approval in {one["id"] for one in get(gateway, "/v1/approvals").json["approvals"]}
    shown = get(gateway, f"/v1/approvals/{approval}").json
    assert shown["packet"]["action"]["parameters"] == {"version": "1"}
    other = gateway.token("agent:other")
    assert get(gateway, "/v1/approvals", token=other).json["approvals"] == []
    for path in (f"/v1/approvals/{approval}", f"/v1/approvals/{approval}/state"):
        assert get(gateway, path, token=other).status == 404


def verdict(gateway, approval, said="approved", packet=None):
    workspace = gateway.gateway.workspace
    packet = packet or workspace.approvals.row(approval).packet
    key = workspace.keys.load(KeyRole.APPROVER, "person:oncall", lambda: b"")
    now_ms = workspace.clock.now_ms()
    envelope = sign_verdict(packet, said, "person:oncall", "sre-oncall", "fine", now_ms, key)
    return {"envelope": json.loads(envelope)}


def post_verdict(gateway, approval, body):
    return gateway.post(f"/v1/approvals/{approval}/verdict", body, token="")


def test_a_signed_verdict_needs_no_token_and_settles_the_request(gateway):
    approval = asked(gateway, "2")
    answer = post_verdict(gateway, approval, verdict(gateway, approval))
    assert (answer.status, answer.json["state"]) == (200, "approved")
    done = gateway.post("/v1/permit", {"tool": "shop.deploy", "parameters": {"version": "2"}, "key": "2"})
    assert done.status == 200
    again = post_verdict(gateway, approval, verdict(gateway, approval))
    assert again.status == 409


def test_a_verdict_on_another_packet_or_without_its_signature_is_refused(gateway):
    approval, other = asked(gateway, "3"), asked(gateway, "4")
    assert post_verdict(gateway, other, verdict(gateway, approval)).status == 400
    widened = msgspec.structs.replace(gateway.gateway.workspace.approvals.row(approval).packet, quorum=0)
    assert post_verdict(gateway, approval, verdict(gateway, approval, packet=widened)).status >= 400
    body = verdict(gateway, approval)
    body["envelope"]["signatures"] = []
    assert post_verdict(gateway, approval, body).status == 400
    assert post_verdict(gateway, approval, {"envelope": {}}).status == 400
    assert post_verdict(gateway, approval, {"envelope": {}, "as": "dana"}).status == 400
    assert get(gateway, f"/v1/approvals/{approval}/state").json["state"] == "pending"


def test_a_decision_is_shown_to_who_asked(gateway):
    told = gateway.post("/v1/call", {"tool": "get_deployment_status"}).json
    shown = get(gateway, f"/v1/decisions/{told['decision_id']}")
    assert shown.json["decision"]["effect"] == "allow"
    assert get(gateway, f"/v1/decisions/{told['decision_id']}", token=gateway.token("agent:other")).status == 404


def test_what_is_no_decisions_id_is_looked_for_nowhere(gateway, monkeypatch):
    gateway.post("/v1/call", {"tool": "get_deployment_status"})
    searched = []
    monkeypatch.setattr(overview, "recent_read", lambda _, name: searched.append(name))
    for name in ("effect", "allow", "A" * 32, "a" * 31, "a" * 33, "a" * 32 + "%0A"):
        answer = get(gateway, f"/v1/decisions/{name}")
        assert (answer.status, "is called" in answer.json["error"]["reason"]) == (404, True), name
    assert get(gateway, f"/v1/decisions/{'a' * 32}").status == 404
    assert searched == ["a" * 32]


def test_a_caller_sees_its_own_registration(gateway):
    told = get(gateway, "/v1/agents/self").json
    assert (told["principal"], told["state"]) == ("agent:fixer", "active")


def test_health_and_keys_are_open(gateway):
    assert get(gateway, "/healthz", token="").json == {"status": "ok"}
    assert get(gateway, "/readyz", token="").json == {"status": "ok"}
    assert get(gateway, "/.well-known/jwks.json", token="").json.keys() == {"keys"}


def test_an_unknown_path_says_so_in_json(gateway):
    assert get(gateway, "/v2/call").status == 404
    assert gateway.send("PUT", "/v1/call", {}).status == 405


def test_openapi_is_what_was_published(gateway):
    document = get(gateway, "/openapi.json", token="").json
    validate(document)
    document["info"]["version"] = "0"
    published = json.loads(SNAPSHOT.read_text())
    assert document == published, (
        "the API changed; if it should: curl HOST/openapi.json, version 0, to docs/openapi.json"
    )
