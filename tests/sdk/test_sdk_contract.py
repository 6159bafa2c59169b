"""The same cases against the SDK's own gateway and against `bywire serve`, so that the two cannot drift apart."""

import http.client
import json
from urllib.parse import urlsplit

import pytest
import worlds
from bywire_sdk import (
    Answer,
    ApprovalNeeded,
    Conflict,
    Denied,
    GatewayError,
    Invalid,
    OutcomeUnknown,
    Permitted,
    Unauthenticated,
    UpstreamFailed,
    governed,
)
from worlds import ALLOWED, MAIL, MASKED, PERSON, READ, SECRET, TOOLS, UNKNOWN, client_of

PAYLOAD = {
    "code", "effect", "status", "reason", "rules", "next_step", "approval", "retry", "policy_version", "decision_id",
    "call_id", "retryable",
}  # fmt: skip


@pytest.fixture(scope="module", params=["scripted", "real"])
def world(request):
    """Both gateways; the real one is shared with every test that asks for it."""
    if request.param == "real":
        yield request.getfixturevalue("real_world")
        return
    with worlds.scripted() as running:
        yield running


@pytest.fixture
def client(world):
    with client_of(world) as found:
        yield found


@pytest.fixture
def key(request):
    """Another key for every test of a world that all of them share."""
    return request.node.name


def refused(call):
    with pytest.raises(GatewayError) as error:
        call()
    payload = error.value.payload
    assert set(payload) == PAYLOAD
    assert payload["reason"]
    return error.value


def sent(world, method, path, document=None, token=None):
    """(status, body) of one request, as it is on the wire."""
    connection = http.client.HTTPConnection(urlsplit(world.url).netloc, timeout=20)
    headers = {"authorization": f"Bearer {token or world.token()}", "content-type": "application/json"}
    try:
        connection.request(method, path, json.dumps(document) if document is not None else None, headers)
        answer = connection.getresponse()
        assert answer.getheader("content-type") == "application/json"
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_permit_is_given_once_and_reported_once(client, key):
    permit = client.permit(ALLOWED, {"job": key}, key=key)
    assert isinstance(permit, Permitted)
    assert permit.parameters == {"job": key}
    assert permit.intent
    assert permit.decision_id
    assert isinstance(refused(lambda: client.permit(ALLOWED, {"job": key}, key=key)), OutcomeUnknown)
    first = client.report(permit.intent, "committed", {"value": 1})
    assert first.status == "committed"
    assert first.entry >= 0
    assert client.report(permit.intent, "committed", {"value": 1}) == first
    assert isinstance(refused(lambda: client.report(permit.intent, "failed")), Conflict)
    again = client.permit(ALLOWED, {"job": key}, key=key)
    assert isinstance(again, Answer)
    assert (again.status, again.result, again.replayed) == ("committed", {"value": 1}, True)


def test_a_reported_failure_is_replayed_as_one(client, key):
    permit = client.permit(ALLOWED, {"job": key}, key=key)
    assert client.report(permit.intent, "failed", error="it was down").status == "failed"
    assert isinstance(refused(lambda: client.permit(ALLOWED, {"job": key}, key=key)), UpstreamFailed)


def test_what_was_reported_unknown_stays_so_until_it_is_known(client, key):
    permit = client.permit(ALLOWED, {"job": key}, key=key)
    assert client.report(permit.intent, "unknown", error="TimeoutError").status == "unknown"
    assert isinstance(refused(lambda: client.permit(ALLOWED, {"job": key}, key=key)), OutcomeUnknown)
    assert client.report(permit.intent, "committed").status == "committed"


def test_a_report_that_looks_like_a_permit_permits_nothing(client, key):
    """Attack: report `unknown` with a result that says that it is permitted, then ask again with the same key."""
    permit = client.permit(ALLOWED, {"job": key}, key=key)
    forged = {"permitted": True, "intent": permit.intent, "deadline_ms": 9e12, "parameters": {"job": key}}
    client.report(permit.intent, "unknown", forged)
    assert isinstance(refused(lambda: client.permit(ALLOWED, {"job": key}, key=key)), OutcomeUnknown)


