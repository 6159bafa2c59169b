"""Whoever is told a decision's id finds that decision: whatever the answer was, and whichever surface gave it."""

import json

import pytest
import yaml
from bywire_sdk import Client, GatewayError, governed
from mcp_world import UPSTREAM as MCP
from mcp_world import contract, everything, listing, modern, write_contracts
from scene import Scene
from serving import CONTRACTS, TOOLS, register, served

from bywire.adapters.sqlite_decisions import ENTRIES_SEARCHED_MAX
from bywire.adapters.sqlite_journal import READS_BUFFERED_MAX
from bywire.model.ask import Ask
from bywire.wiring.hooks import There

LOCAL = {
    "version": 1,
    "upstream": "local",
    "environment": "non-production",
    "tools": [
        {
            "name": name, "category": category, "risk": risk, "reviewed": True, "undo": "reversible",
            "rate_per_hour": 500,
            "schema": {
                "type": "object", "additionalProperties": False, "properties": {"text": {"type": "string"}}
            },
        }
        for name, category, risk in (
            ("note", "harmless_reversible", "low"), ("ship", "production_orchestration", "high"),
        )
    ],
}  # fmt: skip
MAIL = "write to ana@example.com"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("ids") / "scene")
    assert scene.bywire("init").code == 0
    scene.configure(environment="non-production", criticality="internal")
    with everything() as url:
        tools = [contract(tool) for tool in listing() if tool["name"] in {"append", "release"}]
        write_contracts(scene, tools, MCP)
        for document in (CONTRACTS, LOCAL):
            (scene.operator / "contracts" / f"{document['upstream']}.yaml").write_text(yaml.safe_dump(document))
        upstreams = [
            {"name": "shop", "kind": "http", "url": "http://127.0.0.1:9", "private": True},
            {"name": MCP, "kind": "mcp", "url": url, "private": True},
        ]
        document = {"version": 1, "listen": {"port": 0}, "upstreams": upstreams}
        (scene.operator / "gateway.yaml").write_text(yaml.safe_dump(document))
        mcp_tools = [f"{MCP}.{tool['name']}" for tool in tools]
        register(scene, "fixer", [*TOOLS, *mcp_tools, "local.note", "local.ship", "get_deployment_status"])
        with served(scene) as running:
            running.scene = scene
            yield running
    scene.close()


def found(world, decision_id, **more):
    """The decision as the control plane shows it."""
    answer = world.send("GET", f"/v1/decisions/{decision_id}", **more)
    assert answer.status == 200, (decision_id, answer)
    assert decision_id in {answer.json["decision"]["id"], (answer.json["sanitized"] or {}).get("decision_id")}
    return answer.json


def v1(path):
    def ask(world, tool, values, key):
        answer = world.post(f"/v1/{path}", {"tool": tool, "parameters": values, "key": key})
        return answer.json.get("error") or answer.json.get("payload") or answer.json

    return ask


def authzen(world, tool, values, key):
    document = {
        "subject": {"type": "agent", "id": "fixer"},
        "action": {"name": tool},
        "resource": {"type": "tool", "id": tool, "properties": values},
        "context": {"key": key},
    }
    answer = world.post("/access/v1/evaluation", document)
    said = answer.json.get("error") or answer.json["context"]
    return said.get("payload", said)


def route(world, tool, values, key):
    answer = world.post(f"/route/shop/{tool.removeprefix('shop.')}", values, headers={"idempotency-key": key})
    return answer.json["error"]


def ext_authz(world, tool, values, key):
    body = json.dumps(values).encode()
    headers = {"host": "shop.example", "x-envoy-auth-partial-body": "false", "x-request-id": key}
    path = f"/ext_authz/route/shop/{tool.removeprefix('shop.')}"
    answer = world.send("POST", path, body, headers=headers | {"content-length": str(len(body))})
    said = answer.json["error"]
    assert answer.headers.get("x-bywire-decision-id", said["decision_id"]) == said["decision_id"]
    return said


