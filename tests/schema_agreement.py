"""Every document that a reader accepts in any test is one that its published schema accepts, or that test fails.

`hold_readers_to_schemas` puts the check behind the readers, once, before the test modules import them.
"""

import functools
import json
from functools import cache
from pathlib import Path

import jsonschema_rs

from bywire.config import (
    agent_policy,
    agents_config,
    contract_files,
    contract_request,
    gateway_budgets,
    gateway_config,
    gateway_credentials,
    gateway_egress,
    gateway_inspection,
    gateway_issuers,
    gateway_telemetry,
    gateway_upstreams,
    operator_config,
    service_intent,
)
from bywire.config.reading import Node

SCHEMAS = Path(__file__).parents[1] / "src" / "bywire" / "schema"
WHOLE = {
    agent_policy: "agent-policy",
    agents_config: "agents",
    contract_files: "contract",
    gateway_config: "gateway",
    operator_config: "operator",
    service_intent: "bywire",
}
# Readers of one section, which tests call by themselves.
SECTIONS = {
    "api_keys": (gateway_issuers, "read_api_keys"),
    "budgets": (gateway_budgets, "read_budgets"),
    "calls": (gateway_budgets, "read_calls"),
    "credentials": (gateway_credentials, "read_credentials"),
    "egress": (gateway_egress, "read_egress"),
    "egress_limits": (gateway_egress, "read_egress_limits"),
    "inspection": (gateway_inspection, "read_inspection"),
    "issuers": (gateway_issuers, "read_issuers"),
    "teams": (gateway_budgets, "read_teams"),
    "telemetry": (gateway_telemetry, "read_telemetry"),
    "upstreams": (gateway_upstreams, "read_upstreams"),
}


@cache
def published(name):
    """A validator of a published schema."""
    return jsonschema_rs.validator_for(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def hold_readers_to_schemas():
    """From now on a reader that accepts what its schema refuses raises AssertionError."""
    for module, name in WHOLE.items():
        _hold(module, "parse", name, lambda value: value)
    for section, (module, reader) in SECTIONS.items():
        _hold(module, reader, "gateway", functools.partial(_in_gateway, section))
    _hold(contract_request, "read_request", "contract", _in_contract)


def _hold(module, reader, name, document_of):
    read = getattr(module, reader)

    @functools.wraps(read)
    def held(first, *args, **kwargs):
        found = read(first, *args, **kwargs)
        document = document_of(first.value if isinstance(first, Node) else first)
        faults = [f"{error.message} at {error.instance_path}" for error in published(name).iter_errors(document)]
        assert not faults, f"the reader accepts what {name}.schema.json refuses: {faults}"
        return found

    setattr(module, reader, held)


def _in_gateway(section, value):
    return {"version": 1, section: value}


def _in_contract(value):
    tool = {"name": "x", "category": "unknown_write", "risk": "low", "schema": {"type": "object"}, "request": value}
    return {"version": 1, "upstream": "x", "tools": [tool]}
