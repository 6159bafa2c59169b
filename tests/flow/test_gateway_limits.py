"""`calls` of gateway.yaml at a served gateway: how often an agent may ask, whatever it is answered."""

import pytest
from serving import prepared, register, served

from bywire.wiring.payload import refusal

STATUS = {"tool": "get_deployment_status"}
RESTART = {"tool": "shop.restart", "parameters": {"job": "a"}}
READ = {
    "subject": {"type": "agent", "id": "fixer"},
    "action": {"name": "shop.list_orders"},
    "resource": {"type": "tool", "id": "shop.list_orders"},
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    calls = [{"scope": "agent:*", "per_minute": 4}, {"scope": "tool:shop.restart", "per_minute": 1}]
    scene = prepared(tmp_path_factory.mktemp("calls") / "scene", calls=calls)
    register(scene, "other", ["shop.list_orders"])
    yield scene
    scene.close()


@pytest.fixture
def gateway(scene):
    with served(scene) as running:
        yield running


def entries(gateway):
    gateway.gateway.workspace.journal.flush_reads()
    gateway.gateway.workspace.writer.run(lambda tx: None)  # behind what was flushed
    return gateway.gateway.workspace.reader.row("SELECT count(*) FROM entries")[0]


def too_many(answer):
    told = answer.json["error"]
    assert (answer.status, told["code"], told["status"], told["effect"]) == (429, "busy", "failed", "")
    assert set(told) == set(refusal("busy", ""))
    assert told["retryable"] is True
    assert 1 <= told["retry"]["after_seconds"] <= 60
    assert answer.headers["retry-after"] == str(told["retry"]["after_seconds"])
    assert [rule["rule"] for rule in told["rules"]] == ["calls_too_many"]
    return told


def test_reads_refusals_and_advice_all_count_and_nothing_is_decided_any_more(gateway):
    assert gateway.post("/v1/call", STATUS).status in {200, 502}
    assert gateway.post("/v1/call", {"tool": "no_such_tool", "key": "k"}).status == 404
    assert gateway.post("/v1/advise", STATUS).status == 200
    assert gateway.post("/access/v1/evaluation", READ).json["decision"] is True
    before = entries(gateway)
    assert too_many(gateway.post("/v1/call", {**RESTART, "key": "mine"}))["retry"]["key"] == "mine"
    too_many(gateway.post("/v1/permit", STATUS))
    too_many(gateway.post("/v1/advise", STATUS))
    too_many(gateway.post("/access/v1/evaluation", READ))
    too_many(gateway.send("GET", "/route/shop/orders"))
    too_many(gateway.send("GET", "/ext_authz/route/shop/orders"))
    assert entries(gateway) == before
    # Another agent is not held up, and another token of the same one is no way round.
    other = {**READ, "subject": {"type": "agent", "id": "other"}}
    assert gateway.post("/access/v1/evaluation", other, token=gateway.token("agent:other")).json["decision"] is True
    too_many(gateway.post("/v1/call", STATUS, token=gateway.token(run="another-run")))


def test_a_batch_of_questions_counts_each(gateway):
    answer = gateway.post("/access/v1/evaluations", {**READ, "evaluations": [{}] * 6})
    assert answer.status == 429 or [one["decision"] for one in answer.json["evaluations"]] == [True] * 4 + [False] * 2


def test_what_an_agent_may_ask_of_one_tool_is_less(gateway):
    assert gateway.post("/v1/permit", {**RESTART, "key": "a"}).json["status"] == "permitted"
    too_many(gateway.post("/v1/permit", {**RESTART, "key": "b"}))
    too_many(gateway.send("POST", "/route/shop/jobs/a/restart"))
    assert gateway.post("/access/v1/evaluation", READ).json["decision"] is True


def test_a_token_that_ended_uses_up_nobodys_calls(gateway):
    token = gateway.token(run="revoked")
    assert gateway.post("/access/v1/evaluation", READ, token=token).json["decision"] is True
    workspace = gateway.gateway.workspace
    workspace.writer.run(lambda tx: tx.execute("UPDATE sessions SET revoked = 1 WHERE run = 'revoked'"))
    for _ in range(9):
        assert gateway.post("/v1/call", STATUS, token=token).status == 401
        assert gateway.post("/v1/call", STATUS, token=token[:-4] + "AAAA").status == 401
    for _ in range(3):
        assert gateway.post("/access/v1/evaluation", READ).json["decision"] is True
    too_many(gateway.post("/access/v1/evaluation", READ))


def test_a_report_is_never_held_up(gateway):
    permit = gateway.post("/v1/permit", {**RESTART, "key": "reported"}).json
    for _ in range(3):
        gateway.post("/v1/advise", STATUS)
    too_many(gateway.post("/v1/advise", STATUS))
    report = {"intent": permit["intent"], "status": "committed", "result": {"ok": True}}
    assert gateway.post("/v1/report", report).json["status"] == "committed"
