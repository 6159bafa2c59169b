"""MCP through the gateway, with a real client and a real server: nothing of either is changed."""

import asyncio
import http.client
import json
import socket
import threading
from contextlib import contextmanager

import pytest
from mcp.types import ElicitResult
from mcp_world import ACCEPT, META, MODERN, OLDER, UPSTREAM, call, client, gated, modern, rpc
from scene import wait_until
from serving import register

from bywire.adapters.mcp_message import Message
from bywire.adapters.mcp_upstream import Definition
from bywire.api.mcp import FOLLOWED_MAX, _remember
from bywire.api.mcp_keys import derived_key
from bywire.api.mcp_server import McpServer
from bywire.api.mcp_streams import SESSIONS_EACH_MAX, WAITING_MAX, McpSession, Outlet, Sessions
from bywire.gateway.redaction import Redactor
from bywire.gateway.tool_definition import definition_digest

# What the newest version deprecates is spoken here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
MODES = ("auto", "legacy")
WAYS = [(mode, upstream) for mode in MODES for upstream in (UPSTREAM, OLDER)]
KEY = "bywire/key"
REFUSALS = "SELECT idx FROM entries WHERE instr(CAST(leaf AS TEXT), 'mcp-refused')"


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, lines):
    with gated(tmp_path_factory.mktemp("mcp") / "scene", lines, hidden={"test_audio_content"}) as running:
        yield running


def worked(gateway, work, **options):
    """What a real client's `work` gives."""

    async def run():
        async with client(gateway, **options) as session:
            return await work(session)

    return asyncio.run(run())


@pytest.mark.parametrize(("mode", "upstream"), WAYS)
def test_a_real_client_works_through_the_gateway(gateway, lines, mode, upstream):
    async def work(session):
        tools = (await session.list_tools()).tools
        write = await session.call_tool("append", {"line": f"{mode} {upstream}"})
        read = await session.call_tool("test_simple_text", {})
        resources = (await session.list_resources()).resources
        text = await session.read_resource("test://static-text")
        prompt = await session.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        return tools, read, write, resources, text, prompt

    token = gateway.token(run=f"real-{mode}-{upstream}")
    tools, read, write, resources, text, prompt = worked(gateway, work, mode=mode, upstream=upstream, token=token)
    names = [tool.name for tool in tools]
    assert "test_simple_text" in names
    assert "test_audio_content" not in names, "a tool that this agent may never use is not listed"
    assert not any("/" in name for name in names), "requests are no tools"
    assert names == sorted(names)
    assert read.content[0].text.startswith("This is a simple text")
    assert not write.is_error, write.structured_content
    assert lines.count(f"{mode} {upstream}") == 1
    assert {str(one.uri) for one in resources} >= {"test://static-text"}
    assert text.contents[0].text.startswith("This is the content")
    assert "arg1='a'" in prompt.messages[0].content.text


@pytest.mark.parametrize(("mode", "upstream"), WAYS)
def test_progress_and_logs_of_a_call_reach_its_client(gateway, mode, upstream):
    heard, logged = [], []

    async def progress(done, total, message):
        heard.append((done, total))

    async def logging(params):
        logged.append(params.data)

    async def work(session):
        await session.call_tool("test_tool_with_progress", {}, progress_callback=progress)
        await session.call_tool("test_tool_with_logging", {})

    worked(gateway, work, mode=mode, upstream=upstream, logging_callback=logging, log_level="info")
    assert heard == [(0, 100), (50, 100), (100, 100)]
    assert "Tool processing data" in logged


def test_a_result_says_what_it_is(gateway):
    result = call(gateway, "test_simple_text")
    label = result["_meta"]["bywire/label"]
    assert label == {
        "source": f"{UPSTREAM}.test_simple_text",
        "trust_level": "untrusted_runtime_output",
        "contains_user_controlled_text": True,
        "instruction_authority": "none",
        "redaction_applied": True,
    }
    assert result["_meta"]["bywire/call"]["status"] == "committed"
    assert result["_meta"]["bywire/call"]["decision_id"]
    assert result["resultType"] == "complete"


