"""One byte string for one JSON value: the fast path is RFC 8785, and nothing JSON cannot carry gets a digest."""

import hashlib
import json
import math

import msgspec
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from bywire.model.errors import EvidenceError
from bywire.seal import jcs

SAFE = 2**53 - 1
TEXT = st.one_of(st.text(max_size=20), st.text(alphabet='ab"\\/\x00\x1f\x7f\x80 \u2028é€😀', max_size=8))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-SAFE, SAFE),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not SAFE < abs(number) < 1e21),
    TEXT,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=20,
)


def nested(depth, leaf="x", wrap=lambda inner: [inner]):
    for _ in range(depth):
        leaf = wrap(leaf)
    return leaf


def refused(value):
    with pytest.raises(EvidenceError) as caught:
        jcs.canonical(value)
    assert caught.value.code == "not_canonical"
    assert caught.value.next_step


@given(VALUES)
@example({"\ue000": 1, "😀": 2, "a": 3})  # UTF-16 order differs from code point order here
@example({"b": [1, -0.0, 1e21, 5e-324], "a": "\x7f\u0080/<>&'", "": None})
def test_the_fast_path_equals_rfc_8785(value):
    assert jcs.canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_a_second_reading_gives_the_same_bytes(value):
    encoded = jcs.canonical(value)
    assert jcs.canonical(json.loads(encoded)) == encoded
    assert jcs.canonical(msgspec.json.decode(encoded)) == encoded


@given(st.dictionaries(TEXT, SCALARS, min_size=2, max_size=6))
def test_the_order_of_insertion_does_not_matter(value):
    backwards = dict(reversed(list(value.items())))
    assert jcs.digest(backwards) == jcs.digest(value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({"b": 1, "a": {"d": False, "c": None}}, b'{"a":{"c":null,"d":false},"b":1}'),
        ([1.0, -0.0, 1e30, 0.1, 1e-7], b"[1,0,1e+30,0.1,1e-7]"),
        ("\x7f", b'"\x7f"'),
        ("\x00\b\t\n\f\r\x1f", b'"\\u0000\\b\\t\\n\\f\\r\\u001f"'),
        ('"\\/', b'"\\"\\\\/"'),
        ({"\ue000": 1, "😀": 2}, '{"😀":2,"\ue000":1}'.encode()),
        (("tuple", [True]), b'["tuple",[true]]'),
        ({}, b"{}"),
    ],
)
def test_known_encodings(value, encoded):
    assert jcs.canonical(value) == encoded


def test_true_is_not_one_and_a_digit_is_not_a_number():
    digests = {jcs.digest(value) for value in (True, 1, "1", [1], None, "null", "", {})}
    assert len(digests) == 8


def test_the_digest_is_stable_across_releases():
    value = {"tool": "set_canary_weight", "parameters": {"weight": 5, "segments": ["ios", "é"]}}
    assert jcs.digest(value) == hashlib.sha256(rfc8785.dumps(value)).hexdigest()
    assert jcs.digest(value) == "6dc724da88b015d89fde9ec3572c2f6126c4f78360a25a130e6be430f3610035"


@pytest.mark.parametrize("number", [SAFE + 1, -SAFE - 1, 2**63, 2**64, 10**400])
def test_integers_that_a_double_cannot_hold_are_refused(number):
    refused(number)
    refused({"é": number})
    refused([number])


@pytest.mark.parametrize("number", [SAFE, -SAFE, 0])
def test_the_largest_safe_integers_are_kept(number):
    assert jcs.canonical([number]) == b"[%d]" % number


@pytest.mark.parametrize("number", [1e16, -1e20, 2.0**53])
def test_floats_that_a_reader_would_take_for_inexact_integers_are_refused(number):
    refused(number)
    refused({"a": [number]})
    assert jcs.canonical(1e21) == b"1e+21"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_json_number_is_refused(number):
    refused(number)
    refused({"a": {"b": [number]}})


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc00\ud800"])
def test_lone_surrogates_are_refused_as_value_and_as_key(text):
    refused(text)
    refused({text: 1})
    refused({"a": [text]})


@pytest.mark.parametrize("value", [{1: "a"}, {None: 1}, {True: 1}, {b"a": 1}, {("a",): 1}, b"raw", {1}, object(), 1j])
def test_what_json_has_no_form_for_is_refused(value):
    refused(value)
    refused({"é": value})


def test_depth_is_bounded():
    assert jcs.canonical(nested(jcs.DEPTH_MAX)).count(b"[") == jcs.DEPTH_MAX
    refused(nested(jcs.DEPTH_MAX + 1))
    refused(nested(jcs.DEPTH_MAX + 1, wrap=lambda inner: {"k": inner}))


def test_depth_is_bounded_wherever_the_fast_path_gave_up():
    deep = nested(jcs.DEPTH_MAX + 1)
    refused(["é", deep])
    refused({"a": 1.5, "b": deep})
    refused(nested(jcs.DEPTH_MAX + 1, leaf="é"))
    refused(["é", nested(100_000)])


def test_a_structure_that_contains_itself_is_refused():
    ring = ["é"]
    ring.append(ring)
    refused(ring)
