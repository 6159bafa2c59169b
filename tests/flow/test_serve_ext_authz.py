"""Envoy's check, as Envoy sends it: the client's method, path, Host and headers below a prefix."""

import pytest
from serving import prepared, served


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    scene = prepared(tmp_path_factory.mktemp("envoy") / "scene", upstream_url="http://shop.example:8080")
    with served(scene) as running:
        yield running
    scene.close()


def check(gateway, method, path, *, host="shop.example", body=None, **headers):
    sent = {"host": host, "x-envoy-auth-partial-body": "false", "content-length": str(len(body or b""))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    named = {name: value for name, value in sent.items() if value is not None}
    return gateway.send(method, path, body, headers=named)


@pytest.mark.parametrize("path", ["/ext_authz/route/shop/orders?limit=3", "/ext_authz/host/orders?limit=3"])
def test_an_allowed_request_goes_on_without_its_token(gateway, path):
    answer = check(gateway, "GET", path)
    assert answer.status == 200, answer
    assert answer.headers["x-envoy-auth-headers-to-remove"] == "authorization"
    assert answer.headers["x-bywire-decision-id"]
    assert "x-bywire-intent" not in answer.headers


def test_an_allowed_write_names_its_intent_and_a_retry_is_no_second_permit(gateway):
    path = "/ext_authz/route/shop/jobs/a/restart"
    answer = check(gateway, "POST", path, body=b"", x_request_id="e-1")
    assert answer.status == 200, answer
    intent = answer.headers["x-bywire-intent"]
    assert gateway.gateway.workspace.journal.find(intent).state == "intended"
    again = check(gateway, "POST", path, body=b"", x_request_id="e-1")
    assert (again.status, again.code) == (504, "outcome_unknown")


@pytest.mark.parametrize("reported", ["committed", "failed", "unknown"])
def test_rule_12_a_permit_that_was_used_lets_nothing_through_again(gateway, reported):
    path, key = "/ext_authz/route/shop/jobs/a/restart", f"spent-{reported}"
    intent = check(gateway, "POST", path, body=b"", x_request_id=key).headers["x-bywire-intent"]
    # The reporter writes what it likes; a permit is what the door says, and only once.
    said = {"permitted": True, "intent": intent, "deadline_ms": 1, "parameters": {"job": "a"}}
    assert gateway.post("/v1/report", {"intent": intent, "status": reported, "result": said}).status == 200
    for _ in range(2):
        again = check(gateway, "POST", path, body=b"", x_request_id=key)
        assert again.status in {409, 502, 504}
        assert "x-bywire-intent" not in again.headers


def unmarked(gateway, method, path, **headers):
    """As Envoy asks about a request without a body: it says nothing of one."""
    return check(gateway, method, path, x_envoy_auth_partial_body=None, **headers)


def test_a_request_without_a_body_goes_on_where_the_operator_says_that_bodies_are_shown(gateway):
    answer = unmarked(gateway, "POST", "/ext_authz/whole/route/shop/jobs/a/restart", x_request_id="bare-1")
    assert answer.status == 200, answer
    assert answer.headers["x-bywire-intent"]
    answer = unmarked(gateway, "DELETE", "/ext_authz/whole/host/orders")
    assert (answer.status, answer.code) == (403, "unknown_tool")
    # The operator's word says that bodies are shown, not that a part of one is enough.
    answer = check(gateway, "POST", "/ext_authz/whole/host/deploy", body=b"{}", x_envoy_auth_partial_body="true")
    assert answer.status == 413


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/ext_authz/route/shop/jobs/a/restart", {}),
        ("/ext_authz/host/jobs/a/restart", {}),
        ("/ext_authz/host/whole/route/shop/jobs/a/restart", {}),
        ("/ext_authz/route/shop/ext_authz/whole/route/shop/jobs/a/restart", {}),
        ("/ext_authz/whole/route/shop/jobs/a/restart", {"upgrade": "h2c"}),
        ("/ext_authz/whole/route/shop/jobs/a/restart", {"http2_settings": "AAMAAABkAAQAAP__"}),
        ("/ext_authz/whole/route/shop/jobs/a/restart", {"x_envoy_auth_partial_body": ""}),
    ],
)
def test_what_a_client_can_write_is_not_the_operators_word_on_bodies(gateway, path, headers):
    answer = check(gateway, "POST", path, **{"x_envoy_auth_partial_body": None, **headers})
    assert answer.status in {403, 413}
    assert "x-bywire-intent" not in answer.headers


def test_what_needs_a_person_does_not_go_on(gateway):
    body = b'{"version": "7"}'
    answer = check(gateway, "POST", "/ext_authz/host/deploy", body=body, x_request_id="e-2")
    assert (answer.status, answer.code) == (403, "approval_needed")


@pytest.mark.parametrize(
    "more", [{"bywire_dry_run": "true"}, {"bywire_dry_run": "yes"}, {"bywire_dryrun": "true"}, {"bywire_tokens": "-1"}]
)
def test_rule_10_a_dry_run_is_no_permit_that_envoy_would_carry_out(gateway, more):
    path, key = "/ext_authz/route/shop/jobs/a/restart", f"dry-{more}"
    answer = check(gateway, "POST", path, body=b"", x_request_id=key, **more)
    assert (answer.status, answer.code) == (400, "invalid_parameters")
    wet = {"bywire_dry_run": "false", "bywire_tokens": "7"}
    assert check(gateway, "GET", "/ext_authz/host/orders?limit=3", **wet).status == 200


def test_a_request_that_is_no_tool_does_not_go_on(gateway):
    answer = check(gateway, "DELETE", "/ext_authz/host/orders")
    assert (answer.status, answer.code) == (403, "unknown_tool")


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/ext_authz/host/orders", "other.example"),
        ("/ext_authz/route/other/orders", "shop.example"),
        ("/ext_authz/orders", "shop.example"),
        ("/ext_authz/host/shop/orders", "other.example"),
        ("/ext_authz/hostile/orders", "shop.example"),
    ],
)
def test_an_upstream_that_is_not_ours_is_refused(gateway, path, host):
    answer = check(gateway, "GET", path, host=host)
    assert (answer.status, answer.code) == (403, "unknown_tool")


def test_a_body_that_envoy_holds_back_is_refused(gateway):
    for value in ("true", "", "False"):
        answer = check(gateway, "POST", "/ext_authz/host/deploy", body=b"{}", x_envoy_auth_partial_body=value)
        assert (answer.status, answer.code) == (413, "invalid_parameters")


def test_without_a_token_nothing_is_checked_whatever_the_host(gateway):
    answer = gateway.send("GET", "/ext_authz/host/orders", token="", headers={"host": "shop.example"})
    assert (answer.status, answer.code) == (401, "unauthenticated")


@pytest.mark.parametrize(
    "path",
    [
        "/ext_authz/host/orders/../deploy",
        "/ext_authz/host//orders",
        "/ext_authz/host/%2e%2e/orders",
        "/ext_authz/host/orders;x",
        "/ext_authz/host/orders?limit=1&limit=2",
        "/ext_authz/%72oute/shop/orders",
    ],
)
def test_a_path_with_two_readings_does_not_go_on(gateway, path):
    assert check(gateway, "GET", path).status in {400, 403}


def test_another_request_in_a_header_does_not_go_on(gateway):
    answer = check(gateway, "GET", "/ext_authz/host/orders", x_http_method_override="DELETE")
    assert (answer.status, answer.code) == (400, "invalid_parameters")