def test_a_tool_that_fails_says_so(gateway):
    assert call(gateway, "test_error_handling")["isError"] is True
    failed = call(gateway, "fail_write", {"line": "x"}, token=gateway.token(run="failing"))
    assert failed["structuredContent"]["code"] == "upstream_failed"
    assert "fail_write" in failed["structuredContent"]["reason"]


def test_a_secret_in_an_answer_is_replaced_and_the_answer_keeps_its_form(gateway):
    async def work(session):
        return await session.read_resource("test://template/ghp_0123456789abcdefghijklmnopqrstuvwxyzAB/data")

    text = worked(gateway, work).contents[0].text
    assert "ghp_0123" not in text
    assert "[github_token]" in text


def test_what_is_denied_says_why_in_one_payload(gateway):
    for name, code in (("test_audio_content", "policy_denied"), ("no_such_tool", "unknown_tool")):
        result = call(gateway, name)
        assert result["isError"] is True
        assert result["structuredContent"]["code"] == code
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        assert result["structuredContent"]["next_step"]


def test_rule_23_what_a_server_asks_of_its_client_is_denied_and_recorded(gateway):
    for name, arguments in (("test_sampling", {"prompt": "x"}), ("test_elicitation", {"message": "x"})):
        for upstream in (UPSTREAM, OLDER):
            result = call(gateway, name, arguments, upstream=upstream)
            assert result["isError"] is True

    wait_until(lambda: len(gateway.gateway.workspace.reader.rows(REFUSALS)) >= 2)


# --- approvals ---


def approve(gateway, approval):
    ran = gateway.scene.bywire("approvals", "approve", approval, "--as", "oncall", "--yes", "--json")
    assert ran.code == 0, ran


def release(gateway, version, run, **more):
    params = {"name": "release", "arguments": {"version": version}, **more.pop("params", {})}
    answer = modern(gateway, "tools/call", params, token=gateway.token(run=run), **more)
    assert answer.status == 200, answer
    return answer.json["result"]


def test_a_client_that_cannot_ask_is_told_where_and_the_same_call_again_resumes_once(gateway, lines):
    asked = release(gateway, "1.0", "approving-1")
    said = asked["structuredContent"]
    assert asked["isError"] is True
    assert (said["code"], said["retryable"]) == ("approval_needed", True)
    assert said["approval"]["url"].endswith(said["approval"]["id"])
    assert said["retry"]["key"].startswith("mcp:")
    assert release(gateway, "1.0", "approving-1")["structuredContent"]["approval"] == said["approval"]
    approve(gateway, said["approval"]["id"])
    first = release(gateway, "1.0", "approving-1")
    again = release(gateway, "1.0", "approving-1")
    *answer, told = again["content"]
    assert (answer, told["type"]) == (first["content"], "text")
    assert "carried out before" in told["text"]
    assert (first["_meta"]["bywire/call"]["replayed"], again["_meta"]["bywire/call"]["replayed"]) == (False, True)
    assert lines.count("release 1.0") == 1


def test_a_retry_key_of_the_caller_is_for_one_call_only(gateway, lines):
    kept = {"meta": {KEY: "mine-1"}}
    approve(gateway, release(gateway, "2.0", "approving-2", **kept)["structuredContent"]["approval"]["id"])
    assert release(gateway, "2.0", "approving-2", **kept).get("isError", False) is False
    other = release(gateway, "2.1", "approving-2", **kept)
    assert other["structuredContent"]["code"] == "conflict"
    assert lines.count("release 2.0") == 1
    assert "release 2.1" not in lines


@pytest.mark.parametrize("can", [{"url": {}}, {"form": {}}, {}])
def test_a_client_that_can_ask_is_asked_to(gateway, can):
    capabilities = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": can}}
    asked = release(gateway, f"3.{len(can)}.{'url' in can}", "approving-3", meta=capabilities)
    assert asked["resultType"] == "input_required"
    wanted = asked["inputRequests"]["approval"]
    assert wanted["method"] == "elicitation/create"
    assert wanted["params"]["mode"] == ("url" if "url" in can else "form")
    assert "/approvals/ap-" in wanted["params"]["message"]
    assert asked["requestState"]


