"""`/route/NAME/...`: the agent's own requests, decided by parameter, made anew with a credential it never sees."""

import gzip
import hashlib
import json
import time

import pytest
from egress_world import says
from route_world import CREDENTIAL, ROUTER, TEXT, routed, schema, tool

from bywire.api.route_reading import Table
from bywire.gateway.contract import Catalogue, Contract
from bywire.model.connection import Route
from bywire.model.errors import ConfigError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, routed(tmp_path_factory.mktemp("routes"), patch) as made:
        yield made


@pytest.fixture
def shop(world, request):
    """Sends as an agent in a run of its own: what one test reads must not taint the next."""
    gateway, api = world
    api.seen.clear()
    api.answer = says(200, b'{"ok": true}', [("Content-Type", "application/json")])
    token = gateway.token(ROUTER, hashlib.sha256(request.node.name.encode()).hexdigest()[:24])

    def send(method, path, body=None, **more):
        return gateway.send(method, f"/route/shop{path}", body, token=token, **more)

    send.gateway, send.api, send.token = gateway, api, token
    return send


def seen(shop):
    ((method, path, headers, body),) = shop.api.seen
    return method, path, {name.lower(): value for name, value in headers}, body


def test_a_read_is_made_anew_with_the_credential_and_nothing_of_the_agents(shop):
    answer = shop(
        "GET",
        "/orders?limit=5&open=true&tag=a&tag=b",
        headers={
            "Cookie": "session=1",
            "X-Forwarded-For": "10.0.0.1",
            "Forwarded": "for=10.0.0.1",
            "Proxy-Authorization": "Basic eA==",
            "X-Own": "1",
            "TE": "trailers",
            "User-Agent": "agent/1",
        },
    )
    assert (answer.status, answer.json) == (200, {"ok": True})
    method, path, headers, body = seen(shop)
    assert (method, path, body) == ("GET", "/orders?limit=5&open=true&tag=a&tag=b", b"")
    assert headers["authorization"] == f"Bearer {CREDENTIAL}"
    assert shop.token not in str(shop.api.seen)
    assert not {"cookie", "x-forwarded-for", "forwarded", "proxy-authorization", "x-own", "te"} & set(headers)
    assert headers["user-agent"] == "bywire"
    assert answer.headers["bywire-decision-id"]
    assert answer.headers["bywire-trust"] == "untrusted_runtime_output"


def test_a_write_carries_its_key_and_happens_once(shop):
    first = shop("POST", "/jobs/nightly/restart", {"note": "x"}, headers={"Idempotency-Key": "r-1"})
    again = shop("POST", "/jobs/nightly/restart", {"note": "x"}, headers={"Idempotency-Key": "r-1"})
    assert (first.status, again.status) == (200, 200), first
    assert (first.headers["bywire-replayed"], again.headers["bywire-replayed"]) == ("false", "true")
    method, path, headers, body = seen(shop)
    assert (method, path, json.loads(body)) == ("POST", "/jobs/nightly/restart", {"note": "x"})
    assert headers["idempotency-key"]
    other = shop("POST", "/jobs/nightly/restart", {"note": "y"}, headers={"Idempotency-Key": "r-1"})
    assert (other.status, other.code) == (409, "conflict")


@pytest.mark.parametrize(
    ("path", "tool"),
    [
        ("/orders/newest", "/orders/newest"),
        ("/orders/17", "/orders/17"),
        ("/files/a/b.txt", "/files/a/b.txt"),
        ("/files/a", "/files/a"),
    ],
)
def test_the_most_specific_contract_is_the_one(shop, path, tool):
    assert shop("GET", path).status == 200
    assert seen(shop)[1] == tool


