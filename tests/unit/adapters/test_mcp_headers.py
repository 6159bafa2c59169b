"""Headers that repeat the body: written as the specification says, compared so that nobody sees another call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.adapters.mcp_headers import (
    decode_value,
    disagreement,
    encode_value,
    invalid_annotation,
    mirrored,
    parameter_disagreement,
)
from bywire.adapters.mcp_message import Message

REGION = {"type": "string", "x-mcp-header": "Region"}
SCHEMA = {
    "type": "object",
    "properties": {
        "region": REGION,
        "deep": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
        "sure": {"type": "boolean", "x-mcp-header": "Sure"},
        "query": {"type": "string"},
    },
}


# MCP 2026-07-28, "Value Encoding".
@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("", ""),
    ],
)
def test_values_are_encoded_as_specified(text, encoded):
    assert encode_value(text) == encoded
    assert decode_value(encoded) == text


@given(st.text())
def test_every_text_comes_back(text):
    if not any("\ud800" <= one <= "\udfff" for one in text):
        assert decode_value(encode_value(text)) == text
    assert "\n" not in encode_value(text)
    assert "\r" not in encode_value(text)


@pytest.mark.parametrize(
    "value", ["=?base64?%%%?=", "=?base64?YQ?=", "=?base64?YR==?=", "=?base64?/w==?=", "a\tb", "é"]
)
def test_what_nobody_encodes_is_nothing(value):
    assert decode_value(value) is None


def message(method="tools/call", version="2026-07-28", **params):
    meta = {"io.modelcontextprotocol/protocolVersion": version}
    return Message(jsonrpc="2.0", id=1, method=method, params={**params, "_meta": meta})


def headers(version="2026-07-28", method="tools/call", name="get", *more):
    said = [("mcp-protocol-version", version), ("mcp-method", method), ("mcp-name", name)]
    return [(key, value) for key, value in said if value is not None] + list(more)


def test_headers_that_say_the_same_agree():
    assert disagreement(message(name="get"), headers()) == ""
    assert (
        disagreement(
            message("resources/read", uri="file:///é"), headers(method="resources/read", name=encode_value("file:///é"))
        )
        == ""
    )
    assert disagreement(message("tools/list"), headers(method="tools/list", name=None)) == ""


@pytest.mark.parametrize(
    "said",
    [
        headers(method="tools/list"),
        headers(method=None),
        headers(version="2025-11-25"),
        headers(version=None),
        headers(name="delete"),
        headers(name="GET"),
        headers(name=None),
        headers(name="=?base64?!!?="),
        [*headers(), ("mcp-name", "get")],
        [*headers(), ("mcp-method", "tools/call")],
        [*headers(), ("mcp-protocol-version", "2026-07-28")],
    ],
)
def test_headers_that_say_anything_else_do_not(said):
    assert disagreement(message(name="get"), said)


def test_declared_parameters_are_mirrored():
    said = mirrored(SCHEMA, {"region": "é", "deep": {"count": 42}, "sure": True, "query": "q"})
    assert said == {"Mcp-Param-Region": "=?base64?w6k=?=", "Mcp-Param-Count": "42", "Mcp-Param-Sure": "true"}
    assert mirrored(SCHEMA, {"region": None, "deep": 3}) == {}


@pytest.mark.parametrize(
    ("arguments", "said", "agrees"),
    [
        ({"region": "eu"}, [("mcp-param-region", "eu")], True),
        ({"region": "eu"}, [], False),
        ({"region": "eu"}, [("mcp-param-region", "us")], False),
        ({"region": "eu"}, [("mcp-param-region", "eu"), ("mcp-param-region", "eu")], False),
        ({}, [("mcp-param-region", "eu")], False),
        ({"region": None}, [], True),
        ({"deep": {"count": 42}}, [("mcp-param-count", "42.0")], True),
        ({"deep": {"count": 42}}, [("mcp-param-count", "4.2e1")], False),
        ({"deep": {"count": 42}}, [("mcp-param-count", "42.1")], False),
        ({"deep": "x"}, [("mcp-param-count", "1")], False),
        ({"sure": False}, [("mcp-param-sure", "False")], False),
        ({"region": "42"}, [("mcp-param-region", "42.0")], False),
        ({}, [("mcp-param-unknown", "x")], True),
    ],
)
def test_declared_parameters_and_their_headers_agree(arguments, said, agrees):
    assert (parameter_disagreement(SCHEMA, arguments, said) == "") is agrees


@pytest.mark.parametrize(
    ("schema", "invalid"),
    [
        (SCHEMA, False),
        ({"properties": {"x-mcp-header": {"type": "string"}}}, False),
        ({"properties": {"a": {**REGION, "x-mcp-header": ""}}}, True),
        ({"properties": {"a": {**REGION, "x-mcp-header": "A B"}}}, True),
        ({"properties": {"a": {**REGION, "x-mcp-header": "A\r\nX: 1"}}}, True),
        ({"properties": {"a": {**REGION, "x-mcp-header": 7}}}, True),
        ({"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}, True),
        ({"properties": {"a": {"type": ["string"], "x-mcp-header": "A"}}}, True),
        ({"properties": {"a": REGION, "b": {"type": "string", "x-mcp-header": "REGION"}}}, True),
        ({"properties": {"a": {"type": "array", "items": REGION}}}, True),
        ({"anyOf": [{"properties": {"a": REGION}}]}, True),
        ({"x-mcp-header": "A"}, True),
    ],
)
def test_annotations_where_they_must_not_be_are_found(schema, invalid):
    assert invalid_annotation(schema) is invalid
