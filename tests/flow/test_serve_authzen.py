"""AuthZEN 1.0 over HTTP: decisions with their obligations, intents and access requests; errors are no denials."""

import hashlib

import pytest
import rfc8785
from serving import prepared, served


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = prepared(tmp_path_factory.mktemp("authzen") / "scene")
    yield scene
    scene.close()


@pytest.fixture(scope="module")
def gateway(scene):
    with served(scene) as running:
        yield running


def question(tool, properties=None, *, subject=("agent", "fixer"), resource=None, **context):
    return {
        "subject": {"type": subject[0], "id": subject[1]},
        "action": {"name": tool},
        "resource": (resource or {"type": "tool", "id": tool}) | {"properties": properties or {}},
        "context": context,
    }


def ask(gateway, document, path="evaluation", **more):
    return gateway.post(f"/access/v1/{path}", document, **more)


def journal(gateway):
    return gateway.gateway.workspace.journal


def test_a_read_is_decided_and_leaves_nothing_open(gateway):
    answer = ask(gateway, question("shop.list_orders", {"limit": 3}), headers={"x-request-id": "r-1"})
    assert answer.status == 200
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.json["decision"] is True
    assert answer.json["context"].keys() == {"decision_id"}


def test_an_allowed_write_is_an_intent_before_it_is_a_permit(gateway):
    answer = ask(gateway, question("shop.restart", {"job": "a"}, key="w-1"))
    assert answer.json["decision"] is True
    intent = answer.json["context"]["intent"]
    assert journal(gateway).find(intent).state == "intended"
    told = gateway.post("/v1/report", {"intent": intent, "status": "failed", "result": {}, "error": "no answer"})
    assert (told.status, told.json["status"]) == (200, "failed")


def test_rule_12_a_permit_that_was_reported_is_no_permit_again(gateway):
    asked = question("shop.restart", {"job": "a"}, key="spent-1")
    context = ask(gateway, asked).json["context"]
    said = {"permitted": True, "parameters": {"job": "a"}}
    report = {"intent": context["intent"], "status": "committed", "result": said}
    assert gateway.post("/v1/report", report).status == 200
    again = ask(gateway, asked)
    assert (again.status, again.code) == (409, "conflict")


def test_the_request_id_is_the_key_where_there_is_no_other(gateway):
    document = question("shop.restart", {"job": "b"})
    first = ask(gateway, document, headers={"x-request-id": "r-2"})
    again = ask(gateway, document, headers={"x-request-id": "r-2"})
    assert first.json["decision"] is True
    assert (again.status, again.code) == (504, "outcome_unknown")
    other = ask(gateway, question("shop.restart", {"job": "c"}), headers={"x-request-id": "r-2"})
    assert (other.status, other.code) == (409, "conflict")
    without = ask(gateway, document)
    assert (without.status, without.code) == (400, "invalid_parameters")


def test_a_deny_is_an_answer_with_the_payload(gateway):
    answer = ask(gateway, question("shop.nothing", key="w-2"))
    assert answer.status == 200
    assert answer.json["decision"] is False
    assert answer.json["context"]["payload"]["code"] == "unknown_tool"


def test_what_needs_a_person_is_no_permit_and_says_where_to_wait(gateway):
    document = question("shop.deploy", {"version": "7"}, key="w-3")
    answer = ask(gateway, document)
    assert answer.json["decision"] is False
    waits = answer.json["context"]["access_request"]
    approval = answer.json["context"]["payload"]["approval"]["id"]
    assert waits["endpoint"].endswith(f"/v1/approvals/{approval}/state")
    assert waits["binding_hash"] == hashlib.sha256(rfc8785.dumps(document)).hexdigest()
    state = gateway.send("GET", f"/v1/approvals/{approval}/state")
    assert (state.status, state.json["state"]) == (200, "pending")
    document["context"]["binding_token"] = waits["binding_token"]
    assert ask(gateway, document).json["decision"] is False
    document["resource"]["properties"]["version"] = "8"
    other = ask(gateway, document)
    assert (other.status, other.json["error"]["reason"]) == (409, "this is not the question that was sent to a person")