def test_two_contracts_that_cannot_be_told_apart_are_refused_at_load():
    def made(name, method, path):
        return Contract(name, "read", "upstream:shop", {"type": "object"}, upstream="shop", request=Route(method, path))

    for one, other in [
        ("/a/{x}", "/a/{y}"),
        ("/a/{x}/c", "/a/b/{y}"),
        ("/{+x}", "/{+y}"),
        ("/{+x}/z", "/a/{+y}"),
        ("/a", "/a"),
    ]:
        with pytest.raises(ConfigError, match="can be the same request"):
            Table(Catalogue((made("shop.one", "GET", one), made("shop.two", "GET", other))), ["shop"])
    for one, other in [
        ("/a/{x}", "/a/b"),
        ("/a/{+x}", "/a/{y}"),
        ("/a/{x}", "/b/{x}"),
        ("/a", "/a/b"),
        ("/{+x}", "/{+y}/z"),
    ]:
        Table(Catalogue((made("shop.one", "GET", one), made("shop.two", "GET", other))), ["shop"])
    Table(Catalogue((made("shop.one", "GET", "/a"), made("shop.two", "POST", "/a"))), ["shop"])


@pytest.mark.parametrize(
    "path",
    [
        "/orders/%2e%2e/admin",
        "/orders/%2E%2e",
        "/orders/../admin",
        "/orders/./1",
        "/orders//1",
        "//orders",
        "/orders/",
        "/labels/1;admin=true",
        "/labels/1%3badmin",
        "/orders\\1",
        "/labels/a%5cb",
        "/labels/%00",
        "/labels/1%00.json",
        "/labels/%0d%0aX-Evil:1",
        "/labels/%252e%252e",
        "/labels/%c0%ae%c0%ae",
        "/labels/%ff",
        "/orders/%zz",
        "/orders/%",
        "/files/a/%2e%2e/b",
        "/files/a%2f..%2fb",
        "/files/%2fetc/passwd",
        "/labels/a%2fb",
        "/projects/a%2f..%2fb",
        "/orders/1|2",
        "/orders/" + "a" * 3000,
        "/files/" + "a/" * 40 + "b",
    ],
)
def test_a_path_with_two_readings_reaches_nothing(shop, path):
    answer = shop("GET", path)
    assert (answer.status, answer.code) == (400, "invalid_parameters")
    assert shop.api.seen == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ORDERS"),
        ("GET", "/Orders/1"),
        ("GET", "/admin"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/orders/1/2"),
        ("POST", "/orders"),
        ("DELETE", "/orders/1"),
        ("HEAD", "/orders"),
        ("OPTIONS", "/orders"),
        ("GET", "/jobs/a/restart"),
    ],
)
def test_what_no_contract_is_is_an_unknown_tool_and_on_record(shop, method, path):
    answer = shop(method, path)
    assert answer.status == 404
    if method != "HEAD":
        assert answer.code == "unknown_tool"
        assert answer.json["error"]["decision_id"]
    assert shop.api.seen == []


def test_another_spelling_of_the_prefix_leads_nowhere(shop):
    for path in ("/%72oute/shop/orders", "/route%2fshop/orders"):
        assert shop.gateway.send("GET", path, token=shop.token).status in {400, 404}
    assert shop.api.seen == []


def test_an_upstream_that_does_not_exist_is_none(shop):
    for path in ("/route/nobody/orders", "/route/", "/route/SHOP/orders", "/route/sh%6fp/orders"):
        answer = shop.gateway.send("GET", path, token=shop.token)
        assert (answer.status, answer.code) == (404, "unknown_tool"), path


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_nobody_is_answered_without_a_token(shop, token):
    for path in ("/orders", "/nothing"):
        answer = shop.gateway.send("GET", f"/route/shop{path}", token=token)
        assert (answer.status, answer.code) == (401, "unauthenticated")
    assert shop.api.seen == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=1&limit=2",
        "limit=1;open=true",
        "limit=%zz",
        "limit",
        "unknown=1",
        "Limit=1",
        "limit=abc",
        "limit=1e2",
        "limit=0x10",
        "limit=%2b5",
        "limit=1000",
        "open=1",
        "_method=DELETE",
        "limit=1&_method=DELETE",
        "tag=%ff",
        "a=1&" * 200,
        "limit=\u0663".encode().decode("latin-1"),
    ],
)
def test_a_query_with_two_readings_or_no_place_reaches_nothing(shop, query):
    try:
        answer = shop("GET", f"/orders?{query}")
    except UnicodeEncodeError:
        return
    assert (answer.status, answer.code) == (400, "invalid_parameters")
    assert shop.api.seen == []


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"]
)
def test_a_request_that_asks_to_be_another_is_refused(shop, header):
    answer = shop("GET", "/orders", headers={header: "DELETE"})
    assert (answer.status, answer.code) == (400, "invalid_parameters")
    assert shop.api.seen == []