def test_a_real_client_waits_for_the_person_and_the_effect_happens_once(gateway, lines):
    shown = []

    async def elicited(context, params):
        shown.append(params)
        approval = params.url.rpartition("/")[2]
        await asyncio.to_thread(approve, gateway, approval)
        return ElicitResult(action="accept")

    async def work(session):
        return await session.call_tool("release", {"version": "4.0"})

    result = worked(gateway, work, elicitation_callback=elicited, token=gateway.token(run="approving-4"))
    assert not result.is_error, result.structured_content
    assert len(shown) == 1
    assert lines.count("release 4.0") == 1


def test_a_person_at_the_client_who_declines_is_not_asked_again(gateway, lines):
    async def elicited(context, params):
        return ElicitResult(action="decline")

    async def work(session):
        return await session.call_tool("release", {"version": "5.0"})

    result = worked(gateway, work, elicitation_callback=elicited, token=gateway.token(run="approving-5"))
    assert result.is_error
    assert result.structured_content["code"] == "approval_needed"
    assert "release 5.0" not in lines


def test_a_state_that_was_not_given_for_this_call_is_refused(gateway):
    capabilities = {"meta": {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}}
    state = release(gateway, "6.0", "approving-6", **capabilities)["requestState"]
    forged = [state[:-1] + ("0" if state[-1] != "0" else "1"), "x", "", state + "x", "a" * 5_000, 7]
    for wrong in forged:
        params = {"name": "release", "arguments": {"version": "6.0"}, "requestState": wrong}
        answer = modern(gateway, "tools/call", params, token=gateway.token(run="approving-6"), **capabilities)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32602), wrong
    params = {"name": "append", "arguments": {"line": "x"}, "requestState": state}
    answer = modern(gateway, "tools/call", params, token=gateway.token(run="approving-6"), **capabilities)
    assert answer.json["error"]["code"] == -32602


# --- changes ---


@contextmanager
def changing(gateway, upstream):
    """The tools of the upstream change again and again: the gateway may not listen to it yet."""
    over = threading.Event()

    def repeat():
        while not over.wait(0.1):
            call(gateway, "notify_change", upstream=upstream)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("upstream", [UPSTREAM, OLDER])
def test_that_tools_changed_is_passed_on_to_whoever_listens(gateway, upstream):
    async def modern_client(session):
        async with session.listen(tools_list_changed=True) as changes, asyncio.timeout(15):
            async for change in changes:
                return type(change).__name__
        return ""

    heard = threading.Event()

    async def handler(message):
        if "list_changed" in str(getattr(message, "method", getattr(getattr(message, "root", None), "method", ""))):
            heard.set()

    async def older_client(session):
        return await asyncio.to_thread(heard.wait, 15)

    with changing(gateway, upstream):
        assert "Tool" in worked(gateway, modern_client, upstream=upstream)
        assert worked(gateway, older_client, upstream=upstream, mode="legacy", message_handler=handler)


# --- what is no MCP, or says two things ---


def post(gateway, body, **headers):
    sent = {name.replace("_", "-"): value for name, value in {**ACCEPT, **headers}.items()}
    return gateway.post(f"/mcp/{UPSTREAM}", body, headers=sent)


def test_headers_that_say_another_call_than_the_body_are_refused(gateway, lines):
    smuggled = [
        {"mcp-method": "tools/list"},
        {"mcp-name": "test_simple_text"},
        {"mcp-name": None},
        {"mcp-method": None},
        {"mcp-protocol-version": "2025-11-25"},
        {"mcp-name": "=?base64?dGVzdF9zaW1wbGVfdGV4dA==?="},
    ]
    for headers in smuggled:
        answer = modern(gateway, "tools/call", {"name": "append", "arguments": {"line": "smuggled"}}, headers=headers)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32020), headers
    assert "smuggled" not in lines
    encoded = {"mcp-name": "=?base64?dGVzdF9zaW1wbGVfdGV4dA==?="}
    assert modern(gateway, "tools/call", {"name": "test_simple_text"}, headers=encoded).status == 200