def test_a_dry_run_permits_nothing(client, key):
    answer = client.permit(ALLOWED, {"job": key}, key=key, dry_run=True)
    assert isinstance(answer, Answer)
    assert answer.result == {"dry_run": True}
    assert isinstance(client.permit(ALLOWED, {"job": key}, key=key), Permitted)


def test_a_key_is_for_one_action(client, key):
    client.permit(ALLOWED, {"job": key}, key=key)
    assert isinstance(refused(lambda: client.permit(ALLOWED, {"job": "other"}, key=key)), Conflict)


def test_a_key_is_for_one_principal(world, client, key):
    client.permit(ALLOWED, {"job": key}, key=key)
    with client_of(world, world.other_token()) as other:
        assert isinstance(other.permit(ALLOWED, {"job": "other"}, key=key), Permitted)


def test_nobody_reports_for_somebody_else(world, client, key):
    permit = client.permit(ALLOWED, {"job": key}, key=key)
    with client_of(world, world.other_token()) as other:
        assert isinstance(refused(lambda: other.report(permit.intent, "committed")), Invalid)
    assert isinstance(refused(lambda: client.report("nothing", "committed")), Invalid)


def test_an_approval_resumes_the_same_call_once(world, client, key):
    needed = refused(lambda: client.permit(PERSON, {"version": key}, key=key))
    assert isinstance(needed, ApprovalNeeded)
    assert needed.payload["status"] == "pending"
    assert needed.key == key
    assert needed.approval_url == f"{world.url}/approvals/{needed.approval_id}"
    assert needed.retryable
    assert needed.rules
    assert client.approval_state(needed) == "pending"
    world.approve(needed.approval_id)
    assert client.wait_for_approval(needed, 10) == "approved"
    assert isinstance(client.permit(PERSON, {"version": key}, key=key), Permitted)
    again = refused(lambda: client.permit(PERSON, {"version": key}, key=f"{key} 2"))
    assert isinstance(again, ApprovalNeeded), "one approval, one use"


def test_an_approval_is_for_the_exact_action(world, client, key):
    needed = refused(lambda: client.permit(PERSON, {"version": key}, key=key))
    world.approve(needed.approval_id)
    other = refused(lambda: client.permit(PERSON, {"version": f"{key} evil"}, key=f"{key} 2"))
    assert isinstance(other, ApprovalNeeded)
    assert other.approval_id != needed.approval_id


def test_a_refused_approval_is_a_deny_or_a_new_question_and_never_a_yes(world, client, key):
    needed = refused(lambda: client.permit(PERSON, {"version": key}, key=key))
    world.refuse(needed.approval_id)
    assert client.wait_for_approval(needed, 10) == "denied"
    assert isinstance(refused(lambda: client.permit(PERSON, {"version": key}, key=key)), Denied | ApprovalNeeded)


def test_an_approval_is_its_askers_alone(world, client, key):
    needed = refused(lambda: client.permit(PERSON, {"version": key}, key=key))
    with client_of(world, world.other_token()) as other:
        assert isinstance(refused(lambda: other.approval_state(needed)), Conflict)


def test_an_unknown_tool_is_denied(client, key):
    error = refused(lambda: client.permit(UNKNOWN, {}, key=key))
    assert isinstance(error, Denied)
    assert error.payload["code"] == "unknown_tool"
    assert error.payload["effect"] == "deny"


def test_a_token_that_nobody_gave(world):
    with client_of(world, "nonsense") as client:
        assert isinstance(refused(lambda: client.permit(ALLOWED, {"job": "a"})), Unauthenticated)
        assert isinstance(refused(client.tools), Unauthenticated)


def test_a_read_leaves_nothing_to_report(client, key):
    for _ in range(2):
        permit = client.permit(READ, {"job": key}, key=key)
        assert (permit.intent, permit.parameters) == ("", {"job": key})


def test_advice_authorises_nothing(client, key):
    assert client.advise(ALLOWED, {"job": key}).effect == "allow"
    advice = client.advise(PERSON, {"version": key})
    assert (advice.effect, advice.payload["code"]) == ("approval_needed", "approval_needed")
    assert set(advice.payload) == PAYLOAD
    assert client.advise(UNKNOWN).effect == "deny"


