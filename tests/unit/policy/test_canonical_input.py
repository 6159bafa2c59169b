import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knowledge import fixture

from bywire.model.errors import EvidenceError
from bywire.policy.engine import canonical_input
from bywire.seal import jcs

# What separates the two encoders: code points around the surrogates, and text that looks like numbers.
TRICKY = st.sampled_from(["\U00010000", "\ue000", "\uffff", "é", "1.0,", ':1e16,"', "\\", '"', "\u2028", "9" * 20])
TEXT = st.text(max_size=6) | TRICKY
NUMBERS = (
    st.integers(-(2**54), 2**54)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-100, 100).map(float)
    | st.sampled_from([-0.0, 1e-6, 1e-7, 1e15, 9e15, 1e16, 1e21, 2.0**53, 5e-324])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_the_fast_way_equals_jcs(value):
    try:
        expected = jcs.canonical(value)
    except EvidenceError:
        with pytest.raises(EvidenceError):
            canonical_input(value)
        return
    assert canonical_input(value) == expected


@pytest.mark.parametrize("name", ["start", "release", "grant", "operator"])
def test_real_inputs_equal_jcs(name):
    assert canonical_input(fixture(name)) == jcs.canonical(fixture(name))


def test_the_order_of_keys_does_not_matter():
    question = fixture("start")
    assert canonical_input(dict(reversed(question.items()))) == canonical_input(question)


def test_what_json_cannot_carry_reads_as_missing():
    assert canonical_input({"a": math.nan, "b": math.inf}) == b'{"a":null,"b":null}'


def test_a_value_without_json_form_is_refused():
    with pytest.raises(TypeError):
        canonical_input({"a": object()})
