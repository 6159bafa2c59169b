"""Schemas of connected tools: bounded whoever wrote them."""

import functools
import time

import pytest

from bywire.config.contract_schema import EXPANDED_MAX, problem_of
from bywire.gateway.contract import compiled


def of(**keywords):
    return {"type": "object", **keywords}


def doubling(depth):
    steps = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return of(**{"$defs": {**steps, f"d{depth}": {"type": "object"}}, "$ref": "#/$defs/d0"})


GOOD = [
    of(),
    of(**{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"id": {"type": "string"}}}),
    of(properties={"$ref": {"type": "string"}, "$id": {"type": "string"}}),
    of(**{"$defs": {"a/b": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a~1b"}}}),
    of(
        definitions={"n": {"type": "number"}}, properties={"x": {"items": {"$ref": "#/definitions/n"}, "type": "array"}}
    ),
    of(properties={"x": {"enum": [{"$ref": "http://not.followed"}], "default": {"$id": "x"}}}),
    of(properties={"x": {"anyOf": [{"type": "string"}, {"type": "null"}]}}),
    doubling(8),
]
BAD = {
    "no object": {"type": "string"},
    "no mapping": [],
    "nothing": None,
    "no keyword value": of(properties=3),
    "a file": of(properties={"x": {"$ref": "file:///etc/passwd"}}),
    "a page": of(properties={"x": {"$ref": "http://127.0.0.1/x"}}),
    "another document": of(**{"$id": "http://x/", "properties": {"x": {"$ref": "y"}}}),
    "an anchor": of(**{"$defs": {"a": {"$anchor": "there"}}}),
    "another dialect": of(**{"$schema": "http://example.com/mine"}),
    "nowhere": of(properties={"x": {"$ref": "#/$defs/none"}}),
    "itself": of(
        properties={"x": {"$ref": "#/$defs/a"}}, **{"$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/a"}}}}}
    ),
    "the root": of(properties={"x": {"$ref": "#"}}),
    "a doubling": doubling(40),
    "a look-ahead": of(properties={"x": {"pattern": "^(?=a)b"}}),
    "a back-reference": of(properties={"x": {"pattern": r"(a)\1"}}),
    "a broken pattern": of(properties={"x": {"pattern": "("}}),
    "a pattern too large": of(properties={"x": {"pattern": "(a{1000}){1000}{1000}"}}),
    "too many bytes": of(description="x" * 70_000),
    "too deep": of(properties={"x": functools.reduce(lambda inner, _: {"items": inner}, range(100), {})}),
}


@pytest.mark.parametrize("schema", GOOD)
def test_a_schema_that_stands_for_itself_is_taken(schema):
    assert problem_of(schema) == ""


@pytest.mark.parametrize("schema", BAD.values(), ids=list(BAD))
def test_any_other_is_refused_in_words(schema):
    problem = problem_of(schema)
    assert problem
    assert len(problem) < 400


def test_how_large_a_schema_may_become():
    wide = of(properties={f"p{n}": {"type": "string"} for n in range(1_000)})
    assert problem_of(wide) == ""
    assert str(EXPANDED_MAX) in problem_of(doubling(16))


def test_no_pattern_and_no_value_together_take_long():
    began = time.process_time()
    validator = compiled(of(properties={"x": {"type": "string", "pattern": "^(a+)+$"}}))
    assert not validator.is_valid({"x": "a" * 50_000 + "b"})
    assert time.process_time() - began < 1
