"""What two readers could take for two things is no document."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.seal.strict_json import one_reading

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_has_one_reading_is_read(value):
    assert one_reading(json.dumps(value)) == value


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '[{"b":{"a":1,"a":2}}]', '{"":1,"":1}'])
def test_no_member_is_there_twice(text):
    with pytest.raises(ValueError, match=r"^an object has two members of one name$"):
        one_reading(text)


@pytest.mark.parametrize("text", ["NaN", '{"a":[Infinity]}', "[-Infinity]"])
def test_a_number_that_json_cannot_carry_is_none(text):
    with pytest.raises(ValueError, match=r"^it holds a number that JSON cannot carry$"):
        one_reading(text)


@pytest.mark.parametrize("text", ["", "{", '{"a":1}{}', "[1,]", "\ufeff{}", "'a'", "01"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(json.JSONDecodeError):
        one_reading(text)
