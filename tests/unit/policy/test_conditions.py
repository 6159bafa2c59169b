"""`approval_needed`: what it can say, when it holds, and everything that it refuses to be."""

import itertools

import pytest
from bounds_strategies import conditions as made
from hypothesis import given, settings

from bywire.policy.condition_text import ConditionError, parse_condition
from bywire.policy.conditions import ENVIRONMENT, ENVIRONMENTS, Always, truth, witness

REPLICAS, MODE = ("action", "meaning", "replicas"), ("action", "parameters", "mode")
IMAGES = ("action", "meaning", "images")


@pytest.mark.parametrize(
    ("text", "told", "expected"),
    [
        ('env == "production"', {ENVIRONMENT: "production"}, True),
        ('env == "production"', {ENVIRONMENT: "Production"}, False),
        ('env == "production"', {}, None),
        ("'production' == env", {ENVIRONMENT: "production"}, True),
        ("10 < replicas", {REPLICAS: 11}, True),
        ("replicas > 10", {REPLICAS: 10}, False),
        ("replicas > 10", {REPLICAS: "200"}, None),
        ("replicas > 10", {REPLICAS: True}, None),
        ("replicas > 10", {}, None),
        ("parameters.mode == true", {MODE: 1}, False),
        ("parameters.mode == 1", {MODE: True}, False),
        ("parameters.mode == 1", {MODE: 1.0}, True),
        ("parameters.mode in [1, 'a']", {MODE: "a"}, True),
        ("parameters.mode not in [1, 'a']", {MODE: "b"}, True),
        ("given(parameters.mode) and parameters.mode == 1", {}, False),
        ("not given(parameters.mode)", {}, True),
        ('"x" in images', {IMAGES: ["x"]}, True),
        ('"x" not in images', {IMAGES: ["x"]}, False),
        ('"x" in images', {IMAGES: "x"}, None),
        ("replicas > 10 or env == 'staging'", {ENVIRONMENT: "staging"}, True),
        ("replicas > 10 and env == 'staging'", {ENVIRONMENT: "production"}, False),
        ("replicas > 10 or env == 'staging'", {ENVIRONMENT: "production"}, None),
        ("true", {}, True),
    ],
)
def test_what_a_condition_means(text, told, expected):
    assert truth(parse_condition(text), told) is expected


# What is tried, what is said of it, and what to write instead.
REFUSED = [
    ('env == "Production"', "could never hold", "production"),
    ('env in ["prod"]', "could never hold", "production"),
    ('еnv == "production"', "CYRILLIC SMALL LETTER IE", "plain letters"),  # noqa: RUF001
    ('env == "production”', "has no end", "one line"),
    ('env = "production"', "= is not part of it", "write =="),
    ("env == production", "production is no value", "in quotes"),
    ("env && true", "&& is not part of it", "write and"),
    ("!given(parameters.x)", "! is not part of it", "write not"),
    ("ENV == 1", "ENV is no name", "the names are"),
    ("env", "the end is not expected", "compare it"),
    ("env == 'staging' env", "is not expected here", "join"),
    ("env == 'staging' and", "the end is no name", "the names are"),
    ("", "the end is no name", "the names are"),
    ("(env == 'staging'", ") is missing", "write )"),
    ("__import__('os')", "__import__ is no name", "the names are"),
    ("__import__('os').system('x')", ". is not part of it", "plain letters"),
    ("input.action.tool == 'x'", "input.action.tool is no name", "the names are"),
    ("parameters == 'x'", "parameters is no name", "the names are"),
    ("parameters.a.__class__.x() == 1", "( is not expected", "compare it"),
    ("replicas > '10'", "> compares numbers", "number"),
    ("replicas > true", "> compares numbers", "number"),
    ("images == 'x'", "by its members", "in images"),
    ("'x' in env", "this is no list", "environment =="),
    ("'x' in parameters.a and parameters.a == 'x'", "for a list and for a single value", "one way"),
    ("replicas == 1e9", "is not part of it", "plain letters"),
    ("replicas == 12345678901234567890", "is not part of it", "plain letters"),
    ('env == "\\u0070roduction"', "escape", "one line"),
    ('env == "a\nb"', "has no end", "one line"),
    ('env == "a\x1bb"', "has no end", "one line"),
    ("(" * 9 + "env == 'staging'" + ")" * 9, "nests deeper", "flat"),
    (" or ".join(["env == 'staging'"] * 17), "more than 16 comparisons", "split"),
    (" or ".join(f"parameters.p{n} == 1" for n in range(7)), "too many values", "at most 6 names"),
    (" or ".join(f"parameters.p{n} in {list(range(20))}" for n in range(5)), "too many values", "few literals"),
    (f"parameters.x in {list(range(33))}", "more than 32 values", "fewer"),
    ("x" * 501, "longer than 500", "split"),
    ("env == 'staging'\0", "is not part of it", "plain letters"),
]


@pytest.mark.parametrize(("text", "problem", "remedy"), REFUSED)
def test_what_is_no_condition_is_told_with_a_way_out(text, problem, remedy):
    with pytest.raises(ConditionError) as refused:
        parse_condition(text)
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy
    assert refused.value.problem.isascii()


def nested(told):
    """An assignment as the policy input that it comes from."""
    question = {}
    for path, value in told.items():
        place = question
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return question


@settings(max_examples=300, deadline=None)
@given(made=made)
def test_a_condition_and_its_reference_agree_wherever_a_witness_is_found(made):
    text, means = made
    condition = parse_condition(text)
    for wanted, environment in itertools.product((True, False, None), (*ENVIRONMENTS, None)):
        fixed = {ENVIRONMENT: environment} if environment else {}
        told = witness(condition, frozenset({wanted}), fixed)
        if told is not None:
            assert truth(condition, told) is wanted is means(nested(told)), text


# Values that a witness does not try by itself; whatever they make true, a witness must have found as well.
VALUES = [None, "prod", "v1", "", "z", 0, 1, 2, 2.5, 49, 51, 60, 100, 101, -5, True, False]


@settings(max_examples=150, deadline=None)
@given(made=made)
def test_no_witness_means_that_nothing_makes_it_so(made):
    text, means = made
    condition = parse_condition(text)
    reachable = {wanted for wanted in (True, False) if witness(condition, frozenset({wanted}), {}) is not None}
    lists = [None, ["kubectl"], ["v1"], ["kubectl", "v1"], ["z"]]
    for environment, value, command in itertools.product(ENVIRONMENTS, VALUES, lists):
        meaning = {"replicas": value, "amount": value, "currency": value, "command": command}
        question = {"action": {"environment": environment, "meaning": meaning, "parameters": {"mode": value}}}
        assert means(question) in reachable | {None}, text


def test_a_condition_that_turns_on_nothing():
    assert witness(Always(value=True), frozenset({False}), {}) is None
    assert witness(Always(value=True), frozenset({True}), {ENVIRONMENT: "staging"}) == {ENVIRONMENT: "staging"}
