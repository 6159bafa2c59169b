"""`verify` of a contract file: what it may expect, of what, and compared with what."""

import pytest

from bywire.config import contract_files
from bywire.config.reading import FieldError
from bywire.gateway.condition import Comparison, Condition
from bywire.model.connected import Verification

SPEC = {
    "type": "object",
    "additionalProperties": False,
    "required": ["replicas"],
    "properties": {"replicas": {"type": "integer"}, "image": {"type": "string"}},
}
SCHEMA = {
    "type": "object",
    "required": ["name", "spec"],
    "properties": {"name": {"type": "string"}, "note": {"type": "string"}, "spec": SPEC},
}
GET = {
    "name": "get",
    "category": "read",
    "risk": "low",
    "schema": {"type": "object", "required": ["name"], "properties": {"name": {}, "whole": {}}},
}
VERIFY = {
    "tool": "get",
    "parameters": {"name": {"parameter": "name"}, "whole": {"value": True}},
    "expect": {
        "json.spec.replicas": {"equals": {"parameter": "spec.replicas"}},
        "json.restarts": {"at_most": {"value": 0}},
        "json.ready": {"present": True},
    },
}
OPERAND = {"parameter": "name"}


def parsed(verify, **changes):
    write = {"name": "scale", "category": "repo_write", "risk": "low", "schema": SCHEMA, "verify": verify, **changes}
    document = {"version": 1, "upstream": "cluster", "tools": [write, GET]}
    return contract_files.parse(document, "cluster.yaml", upstream="cluster")[0]


def test_a_verification_names_a_read_that_may_stand_below_it():
    contract = parsed(VERIFY)
    assert contract.verification == Verification("cluster.get", {"name": ("name",)}, {"whole": True})
    assert contract.postconditions == (
        Condition("json.spec.replicas", "json.spec.replicas", Comparison.EQUALS, parameter=("spec", "replicas")),
        Condition("json.restarts", "json.restarts", Comparison.AT_MOST, value=0),
        Condition("json.ready", "json.ready", Comparison.PRESENT),
    )
    assert contract.schema["additionalProperties"] is False


@pytest.mark.parametrize("value", ["ready", "", 5, -5, True, False])
def test_a_constant_keeps_its_type(value):
    contract = parsed({**VERIFY, "expect": {"a": {"equals": {"value": value}}}})
    assert (type(contract.postconditions[0].value), contract.postconditions[0].value) == (type(value), value)


WRONG = {
    "no read": {**VERIFY, "tool": "scale"},
    "a tool of another file": {**VERIFY, "tool": "other.get"},
    "a full name": {**VERIFY, "tool": "cluster.get"},
    "no tool": {"expect": VERIFY["expect"]},
    "no expectation": {"tool": "get", "parameters": VERIFY["parameters"]},
    "an empty expectation": {**VERIFY, "expect": {}},
    "too many expectations": {**VERIFY, "expect": {f"f{n}": {"present": True} for n in range(17)}},
    "what the read does not know": {**VERIFY, "parameters": {**VERIFY["parameters"], "other": OPERAND}},
    "what the read requires": {**VERIFY, "parameters": {"whole": {"value": True}}},
    "what a call may leave out": {**VERIFY, "parameters": {"name": {"parameter": "note"}}},
    "what an object may leave out": {**VERIFY, "expect": {"a": {"equals": {"parameter": "spec.image"}}}},
    "what nobody declared": {**VERIFY, "expect": {"a": {"equals": {"parameter": "spec.size"}}}},
    "two comparisons": {**VERIFY, "expect": {"a": {"equals": OPERAND, "at_most": {"value": 1}}}},
    "no comparison": {**VERIFY, "expect": {"a": {}}},
    "another comparison": {**VERIFY, "expect": {"a": {"matches": {"value": "x"}}}},
    "what must not be there": {**VERIFY, "expect": {"a": {"present": False}}},
    "both operands": {**VERIFY, "expect": {"a": {"equals": {"parameter": "name", "value": "x"}}}},
    "no operand": {**VERIFY, "expect": {"a": {"equals": {}}}},
    "a bare operand": {**VERIFY, "expect": {"a": {"equals": "name"}}},
    "a fraction": {**VERIFY, "expect": {"a": {"equals": {"value": 0.5}}}},
    "nothing": {**VERIFY, "expect": {"a": {"equals": {"value": None}}}},
    "at most a text": {**VERIFY, "expect": {"a": {"at_most": {"value": "5"}}}},
    "at most a truth": {**VERIFY, "expect": {"a": {"at_most": {"value": True}}}},
    # The door says so of what cannot be looked at; an expectation of that name would excuse an effect.
    "a word of the door": {**VERIFY, "expect": {"unavailable": {"present": True}}},
    "another word of the door": {**VERIFY, "expect": {"omitted": {"present": True}}},
}


@pytest.mark.parametrize("verify", WRONG.values(), ids=list(WRONG))
def test_rule_15_what_a_verification_may_not_say(verify):
    with pytest.raises(FieldError):
        parsed(verify)


def test_a_read_is_not_verified():
    with pytest.raises(FieldError, match="a read has no effect"):
        parsed(VERIFY, category="read")


def test_what_is_compared_is_closed():
    with pytest.raises(FieldError, match="could mean the same"):
        parsed(VERIFY, schema={**SCHEMA, "additionalProperties": True})
