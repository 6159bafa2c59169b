"""Contract files: what they say, what they leave out, and what they may not say."""

import copy

import pytest

from bywire.config import contract_files
from bywire.config.reading import FieldError
from bywire.config.tool_names import is_connected
from bywire.gateway.contract import Idempotency, Reversibility
from bywire.model.connected import CostRule, Place, TimeWindow

SCHEMA = {
    "type": "object",
    "required": ["env", "replicas"],
    "properties": {
        "env": {"type": "string"},
        "replicas": {"type": "integer"},
        "image": {"type": "string"},
        "cmd": {"type": "string"},
    },
}
LEAST = {"name": "scale", "category": "environment_write", "risk": "low", "schema": SCHEMA}
WHOLE = {
    **LEAST,
    "reviewed": True,
    "definition": "sha256:" + "a" * 64,
    "description": "Scales.",
    "idempotency": "native",
    "idempotency_key_from": "{env}:{replicas}",
    "undo": "compensatable",
    "environment_from": {"parameter": "env", "values": {"prod": "production", "dev": "non-production"}},
    "meaning": {"image": "image", "replicas": "replicas", "command": "cmd"},
    "cost": [{"unit": "replica_hours", "parameter": "replicas", "factor": 0.0015}, {"unit": "tries", "factor": 2}],
    "commands": ["kubectl"],
    "rate_per_hour": 5,
    "deadline_seconds": 9,
    "trusted_output": True,
    "window": {"from": "env", "to": "cmd", "seconds": 3_600},
}


def parsed(tool, **document):
    value = {"version": 1, "upstream": "cluster", "tools": [tool], **document}
    return contract_files.parse(value, "cluster.yaml", upstream="cluster")


def test_a_whole_contract_is_read_whole():
    (contract,) = parsed(WHOLE)
    assert (contract.name, contract.upstream, contract.executor) == ("cluster.scale", "cluster", "upstream:cluster")
    assert (contract.category, contract.risk, contract.reviewed) == ("environment_write", "low", True)
    assert (contract.definition, contract.description) == ("sha256:" + "a" * 64, "Scales.")
    assert (contract.idempotency, contract.reversibility) == (Idempotency.NATIVE, Reversibility.COMPENSATABLE)
    assert contract.place == Place("", "production", ("env",), {"prod": "production", "dev": "non-production"})
    assert contract.meaning == {"image": ("image",), "replicas": ("replicas",), "command": ("cmd",)}
    # Costs are rounded up: what is too small to be told is still not free.
    assert contract.cost == (CostRule("replica_hours", 2, ("replicas",)), CostRule("tries", 2_000))
    assert (contract.commands, contract.rate_per_hour, contract.deadline_seconds) == (("kubectl",), 5, 9)
    assert contract.window == TimeWindow("env", "cmd", 3_600)
    assert (contract.read, contract.fenced, contract.exposure_reducing) == (False, False, False)
    assert not contract.tells_others_words


def test_what_is_left_out_is_what_is_worst():
    (contract,) = parsed(LEAST)
    assert (contract.reviewed, contract.idempotency, contract.reversibility) == (
        False,
        Idempotency.NONE,
        Reversibility.IRREVERSIBLE,
    )
    assert contract.place == Place("", "production")
    assert contract.tells_others_words
    assert (contract.definition, contract.meaning, contract.cost, contract.commands) == ("", {}, (), ())


def test_a_file_may_say_where_its_tools_act():
    (contract,) = parsed(LEAST, service="desk", environment="non-production")
    assert contract.place == Place("desk", "non-production")
    assert contract.place.of({"env": "prod"}) == ("desk", "non-production")


@pytest.mark.parametrize(
    ("parameters", "environment"),
    [
        ({"env": "dev"}, "non-production"),
        ({"env": "prod"}, "production"),
        ({"env": "Dev"}, "production"),
        ({"env": ["dev"]}, "production"),
        ({"env": None}, "production"),
        ({"env": True}, "production"),
        ({}, "production"),
    ],
)
def test_rule_01_an_environment_that_is_not_listed_is_production(parameters, environment):
    (contract,) = parsed(WHOLE)
    assert contract.place.of(parameters) == ("", environment)
    # Also where everything else acts somewhere laxer.
    (contract,) = parsed(WHOLE, environment="non-production")
    assert contract.place.of(parameters) == ("", environment)


