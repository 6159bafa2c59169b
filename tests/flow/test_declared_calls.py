"""What a caller declares of its call reaches the door from MCP and plain HTTP, and does there what the docs say."""

import hashlib

import pytest
from egress_world import says
from mcp_world import META, call, gated, modern
from route_world import ROUTER, routed

DIGESTS = ["a" * 64, "b" * 64]
BUDGETS = [{"scope": f"agent:{name}", "unit": "tokens", "per_day": 100} for name in ("fixer", "router")]
HEARD = {"change": "CHG-7", "plan": "p" * 64, "evidence": tuple(DIGESTS), "tokens": 7, "dry_run": True}


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def mcp(tmp_path_factory, lines):
    with gated(tmp_path_factory.mktemp("mcp") / "scene", lines, budgets=BUDGETS) as running:
        yield running


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, routed(tmp_path_factory.mktemp("routes"), patch) as (running, api):
        yield running, api


def heard(running, monkeypatch):
    """The asks that reach the gateway, which answers as ever."""
    asks, through = [], running.gateway.call

    def call_and_keep(token, ask):
        asks.append(ask)
        return through(token, ask)

    monkeypatch.setattr(running.gateway, "call", call_and_keep)
    return asks


def said(asks):
    (ask,) = asks
    return {name: getattr(ask, name) for name in HEARD}


def declared(gateway, line, run, **meta):
    keys = {f"bywire/{name}": value for name, value in meta.items()}
    return call(gateway, "append", {"line": line}, token=gateway.token(run=run), meta=keys)


def test_every_key_of_meta_reaches_the_door(mcp, monkeypatch):
    asks = heard(mcp, monkeypatch)
    declared(mcp, "all", "all", key="k-1", **{**HEARD, "evidence": DIGESTS})
    assert said(asks) == HEARD
    assert asks[0].key == "k-1"


def test_a_dry_run_says_what_would_be_and_does_nothing(mcp, lines):
    tried = declared(mcp, "dry", "dry", dry_run=True)
    assert tried["structuredContent"] == {"dry_run": True}
    assert "dry" not in lines
    assert declared(mcp, "dry", "dry").get("isError", False) is False
    assert lines.count("dry") == 1


def test_declared_tokens_are_charged_and_a_budget_of_them_holds(mcp, lines):
    assert declared(mcp, "tokens 1", "t", tokens=60).get("isError", False) is False
    denied = declared(mcp, "tokens 2", "t", tokens=60)
    assert denied["structuredContent"]["code"] == "policy_denied"
    assert "tokens" in denied["structuredContent"]["reason"]
    assert [line for line in lines if line.startswith("tokens")] == ["tokens 1"]


@pytest.mark.parametrize("meta", [{"dry_run": "true"}, {"tokens": "5"}, {"evidence": "x"}, {"plan": 7}])
def test_rule_08_what_is_misspelt_in_meta_is_not_called(mcp, lines, meta):
    params = {"name": "append", "arguments": {"line": "misspelt"}}
    keys = {f"bywire/{name}": value for name, value in meta.items()}
    answer = modern(mcp, "tools/call", params, meta={**META, **keys}).json
    assert answer["error"]["code"] == -32602
    assert f"bywire/{next(iter(meta))}" in answer["error"]["message"]
    assert "misspelt" not in lines


HEADERS = {
    "bywire-change": "CHG-7",
    "bywire-plan": "p" * 64,
    "bywire-evidence": ",".join(DIGESTS),
    "bywire-tokens": "7",
    "bywire-dry-run": "true",
}


def restart(http, job, run="a", **headers):
    running, api = http
    api.seen.clear()
    api.answer = says(200, b'{"ok": true}', [("Content-Type", "application/json")])
    token = running.token(ROUTER, hashlib.sha256(run.encode()).hexdigest()[:24])
    return running.send("POST", f"/route/shop/jobs/{job}/restart", {}, token=token, headers=headers)


def test_every_header_reaches_the_door_and_none_the_upstream(http, monkeypatch):
    asks = heard(http[0], monkeypatch)
    restart(http, "a", **HEADERS)
    assert said(asks) == HEARD
    restart(http, "b", **{"bywire-tokens": "7"})
    ((_, _, sent, _),) = http[1].seen
    assert not [name for name, _ in sent if name.lower().startswith("bywire-")]


def test_a_dry_run_on_a_route_is_told_apart_from_the_upstreams_answer(http):
    tried = restart(http, "c", **{"bywire-dry-run": "true"})
    assert (tried.status, tried.json, tried.headers["bywire-dry-run"]) == (200, {"dry_run": True}, "true")
    assert http[1].seen == []
    done = restart(http, "c")
    assert (done.status, done.json) == (200, {"ok": True})
    assert "bywire-dry-run" not in done.headers


@pytest.mark.parametrize(
    "header", [{"bywire-dry-run": "yes"}, {"bywire-dryrun": "true"}, {"bywire-tokens": "many"}, {"bywire-evidence": ""}]
)
def test_rule_08_what_is_misspelt_in_a_header_is_not_sent(http, header):
    answer = restart(http, "d", **header)
    assert (answer.status, answer.code) == (400, "invalid_parameters")
    assert next(iter(header)) in answer.body.decode()
    assert http[1].seen == []