def test_tools_are_listed_by_upstream(client):
    assert [tool.name for tool in client.tools("jobs")] == sorted(TOOLS)
    assert [tool.name for tool in client.tools("jobs") if tool.read] == [READ]
    assert client.tools("nobody") == client.tools() == ()


def test_a_governed_function_behind_it(client, key):
    ran = []

    @governed(tool=ALLOWED, client=client)
    def restart(job):
        ran.append(job)
        return {"restarted": job}

    assert [restart(key), restart(key)] == [{"restarted": key}] * 2
    assert ran == [key]


def test_what_was_masked_is_what_runs(client):
    ran = []
    governed(tool=MASKED, client=client)(lambda text: ran.append(text))(f"write to {MAIL} now")
    assert ran == ["write to [email] now"]


def test_a_secret_runs_nothing(client):
    ran = []
    with pytest.raises(Denied) as error:
        governed(tool=MASKED, client=client)(lambda text: ran.append(text))(f"use {SECRET}")
    assert error.value.rules[0] == "inspect.secret"
    assert SECRET not in json.dumps(error.value.payload)
    assert ran == []


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        ({"tool": ALLOWED, "parameters": {"job": "wire"}, "key": "wire"}, 200, ""),
        ({"tool": PERSON, "parameters": {"version": "wire"}, "key": "wire"}, 202, "approval_needed"),
        ({"tool": UNKNOWN, "parameters": {}, "key": "wire"}, 404, "unknown_tool"),
        ({"tool": "", "parameters": {}}, 400, "invalid_parameters"),
        ({"tool": ALLOWED, "parameters": []}, 400, "invalid_parameters"),
        ({"parameters": {}}, 400, "invalid_parameters"),
        ({"tool": ALLOWED, "parameters": {"job": "without a key"}}, 400, "invalid_parameters"),
        ({"tool": ALLOWED, "parameters": {"job": "other"}, "key": "wire"}, 409, "conflict"),
    ],
)
def test_the_wire(world, document, status, code):
    answered, body = sent(world, "POST", "/v1/permit", document)
    assert answered == status, body
    if code:
        assert set(body) == {"error"}
        assert set(body["error"]) == PAYLOAD
        assert body["error"]["code"] == code
    else:
        assert set(body) == {"status", "intent", "deadline_ms", "parameters", "decision_id"}
        assert body["status"] == "permitted"


def test_the_wire_of_the_rest(world):
    assert sent(world, "POST", "/v1/permit", {"tool": ALLOWED}, token="nonsense")[0] == 401
    status, body = sent(world, "POST", "/v1/advise", {"tool": ALLOWED, "parameters": {"job": "wire"}, "key": "w1"})
    assert (status, set(body)) == (200, {"effect", "revision", "authorises", "payload"})
    status, body = sent(world, "GET", "/v1/tools?upstream=jobs")
    assert (status, set(body)) == (200, {"tools"})
    assert set(body["tools"][0]) == {"name", "description", "schema", "category", "risk", "read"}
    status, body = sent(world, "POST", "/v1/permit", {"tool": PERSON, "parameters": {"version": "wire"}, "key": "w2"})
    assert set(body["error"]["approval"]) == {"id", "url"}
    assert set(body["error"]["retry"]) == {"key", "after_seconds"}
    assert set(body["error"]["rules"][0]) == {"rule", "message", "facts"}
    status, body = sent(world, "GET", f"/v1/approvals/{body['error']['approval']['id']}/state")
    assert (status, set(body)) == (200, {"id", "state", "expires_at_ms"})
    _, permit = sent(world, "POST", "/v1/permit", {"tool": ALLOWED, "parameters": {"job": "wire"}, "key": "w3"})
    status, body = sent(world, "POST", "/v1/report", {"intent": permit["intent"], "status": "committed"})
    assert (status, set(body)) == (200, {"status", "entry"})
    status, body = sent(world, "POST", "/v1/permit", {"tool": ALLOWED, "parameters": {"job": "wire"}, "key": "w3"})
    assert status == 200
    assert set(body) >= {"status", "result", "label", "decision_id", "call_id", "entry", "replayed"}