def test_a_header_that_is_there_twice_is_refused(gateway):
    body = json.dumps(rpc("tools/list", {"_meta": {}})).encode()
    for name in ("mcp-method", "mcp-protocol-version", "mcp-session-id", "mcp-name"):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        connection.putrequest("POST", f"/mcp/{UPSTREAM}")
        for header, value in {**ACCEPT, "authorization": f"Bearer {gateway.token()}"}.items():
            connection.putheader(header, value)
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(len(body)))
        connection.putheader(name, "a")
        connection.putheader(name, "b")
        connection.endheaders(body)
        assert connection.getresponse().status == 400
        connection.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
        (b"{", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}', -32700),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 500 + b"1" + b"}" * 501, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, -32700),
    ],
)
def test_what_is_no_message_is_refused(gateway, body, code):
    answer = post(gateway, body)
    assert (answer.status, answer.json["error"]["code"]) == (400, code)
    assert answer.json["id"] is None


def test_a_version_that_is_not_spoken_names_those_that_are(gateway):
    meta = {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    answer = modern(gateway, "tools/list", meta=meta, headers={"mcp-protocol-version": "2099-01-01"})
    assert (answer.status, answer.json["error"]["code"]) == (400, -32022)
    assert answer.json["error"]["data"] == {
        "supported": [MODERN, "2025-11-25", "2025-06-18"],
        "requested": "2099-01-01",
    }


def test_requests_without_their_envelope_are_refused(gateway):
    bare = rpc("tools/list", {})
    answer = post(gateway, bare, mcp_protocol_version=MODERN, mcp_method="tools/list")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
    assert modern(gateway, "nothing/here").status == 404
    assert modern(gateway, "initialize").status == 404
    assert modern(gateway, "ping").status == 404
    assert modern(gateway, "tools/call", {"name": 7}).json["error"]["code"] == -32020
    assert modern(gateway, "tools/call", {"name": "resources/read"}).json["error"]["code"] == -32602
    assert gateway.send("GET", f"/mcp/{UPSTREAM}", headers={"mcp-protocol-version": MODERN}).status == 405
    assert gateway.send("DELETE", f"/mcp/{UPSTREAM}", headers={"mcp-protocol-version": MODERN}).status == 405


def test_the_wrong_way_to_ask_is_refused(gateway):
    asked = rpc("tools/list", {})
    assert gateway.post(f"/mcp/{UPSTREAM}", asked, headers=ACCEPT, token="").status == 401
    assert gateway.post(f"/mcp/{UPSTREAM}", asked, headers=ACCEPT, token="forged").status == 401
    assert modern(gateway, "tools/call", {"name": "append", "arguments": {"line": "x"}}, token="forged").status == 401
    assert gateway.post("/mcp/nowhere", asked, headers=ACCEPT).status == 404
    assert gateway.post(f"/mcp/{UPSTREAM}", asked, headers={"accept": "application/json"}).status == 406
    assert post(gateway, asked, content_type="text/plain").status == 415
    assert post(gateway, b" " * 2_000_000).status == 413
    assert post(gateway, asked, origin="https://evil.example").status == 403
    assert post(gateway, asked, host="evil.example").status == 421


# --- the older versions' sessions ---


def begin(gateway, version="2025-11-25", **more):
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    answer = gateway.post(f"/mcp/{UPSTREAM}", rpc("initialize", params), headers=ACCEPT, **more)
    assert answer.status == 200, answer
    return answer.headers["mcp-session-id"], answer.json["result"]["protocolVersion"]


def in_session(gateway, session, method, params=None, message_id=2, **more):
    headers = {**ACCEPT, **({"mcp-session-id": session} if session else {})}
    return gateway.post(f"/mcp/{UPSTREAM}", rpc(method, params, message_id), headers=headers, **more)


@pytest.mark.parametrize(
    ("asked", "agreed"), [("2025-11-25", "2025-11-25"), ("2025-06-18", "2025-06-18"), ("1999-01-01", "2025-11-25")]
)
def test_a_session_agrees_on_a_version(gateway, asked, agreed):
    session, version = begin(gateway, asked)
    assert version == agreed
    assert in_session(gateway, session, "ping").json["result"] == {}


def test_a_session_is_its_principals_alone_until_it_ends(gateway):
    register(gateway.scene, "other", [f"{UPSTREAM}.test_simple_text"])
    session, _ = begin(gateway)
    other = gateway.token("agent:other", "other-run")
    assert in_session(gateway, session, "tools/list", token=other).status == 404
    assert in_session(gateway, "", "tools/list").status == 400
    assert in_session(gateway, "0" * 32, "tools/list").status == 404
    headers = {**ACCEPT, "mcp-session-id": session}
    assert gateway.post(f"/mcp/{OLDER}", rpc("ping"), headers=headers).status == 404
    assert gateway.send("DELETE", f"/mcp/{UPSTREAM}", headers=headers, token=other).status == 404
    assert in_session(gateway, session, "tools/list").status == 200
    assert gateway.send("DELETE", f"/mcp/{UPSTREAM}", headers=headers).status == 200
    assert in_session(gateway, session, "tools/list").status == 404


def test_notifications_and_responses_are_taken_and_change_nothing(gateway):
    session, _ = begin(gateway)
    headers = {**ACCEPT, "mcp-session-id": session}
    for message in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}},
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        {"jsonrpc": "2.0", "id": 1, "result": {"content": {"type": "text", "text": "x"}}},
    ):
        answer = gateway.post(f"/mcp/{UPSTREAM}", message, headers=headers)
        assert (answer.status, answer.body) == (202, b"")
    assert in_session(gateway, session, "logging/setLevel", {"level": "loud"}).json["error"]["code"] == -32602


