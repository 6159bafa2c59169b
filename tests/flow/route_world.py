"""A served gateway before a plain HTTP API, with contracts of every kind of place a parameter travels in."""

from contextlib import contextmanager

import yaml
from egress_world import site
from serving import AGENT, UPSTREAM, prepared, register, served

CREDENTIAL = "tok-7f3a9c2e51b84d06"
TEXT = {"type": "string", "maxLength": 200}


def schema(required=(), **properties):
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def tool(name, method, path, given, category="read", **more):
    request = {"method": method, "path": path}
    request |= {key: more.pop(key) for key in ("query", "headers", "body") if key in more}
    made = {"name": name, "category": category, "risk": "low", "reviewed": True, "schema": given, "request": request}
    if category != "read":
        made |= {"undo": "reversible", "rate_per_hour": 500}
    return {**made, **more}


WRITE = "harmless_reversible"
TOOLS = [
    tool(
        "list_orders",
        "GET",
        "/orders",
        schema(
            limit={"type": "integer", "maximum": 100}, open={"type": "boolean"}, tag={"type": "array", "items": TEXT}
        ),
        query=["limit", "open", "tag"],
    ),
    tool("get_order", "GET", "/orders/{id}", schema(["id"], id={"type": "integer"})),
    tool("newest", "GET", "/orders/newest", schema()),
    tool("get_project", "GET", "/projects/{id}", schema(["id"], id={**TEXT, "pattern": "^[a-z]+/[a-z]+$"})),
    tool("get_label", "GET", "/labels/{name}", schema(["name"], name=TEXT)),
    tool("get_file", "GET", "/files/{+path}", schema(["path"], path=TEXT), headers={}),
    tool("pick", "GET", "/pick", schema(accept=TEXT), headers={"accept": "accept"}),
    tool("restart", "POST", "/jobs/{job}/restart", schema(["job"], job=TEXT, note=TEXT), WRITE),
    tool(
        "move", "PUT", "/jobs/{job}", schema(["job"], job=TEXT, to=TEXT, count={"type": "integer"}), WRITE, body="form"
    ),
    tool("anything", "POST", "/open", {"type": "object"}, WRITE),
    tool("deploy", "POST", "/deploy", schema(["version"], version=TEXT), "production_orchestration"),
]
NAMES = [f"{UPSTREAM}.{one['name']}" for one in TOOLS]


@contextmanager
def routed(root, monkeypatch, tools=TOOLS, *, environment="non-production", below="", **upstream):
    """(the served gateway, the API behind it)."""
    monkeypatch.setenv("SHOP_TOKEN", CREDENTIAL)
    with site() as api:
        origin = f"http://127.0.0.1:{api.server_port}"
        shop = {
            "name": UPSTREAM,
            "kind": "http",
            "url": f"{origin}{below}",
            "private": True,
            "credential": "shop",
            **upstream,
        }
        scene = prepared(
            root / "scene",
            environment=environment,
            upstreams=[shop],
            credentials={"shop": {"origin": origin, "private": True, "token_env": "SHOP_TOKEN"}},
        )
        contracts = {"version": 1, "upstream": UPSTREAM, "tools": tools}
        (scene.operator / "contracts" / f"{UPSTREAM}.yaml").write_text(yaml.safe_dump(contracts))
        register(scene, "router", [f"{UPSTREAM}.{one['name']}" for one in tools])
        try:
            with served(scene) as running:
                running.scene = scene
                yield running, api
        finally:
            scene.close()


ROUTER = "agent:router"
__all__ = ["AGENT", "CREDENTIAL", "NAMES", "ROUTER", "TEXT", "TOOLS", "UPSTREAM", "routed", "schema", "tool"]
