"""What an operator writes about connected tools, and what an agent sends to one."""

import json

import yaml
from registry import Parser, parser

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
}
FILE = {"version": 1, "upstream": "cluster", "environment": "staging", "tools": [TOOL]}
CALL = {"replicas": 3, "image": ["a@sha256:1"], "cmd": "kubectl get 'x y'", "host": "https://h.example:1/p"}


@parser("config/contract_files.py:parse")
def _() -> Parser:
    from bywire.config import contract_files

    return Parser(lambda value: contract_files.parse(value, "cluster.yaml", upstream="cluster"), (FILE,), "value")


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


@parser("gateway/connected.py:meaning")
def _() -> Parser:
    from bywire.gateway.connected import meaning

    named = {"image": "image", "replicas": "replicas", "command": "cmd", "host": "host", "amount": "amount"}

    def read(value):
        given = value if isinstance(value, dict) else dict.fromkeys(named.values(), value)
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