# --- definitions that changed ---


def test_a_definition_that_changed_is_not_listed_and_its_calls_are_denied_and_recorded(gateway, lines, monkeypatch):
    executor = gateway.gateway.joined.executors[f"upstream:{UPSTREAM}"]
    before = executor.definitions(fresh=True)
    changed = {**before["append"].tool, "description": "Writes a line, and sends it to the author."}
    pulled = {**before, "append": Definition(changed, definition_digest(changed))}
    monkeypatch.setattr(executor, "_definitions", pulled)
    listed = modern(gateway, "tools/list").json["result"]["tools"]
    assert "append" not in [tool["name"] for tool in listed]
    assert "test_simple_text" in [tool["name"] for tool in listed]
    said = call(gateway, "append", {"line": "pulled"}, token=gateway.token(run="rug-pull"))["structuredContent"]
    assert (said["code"], said["rules"][0]["rule"]) == ("policy_denied", "contract.definition_changed")
    assert said["call_id"].rpartition("-")[2].isdigit(), "it has a ledger entry"
    assert "pulled" not in lines


def test_what_is_listed_is_the_approved_definition(gateway):
    tool = next(one for one in modern(gateway, "tools/list").json["result"]["tools"] if one["name"] == "append")
    assert set(tool) == {"name", "description", "inputSchema", "outputSchema"}
    assert tool["description"] == "Writes a line."


# --- clients that go away ---