def test_a_body_on_a_get_is_refused(shop):
    assert shop("GET", "/orders", {"limit": 1}).code == "invalid_parameters"
    assert shop.api.seen == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"{}"),
        ("", b'{"note": "x"}'),
        ("application/x-www-form-urlencoded", b"note=x"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("application/json; charset=utf-16", b'{"note": "x"}'),
        ("application/json", b"[1]"),
        ("application/json", b'"note"'),
        ("application/json", b'{"note": "x"'),
        ("application/json", b'{"note": "a", "note": "b"}'),
        ("application/json", b'{"note": NaN}'),
        ("application/json", b'{"note": "\xff"}'),
        ("application/json", b"[" * 5000),
        ("application/json", b'{"note": "x", "job": "other"}'),
        ("application/json", b'{"_method": "DELETE"}'),
        ("application/json", b'{"unknown": 1}'),
        ("application/json", b'{"note": 5}'),
    ],
)
def test_a_body_with_two_readings_or_no_place_reaches_nothing(shop, kind, body):
    answer = shop("POST", "/jobs/a/restart", body, headers={"content-type": kind, "Idempotency-Key": "b-1"})
    assert answer.status in {400, 415}
    assert answer.code == "invalid_parameters"
    assert shop.api.seen == []


def test_an_override_in_an_open_body_is_refused(shop):
    assert shop("POST", "/open", {"_method": "DELETE"}).code == "invalid_parameters"
    assert shop.api.seen == []


def test_an_encoded_body_is_refused(shop):
    answer = shop("POST", "/jobs/a/restart", b"{}", headers={"Content-Encoding": "gzip"})
    assert answer.code == "invalid_parameters"
    assert shop.api.seen == []


def test_a_form_is_read_and_sent_as_one(shop):
    kind = {"content-type": "application/x-www-form-urlencoded", "Idempotency-Key": "f-1"}
    answer = shop("PUT", "/jobs/a", b"to=b+c%26&count=3", headers=kind)
    assert answer.status == 200, answer
    _, path, headers, body = seen(shop)
    assert (path, headers["content-type"], body) == (
        "/jobs/a",
        "application/x-www-form-urlencoded",
        b"count=3&to=b+c%26",
    )
    for body in (b"to=a&to=b", b"to=a;count=1", b"job=other", b"_method=DELETE", b"to=%zz"):
        assert shop("PUT", "/jobs/a", body, headers=kind).code == "invalid_parameters"


def test_a_slash_inside_a_segment_is_a_value_only_where_the_contract_says_so(shop):
    assert shop("GET", "/projects/team%2fshop").status == 200
    assert seen(shop)[1] == "/projects/team%2Fshop"
    for path in ("/orders/1%2Fsecrets", "/jobs/a%2Fb", "/projects/team%2Fshop%3Fx", "/files/a%23b"):
        assert shop("GET", path).status in {400, 404}
    assert shop("PUT", "/jobs/a%2Fb", {}, headers={"Idempotency-Key": "s-1"}).code == "invalid_parameters"
    assert len(shop.api.seen) == 1


@pytest.mark.parametrize("value", ["1/secrets", "1%2Fsecrets", "1?all=1", "..", "a\\b"])
def test_a_call_by_name_is_no_other_request_for_a_server_that_decodes_before_it_routes(shop, value):
    called = shop.gateway.post(
        "/v1/call", {"tool": "shop.get_label", "parameters": {"name": value}, "key": f"k-{value}"}, token=shop.token
    )
    assert called.status != 200, called
    assert shop.api.seen == []


def test_only_the_headers_that_the_contract_names_travel(shop):
    assert (
        shop("GET", "/pick", headers={"Accept": "text/csv", "If-Match": "x", "X-GitHub-Api-Version": "1"}).status == 200
    )
    headers = seen(shop)[2]
    assert headers["accept"] == "text/csv"
    assert not {"if-match", "x-github-api-version"} & set(headers)