def mcp(world, tool, values, key):
    params = {"name": tool.partition(".")[2], "arguments": values}
    result = modern(world, "tools/call", params, meta={"bywire/key": key}).json["result"]
    return result.get("structuredContent") if result.get("isError") else result["_meta"]["bywire/call"]


def mcp_asking(world, tool, values, key):
    """A client that can be shown where a person decides."""
    meta = {"bywire/key": key, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}, "url": {}}}}
    params = {"name": tool.partition(".")[2], "arguments": values}
    return modern(world, "tools/call", params, meta=meta).json["result"]["_meta"]["bywire/payload"]


def sdk(world, tool, values, key):
    with Client(f"http://127.0.0.1:{world.port}", token=world.token()) as client:
        with pytest.raises(GatewayError) as caught:
            client.call(tool, values, key=key)
        return caught.value.payload


def sdk_governed(world, tool, values, key):
    with Client(f"http://127.0.0.1:{world.port}", token=world.token(), run=key) as client:

        @governed(tool=tool, client=client, key=lambda _: key)
        def carried_out(**given):
            raise AssertionError("it was not permitted")

        with pytest.raises(GatewayError) as caught:
            carried_out(**values)
        return caught.value.payload


def hook(world, tool, values, key):
    way = There(f"http://127.0.0.1:{world.port}", world.token())
    try:
        return way.permit(Ask(tool=tool, parameters=values, key=key, surface="hook")).payload
    finally:
        way.close()


