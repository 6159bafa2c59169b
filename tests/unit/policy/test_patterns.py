"""Patterns of operators: one meaning on every engine, in bounded time, and an example of what they match."""

import json
import re
import time

import pytest
import regorus
from hypothesis import given
from hypothesis import strategies as st

from bywire.policy.patterns import STATES_MAX, TEXT_CHARS_MAX, PatternError, parse_pattern


def matches(pattern, value):
    engine = regorus.Engine()
    engine.add_policy("a.rego", f"package a\n\nx := regex.match({json.dumps(pattern, ensure_ascii=False)}, input)\n")
    engine.set_input_json(json.dumps(value))
    return engine.eval_rule_as_json("data.a.x") == "true"


@pytest.mark.parametrize(
    ("text", "fits", "misses"),
    [
        ("v[0-9]+", "v12", "v12 "),
        ("^v\\d+\\.\\d+$", "v1.2", "xv1.2"),
        ("a|bc", "bc", "abc"),
        ("(?:eu|us)-\\w{2,4}", "us-ab_1", "us-abcde"),
        ("[^/]+", "a b", "a/b"),
        ("[a\\]\\-]+", "a-]", "b"),
        ("\\$\\^", "$^", "$"),
        ("foo\\\\$", "foo\\", "foo"),
        (".*", "", "a\nb"),
        ("\\s?", "\t", "\u00a0"),
        ("\\d", "7", "\u0667"),
        ("ü{2}", "üü", "ü"),
        ("[\\&\\~-]", "-", "+"),
    ],
)
def test_a_pattern_matches_whole_values(text, fits, misses):
    pattern = parse_pattern(text)
    assert matches(pattern.anchored, fits)
    assert not matches(pattern.anchored, misses)
    assert matches(pattern.anchored, pattern.example)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a)|(.*", ") is not expected"),
        ("(a", ") is missing"),
        ("(?i)prod", "(? is only for"),
        ("(?x)a # comment", "(? is only for"),
        ("(?P<n>a)", "(? is only for"),
        ("(?=a)", "(? is only for"),
        ("(a+)+\\1", "\\1 is not known"),
        ("\\pL", "\\p is not known"),
        ("\\bprod", "\\b is not known"),
        ("\\Qx\\E", "\\Q is not known"),
        ("[a-z&&b]", "'&' in a class"),
        ("[[:alpha:]]", "'[' in a class"),
        ("[z-a]", "no order"),
        ("[]", "empty"),
        ("[a", "] is missing"),
        ("a**", "is not repeated"),
        ("a{2,1}", "a count goes up"),
        ("a{101}", "a count goes up"),
        ("a{,2}", "{ begins a count"),
        ("((a{99}){99}){99}", "repeats too much"),
        ("(" * 20 + "a" + ")" * 20, "nests deeper"),
        ("^^a", "^ is not expected"),
        ("a$b", "$ is not expected"),
        ("+a", "+ is not expected"),
        ("a\\", "stands at the end"),
        ("", "1 to 256"),
        ("a" * (TEXT_CHARS_MAX + 1), "1 to 256"),
    ],
)
def test_what_is_no_pattern_is_told_with_its_column(text, problem):
    with pytest.raises(PatternError) as refused:
        parse_pattern(text)
    assert problem in refused.value.problem
    assert refused.value.remedy


def test_the_costliest_pattern_is_answered_at_once():
    pattern = parse_pattern("(?:(?:a?){40}(?:a|aa)*b?){8}" + "[^a]?" * 8)
    began = time.monotonic()
    assert not matches(pattern.anchored, "a" * 60_000 + "!!" * 9)
    assert time.monotonic() - began < 10
    assert STATES_MAX < 10_000


@given(st.text(alphabet='ab01-_.^$|?*+(){}[]\\&~:,dwsx<>"\n ü', max_size=24))
def test_whatever_is_taken_for_a_pattern_compiles_and_matches_its_example(text):
    try:
        pattern = parse_pattern(text)
    except PatternError as refused:
        assert refused.problem and refused.remedy
        return
    assert matches(pattern.anchored, pattern.example), (text, pattern)
    # Python reads this subset as the others do, where no character is beyond ASCII.
    assert re.fullmatch(pattern.anchored[1:-1], pattern.example, re.ASCII | re.DOTALL) is not None