WRONG = {
    "no such key": {"exposure_reducing": True},
    "retreats are built in": {"category": "exposure_reducing"},
    "no such category": {"category": "harmless"},
    "no such risk": {"risk": "none"},
    "a name with a space": {"name": "a b"},
    "a name with a bar": {"name": "a|b"},
    "an empty name": {"name": ""},
    "a long name": {"name": "x" * 96},
    "a short definition": {"definition": "sha256:aa"},
    "reviewed by word": {"reviewed": "true"},
    "no schema": {"schema": {}},
    "a negative factor": {"cost": [{"unit": "x", "factor": -1}]},
    "a huge factor": {"cost": [{"unit": "x", "factor": 1_000_001}]},
    "an infinite factor": {"cost": [{"unit": "x", "factor": float("inf")}]},
    "a factor that is none": {"cost": [{"unit": "x", "factor": float("nan")}]},
    "a unit of ours": {"cost": [{"unit": "actions", "factor": 1}]},
    "a cost of nothing known": {"cost": [{"unit": "x", "factor": 1, "parameter": "size"}]},
    "a meaning of nothing known": {"meaning": {"image": "picture"}},
    "no such meaning": {"meaning": {"colour": "image"}},
    "an environment of nothing known": {"environment_from": {"parameter": "stage", "values": {}}},
    "no such environment": {"environment_from": {"parameter": "env", "values": {"x": "dev"}}},
    "a key of nothing required": {"idempotency_key_from": "{image}"},
    "a key of nothing": {"idempotency_key_from": "fixed"},
    "a key that reaches into objects": {"idempotency_key_from": "{env.__class__}"},
    "a key that formats": {"idempotency_key_from": "{env!r}"},
    "a key that indexes": {"idempotency_key_from": "{env[0]}"},
    "a program with arguments": {"commands": ["kubectl delete"], "meaning": {"command": "cmd"}},
    "programs of no command": {"commands": ["kubectl"]},
    "programs of another meaning": {"commands": ["kubectl"], "meaning": {"image": "image"}},
    "a deadline without end": {"deadline_seconds": 100_000},
    "no rate": {"rate_per_hour": 0},
    "a read with a rate": {"category": "read", "rate_per_hour": 5},
    "a read with a cost": {"category": "read", "cost": []},
    "a read with evidence": {"category": "read", "evidence": "required"},
    "evidence by word": {"evidence": True},
    "evidence that is optional": {"evidence": "optional"},
    "a window of nothing known": {"window": {"from": "start", "seconds": 60}},
    "a window until nothing known": {"window": {"from": "env", "to": "end", "seconds": 60}},
    "a window that begins nowhere": {"window": {"to": "env", "seconds": 60}},
    "a window without an end": {"window": {"from": "env"}},
    "a window of one end": {"window": {"from": "env", "to": "env", "seconds": 60}},
    "a window of no time": {"window": {"from": "env", "seconds": 0}},
    "a window of more than a year": {"window": {"from": "env", "seconds": 31_622_401}},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=list(WRONG))
def test_what_a_contract_may_not_say(changes):
    with pytest.raises(FieldError):
        parsed({**LEAST, **changes})


def test_what_a_contract_reads_from_is_closed():
    (contract,) = parsed({**LEAST, "meaning": {"image": "image"}})
    assert contract.schema["additionalProperties"] is False
    (contract,) = parsed(LEAST)
    assert "additionalProperties" not in contract.schema
    for more in ({"additionalProperties": True}, {"additionalProperties": {}}, {"patternProperties": {"^e": {}}}):
        with pytest.raises(FieldError, match="could mean the same"):
            parsed({**WHOLE, "schema": {**SCHEMA, **more}})


def test_rule_01_what_stands_beside_a_reference_closes_nothing():
    draft = {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"any": {"type": "object"}}}
    schema = {**SCHEMA, **draft, "$ref": "#/definitions/any", "additionalProperties": False}
    with pytest.raises(FieldError, match="may take other parameters"):
        parsed({**LEAST, "schema": schema, "meaning": {"image": "image"}})


def test_a_file_speaks_for_nobody_else_and_names_a_tool_once():
    with pytest.raises(FieldError, match="speaks for cluster"):
        parsed(LEAST, upstream="payments")
    with pytest.raises(FieldError, match="listed twice"):
        parsed(LEAST, tools=[LEAST, copy.deepcopy(LEAST)])
    with pytest.raises(FieldError, match="512 tools"):
        parsed(LEAST, tools=[LEAST] * 513)
    with pytest.raises(FieldError, match="version"):
        parsed(LEAST, version=2)


@pytest.mark.parametrize(
    "name", ["set_canary_weight", "rollback_release", ".x", "a.", "A.b", "-a.b", "a b.c", "x" * 33 + ".a"]
)
def test_no_connected_tool_is_named_like_a_built_in_one(name):
    assert not is_connected(name)


@pytest.mark.parametrize("name", ["github.create_pull_request", "a.b", "k8s-1.pods/list", "x.A.b-c_d"])
def test_how_connected_tools_are_named(name):
    assert is_connected(name)