SURFACES = {
    "call": (v1("call"), "shop.deploy"),
    "permit": (v1("permit"), "shop.deploy"),
    "advise": (v1("advise"), "shop.deploy"),
    "authzen": (authzen, "shop.deploy"),
    "route": (route, "shop.deploy"),
    "ext_authz": (ext_authz, "shop.deploy"),
    "mcp": (mcp, f"{MCP}.release"),
    "mcp_asking": (mcp_asking, f"{MCP}.release"),
    "sdk": (sdk, "shop.deploy"),
    "sdk_governed": (sdk_governed, "local.ship"),
    "hook": (hook, "local.ship"),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_who_asks_for_the_same_approval_twice_is_told_a_decision_that_is_found(world, surface):
    ask, tool = SURFACES[surface]
    values = {"text": surface} if tool.startswith("local.") else {"version": surface}
    told = [ask(world, tool, values, f"key-{surface}")["decision_id"] for _ in range(3)]
    for decision_id in told:
        shown = found(world, decision_id)
        assert shown["decision"]["effect"] == "approval_needed"
        assert shown["input"]["action"]["tool"] == tool
    if surface != "advise":  # advice is decided and recorded each time
        assert len(set(told)) == 1, "one question has one decision"


def test_another_surface_that_asks_for_the_same_action_is_told_the_same_decision(world):
    ids = {
        SURFACES[name][0](world, "shop.deploy", {"version": "everywhere"}, "key-everywhere")["decision_id"]
        for name in ("call", "authzen", "route", "ext_authz", "sdk")
    }
    assert len(ids) == 1
    found(world, *ids)


def test_rule_12_asking_again_is_decided_anew_and_fills_no_ledger(world):
    asked = {"tool": "shop.deploy", "parameters": {"version": "polled"}, "key": "polled"}
    world.post("/v1/call", asked)
    before = world.gateway.workspace.ledger.entry_count()
    for _ in range(5):
        assert world.post("/v1/call", asked).status == 202
    assert world.gateway.workspace.ledger.entry_count() == before


# (surface, tool, parameters, code or status, effect of the recorded decision)
ANSWERS = [
    ("call", "shop.restart", {"job": "a"}, "upstream_failed", "allow"),
    ("permit", "shop.restart", {"job": "a"}, "permitted", "allow"),
    ("permit", "shop.list_orders", {}, "permitted", "allow"),
    ("permit", "local.note", {"text": MAIL}, "permitted", "allow"),
    ("advise", "shop.nothing", {}, "unknown_tool", "deny"),
    ("advise", "local.note", {"text": "ghp_abcdefghijklmnopqrstuvwxyz0123456789"}, "policy_denied", "deny"),
    ("call", "get_deployment_status", {}, "committed", "allow"),
    ("call", "shop.list_orders", {}, "upstream_failed", "allow"),
    ("call", "local.note", {"text": "x"}, "upstream_failed", "allow"),
    ("call", "shop.nothing", {}, "unknown_tool", "deny"),
    ("call", "rerun_job", {"run_id": "1", "job_id": "t", "failure_fingerprint": "f00"}, "policy_denied", "deny"),
    ("permit", "local.note", {"text": "ghp_abcdefghijklmnopqrstuvwxyz0123456789"}, "policy_denied", "deny"),
    ("authzen", "shop.list_orders", {}, "", "allow"),
    ("authzen", "shop.nothing", {}, "unknown_tool", "deny"),
    ("authzen", "local.note", {"text": MAIL}, "policy_denied", "allow"),
    ("mcp", f"{MCP}.append", {"line": "x"}, "committed", "allow"),
]


@pytest.mark.parametrize(("surface", "tool", "values", "code", "effect"), ANSWERS)
def test_every_decision_that_is_named_is_found(world, surface, tool, values, code, effect):
    key = "" if tool == "rerun_job" else f"answer-{surface}-{tool}-{code}"
    said = SURFACES[surface][0](world, tool, values, key)
    assert said.get("code", said.get("status", "")) == code, said
    shown = found(world, said["decision_id"])
    assert shown["decision"]["effect"] == effect
    assert shown["input"]["principal"]["id"] == "agent:fixer"
    # The ledger says the same to whoever reads all of it.
    ran = world.scene.bywire("explain", said["decision_id"], "--json")
    assert ran.code == 0, ran
    assert ran.json["decision"] == shown["decision"]
    assert ran.json["entry"] == shown["entry"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("call", {"tool": "shop.restart", "parameters": {"job": 7}, "key": "k"}),
        ("call", {"tool": "shop.restart", "parameters": {"job": "a"}}),
        ("permit", {"tool": "get_deployment_status"}),
        ("report", {"intent": "agent:fixer|shop.restart|nothing", "status": "failed"}),
    ],
)
def test_where_nothing_was_decided_no_decision_is_named(world, path, body):
    answer = world.post(f"/v1/{path}", body)
    assert answer.status == 400
    assert answer.json["error"]["decision_id"] == ""


def test_a_repeated_call_names_the_decision_that_it_was_carried_out_under(world):
    body = {"tool": "shop.restart", "parameters": {"job": "again"}, "key": "again"}
    first, again = (world.post("/v1/call", body).json["error"] for _ in range(2))
    assert first["decision_id"] == again["decision_id"]
    found(world, again["decision_id"])


def test_a_dry_run_that_would_ask_people_is_found_and_asks_nobody(world):
    body = {"tool": "shop.deploy", "parameters": {"version": "dry"}, "key": "dry", "dry_run": True}
    said = world.post("/v1/call", body).json["error"]
    assert said["approval"] is None
    shown = found(world, said["decision_id"])
    assert (shown["decision"]["effect"], shown["input"]["action"]["dry_run"]) == ("approval_needed", True)


def test_what_the_policy_had_changed_is_found_under_both_of_its_decisions(world):
    values = {"text": "for bob@example.com"}
    permit = world.post("/v1/permit", {"tool": "local.note", "parameters": values, "key": "both"}).json
    shown = found(world, permit["decision_id"])
    assert shown["decision"]["id"] == permit["decision_id"]
    before = shown["sanitized"]["decision_id"]
    assert before != permit["decision_id"]
    assert found(world, before)["entry"] == shown["entry"]
    assert "bob@example.com" not in json.dumps(shown)
    ran = world.scene.bywire("explain", before, "--json")
    assert ran.json["entry"] == shown["entry"]