def test_a_client_that_goes_away_holds_no_place(gateway):
    pool = gateway.gateway.pool

    def taken():
        return sum(lane.taken for lane in pool._lanes.values())

    wait_until(lambda: taken() == 0)
    params = {"name": "slow", "arguments": {"seconds": 25}, "_meta": META}
    body = json.dumps(rpc("tools/call", params)).encode()
    head = {
        **ACCEPT,
        "host": "127.0.0.1",
        "authorization": f"Bearer {gateway.token()}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "slow",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    leaving = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(4)]
    for connection in leaving:
        connection.sendall(f"POST /mcp/{UPSTREAM} HTTP/1.1\r\n{lines}\r\n".encode() + body)
    wait_until(lambda: taken() == len(leaving))
    for connection in leaving:
        connection.close()
    wait_until(lambda: taken() == 0, 15)


def test_a_stream_that_is_not_read_ends_without_the_others():
    async def work():
        slow, quick = Outlet(), Outlet()
        for number in range(2 * WAITING_MAX):
            slow.put({"n": number})
        quick.put({"n": 0})
        assert await quick.stirred(5)
        assert len(quick.taken()) == 1
        await asyncio.sleep(0)
        return slow

    slow = asyncio.run(work())
    assert slow.is_over
    assert len(slow.taken()) == WAITING_MAX


def test_no_principal_ends_the_sessions_of_another():
    sessions = Sessions()
    sessions.add("other", McpSession("agent:other", "up", "2025-11-25"))
    for number in range(2 * SESSIONS_EACH_MAX):
        sessions.add(str(number), McpSession("agent:many", "up", "2025-11-25"))
    assert sessions.find("other", "up") is not None
    assert sessions.find("0", "up") is None
    assert sessions.find(str(2 * SESSIONS_EACH_MAX - 1), "up") is not None
    assert sessions.find("other", "elsewhere") is None
    sessions.remove("other")
    sessions.remove("other")
    assert sessions.find("other", "up") is None


def test_what_a_session_keeps_is_bounded():
    session = McpSession("agent:many", "up", "2025-11-25")
    for number in range(2 * FOLLOWED_MAX):
        for uri in (f"{number}".zfill(8_192), f"{number}".zfill(8_193), number):
            params = {"uri": uri, "capabilities": {"0": {}}}
            _remember(session, Message(jsonrpc="2.0", id=1, method="resources/subscribe", params=params))
    assert sorted(session.uris) == [f"{number}".zfill(8_192) for number in range(FOLLOWED_MAX)]
    assert not hasattr(session, "capabilities"), "1 MiB of them would be kept for as long as the session lasts"


def test_what_a_client_follows_ends_with_its_session_and_no_other_ends_it(gateway):
    subscriptions = [f"{UPSTREAM}.resources/subscribe", f"{UPSTREAM}.resources/unsubscribe"]
    register(gateway.scene, "follower", subscriptions)
    follower = gateway.token("agent:follower", "following")
    uri = "test://watched-by-two"
    followed = gateway.gateway.joined.executors[f"upstream:{UPSTREAM}"].link._followed
    mine, _ = begin(gateway)
    theirs, _ = begin(gateway, token=follower)
    assert "result" in in_session(gateway, mine, "resources/subscribe", {"uri": uri}).json
    assert "result" in in_session(gateway, theirs, "resources/subscribe", {"uri": uri}, token=follower).json
    assert "result" in in_session(gateway, theirs, "resources/unsubscribe", {"uri": uri}, token=follower).json
    assert uri in followed.uris()
    assert gateway.send("DELETE", f"/mcp/{UPSTREAM}", headers={**ACCEPT, "mcp-session-id": mine}).status == 200
    wait_until(lambda: uri not in followed.uris())


def test_what_a_stream_follows_ends_with_it(gateway):
    uri = "test://watched-by-a-stream"
    followed = gateway.gateway.joined.executors[f"upstream:{UPSTREAM}"].link._followed

    async def listening(session):
        async with session.listen(resource_subscriptions=[uri]):
            await asyncio.to_thread(wait_until, lambda: uri in followed.uris())

    worked(gateway, listening)
    wait_until(lambda: uri not in followed.uris())


def test_arguments_that_are_too_large_are_refused_before_anything_is_looked_for_in_them(gateway, monkeypatch):
    seen = []
    canonical = Redactor.canonical
    monkeypatch.setattr(Redactor, "canonical", lambda own, value: seen.append(value) or canonical(own, value))
    line = "a@b.co " * 20_000
    result = call(gateway, "append", {"line": line})
    assert result["structuredContent"]["code"] == "invalid_parameters"
    assert result["isError"] is True
    assert not any(line in str(value) for value in seen)


def test_a_key_is_derived_where_no_other_client_waits_for_it(gateway, monkeypatch):
    threads = []

    def derived(*given):
        threads.append(threading.current_thread())
        return derived_key(*given)

    monkeypatch.setattr("bywire.api.mcp_server.derived_key", derived)
    call(gateway, "append", {"line": "derived"}, token=gateway.token(run="derived"))
    assert len(threads) == 1
    assert threads[0] in gateway.gateway.pool._lanes[f"upstream:{UPSTREAM}"].threads


def test_a_surface_redacts_as_the_operator_said(gateway):
    assert McpServer(gateway.gateway).redactor._settings is gateway.gateway.settings.inspection