def test_a_header_cannot_end_its_line(shop):
    answer = shop.gateway.raw(
        b"GET /route/shop/pick HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
        + shop.token.encode()
        + b"\r\nAccept: text/csv\rX-Evil: 1\r\nConnection: close\r\n\r\n"
    )
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert shop.api.seen == []


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Content-Length: +2\r\n",
    ],
)
def test_a_message_with_two_ends_is_refused(shop, framing):
    smuggled = b"0\r\n\r\nGET /route/shop/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n\r\n"
    answer = shop.gateway.raw(
        b"POST /route/shop/jobs/a/restart HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        + b"Authorization: Bearer %b\r\n%b\r\n%b" % (shop.token.encode(), framing, smuggled % shop.token.encode()),
        seconds=5,
    )
    assert answer.count(b"HTTP/1.1 200") == 0, answer
    assert shop.api.seen == []


# --- what comes back ---


def test_rule_23_a_credential_that_comes_back_is_taken_out(shop):
    body = json.dumps({"you": f"Bearer {CREDENTIAL}", CREDENTIAL: [CREDENTIAL]}).replace("7f3a", "7\\u0066\\u0033a")
    shop.api.answer = says(200, body.encode(), [("Content-Type", "application/json"), ("ETag", CREDENTIAL)])
    answer = shop("GET", "/orders")
    assert CREDENTIAL not in str(answer)
    assert answer.json == {"you": "Bearer [credential]", "[credential]": ["[credential]"]}
    for status in (404, 500):
        shop.api.answer = says(status, f"no {CREDENTIAL}".encode())
        answer = shop("GET", "/orders")
        assert (answer.status, answer.body) == (status, b"no [credential]")


def test_secrets_of_others_are_told_by_their_kind_in_the_upstreams_own_shape(shop):
    key = "AKIA" + "ABCDEFGHIJKLMNOP"
    shop.api.answer = says(
        200, json.dumps({"a": [f"key {key}"], "n": 1}).encode(), [("Content-Type", "application/json")]
    )
    assert key not in str(shop("GET", "/orders"))
    assert shop("GET", "/orders").json["n"] == 1
    assert isinstance(shop("GET", "/orders").json["a"][0], str)


def test_what_would_speak_for_the_upstream_or_as_a_page_does_not_come_back(shop):
    shop.api.answer = says(
        200,
        b"<script>alert(1)</script>",
        [("Content-Type", "text/html"), ("Set-Cookie", "a=b"), ("WWW-Authenticate", "Basic"), ("Link", "<a>"),
         ("Access-Control-Allow-Origin", "*"), ("Clear-Site-Data", "*"), ("Alt-Svc", "h3")],
    )  # fmt: skip
    answer = shop("GET", "/orders")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["link"] == "<a>"
    gone = {"set-cookie", "www-authenticate", "access-control-allow-origin", "clear-site-data", "alt-svc"}
    assert not gone & set(answer.headers)


@pytest.mark.parametrize(
    ("status", "given"),
    [(404, 404), (409, 409), (422, 422), (401, 502), (407, 502), (500, 500), (503, 503), (429, 429)],
)
def test_a_refusal_of_a_read_is_the_upstreams(shop, status, given):
    body = json.dumps({"message": "no"}).encode()
    shop.api.answer = says(status, body, [("Content-Type", "application/json"), ("Retry-After", "7")])
    answer = shop("GET", "/orders")
    assert answer.status == given
    if given == status:
        assert answer.json == {"message": "no"}
        assert answer.headers["retry-after"] == "7"
    else:
        assert answer.code == "upstream_failed"