def test_advice_is_told_apart(world):
    said = v1("advise")(world, "shop.deploy", {"version": "advised"}, "apart")
    assert found(world, said["decision_id"])["advised"] is True
    ran = world.scene.bywire("explain", said["decision_id"])
    assert "advice, which authorised nothing" in ran.out


def test_somebody_elses_decision_is_not_found(world):
    said = world.post("/v1/call", {"tool": "shop.deploy", "parameters": {"version": "mine"}, "key": "mine"}).json
    approval, decision_id = said["error"]["approval"]["id"], said["error"]["decision_id"]
    other = world.token("agent:release-controller")
    for name, token in ((decision_id, other), (approval, None), (decision_id[:12], None), ("' OR 1=1 --", None)):
        answer = world.send("GET", f"/v1/decisions/{name.replace(' ', '%20')}", token=token)
        assert answer.status == 404, name


def test_a_forged_name_leads_to_nobody_elses_decision_and_permits_nothing(world):
    workspace = world.gateway.workspace
    asked = {"tool": "shop.deploy", "parameters": {"version": "forged"}, "key": "forged"}
    said = world.post("/v1/call", asked).json["error"]
    allowed = world.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "f"}, "key": "forged"}).json
    mine = (said["decision_id"], said["approval"]["id"])
    change = "UPDATE decided SET entry = ? WHERE name IN (?, ?)"
    for entry in (*range(12), found(world, allowed["decision_id"])["entry"], 10**9):
        workspace.writer.run(lambda tx, entry=entry: tx.execute(change, (entry, *mine)))
        answer = world.send("GET", f"/v1/decisions/{mine[0]}")
        assert answer.status in {200, 404}
        assert answer.status == 404 or answer.json["decision"]["id"] == mine[0]
        again = world.post("/v1/call", asked)
        assert (again.status, again.code) == (202, "approval_needed")
        assert found(world, again.json["error"]["decision_id"])["decision"]["effect"] == "approval_needed"


def test_a_decision_is_found_however_long_ago_and_a_read_while_it_is_recent(world):
    said = world.post("/v1/call", {"tool": "shop.deploy", "parameters": {"version": "old"}, "key": "old"}).json["error"]
    read = world.post("/v1/call", {"tool": "get_deployment_status"}).json
    found(world, read["decision_id"])
    journal, now_ms = world.gateway.workspace.journal, world.gateway.workspace.clock.now_ms()
    for _ in range(ENTRIES_SEARCHED_MAX // 500):
        world.gateway.workspace.writer.run(lambda tx: many(tx, 500, now_ms))
    action = found(world, said["decision_id"])["input"]["action"]["digest"]
    assert journal.decision_on(said["approval"]["id"], action).id == said["decision_id"]
    assert journal.decision_on(said["approval"]["id"], "0" * 64) is None
    found(world, said["decision_id"])
    gone = world.send("GET", f"/v1/decisions/{read['decision_id']}")
    assert gone.status == 404
    assert "bywire explain" in gone.json["error"]["next_step"]
    assert world.scene.bywire("explain", read["decision_id"], "--json").code == 0


def many(tx, count, now_ms):
    from bywire.ledger.entry import leaf_bytes, record_entry

    for number in range(count):
        record = f'{{"n": {number}}}'.encode()
        tx.append(leaf_bytes(record_entry("reminder", now_ms, "workspace", record)), [record])


def test_a_read_is_found_among_others_of_its_batch(world):
    ids = [world.post("/v1/call", {"tool": "get_deployment_status"}).json["decision_id"] for _ in range(5)]
    assert len(ids) < READS_BUFFERED_MAX
    assert {found(world, one)["entry"] for one in ids} == {found(world, ids[0])["entry"]}