def test_after_the_approval_the_same_question_is_a_permit(gateway, scene):
    document = question("shop.deploy", {"version": "9"}, key="w-4")
    approval = ask(gateway, document).json["context"]["payload"]["approval"]["id"]
    assert scene.approve(approval).code == 0
    answer = ask(gateway, document)
    assert answer.json["decision"] is True, answer
    assert journal(gateway).find(answer.json["context"]["intent"]).state == "intended"


@pytest.mark.parametrize(
    "subject", [("agent", "planner"), ("agent", "agent:planner"), ("workload", "fixer"), ("user", "fixer")]
)
def test_nobody_asks_for_somebody_else(gateway, subject):
    answer = ask(gateway, question("shop.list_orders", subject=subject))
    assert (answer.status, answer.code) == (403, "unauthenticated")


@pytest.mark.parametrize(
    "resource",
    [{"type": "tool", "id": "shop.restart"}, {"type": "service", "id": "other"}, {"type": "host", "id": "x"}],
)
def test_the_resource_is_what_the_tool_acts_on(gateway, resource):
    answer = ask(gateway, question("shop.list_orders", resource=resource))
    assert (answer.status, answer.code) == (400, "invalid_parameters")


def test_service_and_environment_of_the_caller_are_not_believed(gateway):
    properties = {"limit": 1, "environment": "non-production", "service": "elsewhere"}
    answer = ask(gateway, question("shop.list_orders", properties))
    assert (answer.status, answer.code) == (400, "invalid_parameters")
    assert "nobody declared" in answer.json["error"]["reason"]


def test_two_values_of_one_parameter_are_refused(gateway):
    answer = ask(gateway, question("shop.list_orders", {"limit": 1}, parameters={"limit": 2}))
    assert (answer.status, answer.code) == (400, "invalid_parameters")


def test_evaluations_run_as_far_as_their_semantics_say(gateway):
    allowed, denied = (
        {"action": {"name": "shop.list_orders"}, "resource": {"type": "upstream", "id": "shop"}},
        {
            "action": {"name": "shop.nothing"},
            "resource": {"type": "upstream", "id": "shop"},
        },
    )
    base = {"subject": {"type": "agent", "id": "fixer"}, "context": {"key": "b"}}

    def decisions(order, semantic=None):
        options = {"options": {"evaluations_semantic": semantic}} if semantic else {}
        answer = ask(gateway, {**base, "evaluations": order, **options}, "evaluations")
        return [one["decision"] for one in answer.json["evaluations"]]

    order = [allowed, denied, allowed]
    assert decisions(order) == [True, False, True]
    assert decisions(order, "execute_all") == [True, False, True]
    assert decisions(order, "deny_on_first_deny") == [True, False]
    assert decisions([denied, allowed, allowed], "permit_on_first_permit") == [False, True]


def test_an_error_in_a_batch_is_no_permit_and_no_deny_of_the_policy(gateway):
    broken = {"action": {"name": "shop.list_orders"}, "resource": {"type": "host", "id": "x"}}
    base = {"subject": {"type": "agent", "id": "fixer"}}
    answer = ask(gateway, {**base, "evaluations": [broken]}, "evaluations")
    one = answer.json["evaluations"][0]
    assert one["decision"] is False
    assert one["context"]["error"]["status"] == 400


def test_a_batch_without_evaluations_is_one_question_and_a_long_one_is_refused(gateway):
    document = question("shop.list_orders")
    assert ask(gateway, document, "evaluations").json["decision"] is True
    answer = ask(gateway, {**document, "evaluations": [{}] * 65}, "evaluations")
    assert answer.status == 400


def test_the_metadata_names_the_endpoints(gateway):
    answer = gateway.send("GET", "/.well-known/authzen-configuration", token="")
    url = f"http://127.0.0.1:{gateway.port}"
    assert answer.json == {
        "policy_decision_point": url,
        "access_evaluation_endpoint": f"{url}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{url}/access/v1/evaluations",
    }


def test_an_error_of_the_engine_differs_from_a_deny(gateway, monkeypatch):
    def broken(*_):
        raise RuntimeError("hunter2")

    monkeypatch.setattr(gateway.gateway.joined.door._decider, "judge_read", broken)
    answer = ask(gateway, question("shop.list_orders"))
    assert (answer.status, answer.code) == (500, "engine_error")
    assert b"hunter2" not in answer.body