@pytest.mark.parametrize(("status", "code"), [(409, 409), (422, 422), (503, 503), (500, 504), (502, 504), (302, 504)])
def test_a_write_that_the_upstream_failed_at_is_nobodys_knowledge(shop, status, code):
    shop.api.answer = says(status, b"oh", [("Location", "/elsewhere")])
    answer = shop("POST", "/jobs/a/restart", {}, headers={"Idempotency-Key": f"w-{status}"})
    assert answer.status == code, answer
    if code == 504:
        assert answer.code == "outcome_unknown"
    assert len(shop.api.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_rule_23_a_redirect_leads_nowhere(shop, status):
    shop.api.answer = says(status, b"", [("Location", "http://169.254.169.254/")])
    answer = shop("GET", "/orders")
    assert (answer.status, answer.code) == (502, "upstream_failed")
    assert "location" not in answer.headers
    assert len(shop.api.seen) == 1


def test_a_packed_answer_is_not_unpacked(shop):
    bomb = gzip.compress(b"\0" * 50_000_000)
    shop.api.answer = says(200, bomb, [("Content-Encoding", "gzip"), ("Content-Type", "application/json")])
    answer = shop("GET", "/orders")
    assert (answer.status, answer.code) == (502, "upstream_failed")
    assert seen(shop)[2]["accept-encoding"] == "identity"
    shop.api.answer = says(200, b"looks like text", [("Content-Encoding", "br")])
    assert shop("GET", "/orders").code == "upstream_failed"


@pytest.mark.parametrize(
    "body", [b"x" * 1_100_000, b"x" * 20_000_000, b"\xff\xfe\x00"], ids=["large", "huge", "no text"]
)
def test_what_cannot_be_handed_on_whole_is_not_handed_on(shop, body):
    shop.api.answer = says(200, body)
    answer = shop("GET", "/orders")
    assert (answer.status, answer.code) == (502, "upstream_failed")


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a": 1e999}', b'{"a": 123456789012345678901234567890}', b'{"a": 1, "a": 2}', b"{", b""]
)
def test_what_calls_itself_json_and_is_not_stays_as_it_was(shop, body):
    shop.api.answer = says(200, body, [("Content-Type", "application/json")])
    answer = shop("GET", "/orders")
    assert answer.status == 200
    if b'"a": 2' not in body:
        assert answer.body == body


def test_an_answer_that_never_ends_is_given_up(tmp_path, monkeypatch):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b".")
            handler.wfile.flush()
            time.sleep(0.1)

    with routed(tmp_path, monkeypatch, timeout_seconds=1) as (gateway, api):
        api.answer = drip
        begun = time.monotonic()
        read = gateway.send("GET", "/route/shop/orders", token=gateway.token(ROUTER, "r1"))
        assert (read.status, read.code) == (502, "upstream_failed")
        write = gateway.send("POST", "/route/shop/jobs/a/restart", {}, token=gateway.token(ROUTER, "r2"))
        assert (write.status, write.code) == (504, "outcome_unknown")
        assert time.monotonic() - begun < 8


def test_an_approval_is_told_and_the_same_key_resumes_once(tmp_path, monkeypatch):
    with routed(tmp_path, monkeypatch, environment="production") as (gateway, api):
        token = gateway.token(ROUTER, "run-9")
        send = lambda version: gateway.send(
            "POST", "/route/shop/deploy", {"version": version}, token=token, headers={"Idempotency-Key": "d-1"}
        )
        waiting = send("1.2")
        assert (waiting.status, waiting.code) == (202, "approval_needed")
        said = waiting.json["error"]
        assert said["retry"]["key"] == "d-1"
        assert said["approval"]["url"].endswith(said["approval"]["id"])
        assert api.seen == []
        assert gateway.scene.approve(said["approval"]["id"]).code == 0
        assert send("1.2").status == 200
        assert send("1.2").headers["bywire-replayed"] == "true"
        assert len(api.seen) == 1
        assert send("1.3").code == "conflict"


def test_an_upstream_below_a_path_stays_there(tmp_path, monkeypatch):
    with routed(tmp_path, monkeypatch, below="/api/v4/") as (gateway, api):
        assert gateway.send("GET", "/route/shop/orders", token=gateway.token(ROUTER)).status == 200
        assert api.seen[0][1] == "/api/v4/orders"


def test_what_is_ambiguous_is_not_served(tmp_path, monkeypatch):
    twins = [
        tool("one", "GET", "/a/{x}", schema(["x"], x=TEXT)),
        tool("two", "GET", "/a/{name}", schema(["name"], name=TEXT)),
    ]
    with pytest.raises(ConfigError, match="same request"), routed(tmp_path, monkeypatch, tools=twins):
        pass
