"""What an operator writes about connected tools, and what an agent sends to one."""

import json

import yaml
from registry import NOW, Parser, parser

TOOL = {
    "name": "scale",
    "category": "production_orchestration",
    "risk": "high",
    "reviewed": True,
    "definition": "sha256:" + "a" * 64,
    "description": "Scales a workload.",
    "idempotency": "native",
    "idempotency_key_from": "{env}:{replicas}",
    "undo": "reversible",
    "environment_from": {"parameter": "env", "values": {"prod": "production"}},
    "meaning": {"image": "image", "replicas": "replicas", "command": "cmd", "host": "host"},
    "cost": [{"unit": "replica_hours", "parameter": "replicas", "factor": 24}],
    "commands": ["kubectl"],
    "request": {"method": "POST", "path": "/scale/{env}", "query": ["replicas"]},
    "rate_per_hour": 10,
    "deadline_seconds": 60,
    "trusted_output": False,
    "schema": {
        "type": "object",
        "required": ["env", "replicas"],
        "properties": {
            "env": {"$ref": "#/$defs/name"},
            "replicas": {"type": "integer"},
            "image": {"type": "string"},
            "cmd": {"type": "string"},
            "host": {"type": "string"},
        },
        "$defs": {"name": {"type": "string", "pattern": "^[a-z]+$"}},
    },
    "evidence": "required",
    "verify": {
        "tool": "get",
        "parameters": {"env": {"parameter": "env"}},
        "expect": {"json.replicas": {"equals": {"parameter": "replicas"}}, "status": {"at_most": {"value": 299}}},
    },
}
READ = {
    "name": "get",
    "category": "read",
    "risk": "low",
    "schema": {"type": "object", "required": ["env"], "properties": {"env": {"type": "string"}}},
}
FILE = {"version": 1, "upstream": "cluster", "environment": "staging", "tools": [TOOL, READ]}
CALL = {"replicas": 3, "image": ["a@sha256:1"], "cmd": "kubectl get 'x y'", "host": "https://h.example:1/p"}


@parser("config/contract_files.py:parse")
def _() -> Parser:
    from bywire.config import contract_files

    return Parser(lambda value: contract_files.parse(value, "cluster.yaml", upstream="cluster"), (FILE,), "value")


@parser("config/contract_path.py:read_parameter")
def _() -> Parser:
    from bywire.config.contract_path import read_parameter
    from bywire.config.contract_schema import problem_of
    from bywire.config.reading import Node

    def read(value):
        path, schema = value if isinstance(value, list) and len(value) == 2 else (value, TOOL["schema"])
        node = Node(path, "cluster.yaml")
        if problem_of(schema):
            raise node.refuse("this is no schema")
        return read_parameter(node, schema)

    closed = {"type": "object", "additionalProperties": False}
    spec = {**closed, "properties": {"image": {}, "to": {"$ref": "#/$defs/to"}}}
    to = {**closed, "properties": {"image": {}}}
    schema = {"type": "object", "properties": {"spec": spec, "a.b": spec}, "$defs": {"to": to}}
    return Parser(read, (["spec.to.image", schema], ["a.b", schema]), "value")


@parser("config/contract_window.py:read_window")
def _() -> Parser:
    from bywire.config.contract_window import read_window
    from bywire.config.reading import Node

    window = {"from": "env", "to": "cmd", "seconds": 3_600}
    return Parser(lambda value: read_window(Node(value, "cluster.yaml"), TOOL["schema"]), (window,), "value")


@parser("gateway/time_window.py:check_window")
def _() -> Parser:
    from bywire.gateway.time_window import check_window
    from bywire.model.connected import TimeWindow

    window = TimeWindow("since", "until", 3_600)
    times = ("now-30m", "2026-09-21T10:00:00.5+02:00", "-1h30m", "now")
    return Parser(lambda text: check_window(window, {"since": text, "until": text}, NOW), times, "text")


@parser("config/contract_verify.py:read_verification")
def _() -> Parser:
    from bywire.config import contract_files
    from bywire.config.contract_verify import read_verification
    from bywire.config.reading import Node

    tools = {one.name: one for one in contract_files.parse(FILE, "cluster.yaml", upstream="cluster")}
    write = tools["cluster.scale"]
    return Parser(
        lambda value: read_verification(Node(value, "cluster.yaml"), write, tools), (TOOL["verify"],), "value"
    )


@parser("config/contract_schema.py:problem_of")
def _() -> Parser:
    from bywire.config.contract_schema import problem_of

    return Parser(problem_of, (TOOL["schema"],), "value")


@parser("contracts/UPSTREAM.yaml")
def _() -> Parser:
    from bywire.adapters.yaml_file import parse
    from bywire.config import contract_files

    def read(data):
        return parse(
            data,
            "cluster.yaml",
            lambda value, source: contract_files.parse(value, source, upstream="cluster"),
            bytes_max=contract_files.BYTES_MAX,
        )

    return Parser(read, (yaml.safe_dump(FILE).encode(), json.dumps(FILE).encode()))


@parser("config/gateway_budgets.py:read_budgets")
def _() -> Parser:
    from bywire.config.gateway_budgets import read_budgets
    from bywire.config.reading import Node

    budget = {"scope": "team:platform", "unit": "replica_hours", "per_day": 100.5, "per_minute": 2.5}
    short = {"scope": "agent:x", "per_second": 2, "per_minute": 60}
    return Parser(lambda value: read_budgets(Node(value, "gateway.yaml")), ([budget, short],), "value")


@parser("config/gateway_budgets.py:read_calls")
def _() -> Parser:
    from bywire.config.gateway_budgets import read_calls
    from bywire.config.reading import Node

    rates = [{"scope": "agent:*", "per_second": 20}, {"scope": "tool:cluster.scale", "per_minute": 30}]
    return Parser(lambda value: read_calls(Node(value, "gateway.yaml")), (rates,), "value")


@parser("config/gateway_budgets.py:read_teams")
def _() -> Parser:
    from bywire.config.gateway_budgets import read_teams
    from bywire.config.reading import Node

    return Parser(lambda value: read_teams(Node(value, "gateway.yaml")), ({"platform": ["agent:x"]},), "value")


@parser("gateway/verifying.py:fields_of")
def _() -> Parser:
    from bywire.gateway.condition import Comparison, Condition
    from bywire.gateway.verifying import fields_of

    fields = ("json.replicas", "json.a.b", "status", "a." * 60 + "a")
    conditions = tuple(Condition(name, name, Comparison.PRESENT) for name in fields)
    answer = {"status": 200, "json": {"replicas": 3, "a": {"b": 1}, "a.b": 2}}
    return Parser(lambda value: fields_of(conditions, value), (answer,), "value")


@parser("gateway/connected.py:meaning")
def _() -> Parser:
    from bywire.gateway.connected import meaning

    named = {
        "image": ("image",),
        "replicas": ("replicas",),
        "command": ("cmd",),
        "host": ("host",),
        "amount": ("spec", "n"),
    }

    def read(value):
        given = value if isinstance(value, dict) else {name[0]: value for name in named.values()}
        return meaning(named, "staging", given, str)

    return Parser(read, (CALL,), "value")


@parser("gateway/connected.py:host_of")
def _() -> Parser:
    from bywire.gateway.connected import host_of

    return Parser(lambda text: host_of(text, "host"), ("https://h.example:1/p", "h.example:22"), "text")


@parser("gateway/connected.py:port_of")
def _() -> Parser:
    from bywire.gateway.connected import port_of

    return Parser(port_of, ("https://h.example:1/p", "h.example:22", "git@h.example:a/b"), "text")
