"""`refusals` of gateway.yaml at a served gateway: an agent that asks in vain again and again is told to wait."""

import contextlib

import pytest
from serving import prepared, register, served

READS = {"tool": "get_deployment_status"}
RERUN = {"tool": "rerun_job", "parameters": {"run_id": "1", "job_id": "t", "failure_fingerprint": "f00"}}
DEPLOY = {"tool": "shop.deploy", "parameters": {"version": "1"}, "key": "the-same"}
RESTART = {"tool": "shop.restart", "parameters": {"job": "a"}}
READ = {
    "subject": {"type": "agent", "id": "fixer"},
    "action": {"name": "shop.list_orders"},
    "resource": {"type": "tool", "id": "shop.list_orders"},
}
FEW = [{"scope": "agent:*", "per_minute": 3}]


@contextlib.contextmanager
def gateway_of(root, **written):
    scene = prepared(root / "scene", **written)
    register(scene, "other", ["shop.restart"])
    with served(scene) as running:
        yield running
    scene.close()


@pytest.fixture
def gateway(tmp_path):
    with gateway_of(tmp_path, refusals=FEW) as running:
        yield running


def entries(gateway):
    return gateway.gateway.workspace.reader.row("SELECT count(*) FROM entries")[0]


def told_to_wait(answer):
    told = answer.json["error"]
    assert (answer.status, told["code"], told["retryable"]) == (429, "busy", True)
    assert [rule["rule"] for rule in told["rules"]] == ["refusals_too_many"]
    assert answer.headers["retry-after"] == str(told["retry"]["after_seconds"])
    return True


def _key(ask, number):
    """A key of its own for each call, where the contract derives none."""
    return {"key": f"k-{number}"} if ask is RESTART else {}


def looped(gateway, ask=RERUN, times=3, **more):
    return [gateway.post("/v1/call", ask | _key(ask, n), **more).code for n in range(times)]


def test_with_an_empty_gateway_yaml_a_loop_ends_and_fills_no_ledger(tmp_path):
    with gateway_of(tmp_path) as gateway:
        assert gateway.gateway.settings.calls == ()
        answers = looped(gateway, times=300)
        assert set(answers) == {"policy_denied"}
        before = entries(gateway)
        assert {told_to_wait(gateway.post("/v1/call", RERUN)) for _ in range(20)} == {True}
        assert entries(gateway) == before
        assert gateway.post("/access/v1/evaluation", READ).json["decision"] is True


def test_reads_that_are_allowed_are_never_counted_and_go_on_while_a_loop_is_held(gateway):
    for _ in range(9):
        assert gateway.post("/access/v1/evaluation", READ).json["decision"] is True
    assert looped(gateway) == ["policy_denied"] * 3
    told_to_wait(gateway.post("/v1/call", RERUN))
    told_to_wait(gateway.post("/v1/advise", {**RESTART, "key": "late"}))
    told_to_wait(gateway.send("POST", "/route/shop/jobs/a/restart"))
    for _ in range(9):
        assert gateway.post("/access/v1/evaluation", READ).json["decision"] is True


def test_what_waits_for_a_person_and_what_was_done_already_counts_when_it_is_asked_again(gateway):
    assert looped(gateway, DEPLOY) == ["approval_needed"] * 3
    told_to_wait(gateway.post("/v1/call", DEPLOY))
    other = gateway.token("agent:other")
    for status in ("permitted", "unknown", "unknown", "unknown"):
        said = gateway.post("/v1/permit", {**RESTART, "key": "once"}, token=other).json
        assert said.get("status", said.get("error", {}).get("status")) == status
    told_to_wait(gateway.post("/v1/permit", {**RESTART, "key": "new"}, token=other))


def test_effects_that_are_carried_out_and_their_reports_are_not_counted(gateway):
    for number in range(9):
        permit = gateway.post("/v1/permit", {**RESTART, "key": f"p-{number}"})
        assert permit.json["status"] == "permitted"
        report = {"intent": permit.json["intent"], "status": "committed", "result": {"ok": True}}
        for _ in range(2):
            assert gateway.post("/v1/report", report).json["status"] == "committed"


def test_a_read_whose_upstream_is_down_is_not_the_readers_fault_and_a_write_is(gateway):
    for _ in range(6):
        assert gateway.post("/v1/call", {"tool": "shop.list_orders"}).code == "upstream_failed"
    codes = looped(gateway, RESTART, times=4)
    assert set(codes[:3]) <= {"upstream_failed", "outcome_unknown"}
    assert codes[3] == "busy"


def test_another_session_is_no_way_round_and_nobody_else_is_held(gateway):
    looped(gateway)
    told_to_wait(gateway.post("/v1/call", RERUN, token=gateway.token(run="another")))
    other = gateway.token("agent:other")
    assert gateway.post("/v1/permit", {**RESTART, "key": "x"}, token=other).json["status"] == "permitted"


def test_a_token_that_ended_counts_against_nobody_and_is_told_nothing_of_the_loop(gateway):
    token = gateway.token(run="revoked")
    gateway.post("/access/v1/evaluation", READ, token=token)
    workspace = gateway.gateway.workspace
    workspace.writer.run(lambda tx: tx.execute("UPDATE sessions SET revoked = 1 WHERE run = 'revoked'"))
    assert looped(gateway, times=9, token=token) == ["unauthenticated"] * 9
    assert looped(gateway) == ["policy_denied"] * 3
    told_to_wait(gateway.post("/v1/call", RERUN))
    assert looped(gateway, token=token) == ["unauthenticated"] * 3


def test_an_operator_switches_it_off(tmp_path):
    with gateway_of(tmp_path, refusals=[]) as gateway:
        assert looped(gateway, times=320) == ["policy_denied"] * 320
