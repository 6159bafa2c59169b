"""Inputs for which the fast encoding needs care, and those for which it must not be left."""

import sys

import pytest

from bywire.policy.engine import canonical_input
from bywire.seal import jcs

# The package exports the function under the module's own name.
module = sys.modules[canonical_input.__module__]


class Reached(Exception):
    pass


class Refusing:
    def decode(self, encoded):
        raise Reached


def refuse(value):
    raise Reached


@pytest.mark.parametrize(
    "value",
    [
        {"a": -0.0, "b": 2.0},
        {"a": 'x"1.0,', "b": 2.0},
        {"a": '"', "b": "1.0,", "c": 2.0},
        {"a": "\\", "b": 12_345.0},
        {"a": '\\"5.0]', "b": [1.0, -12.0]},
        {"a": "1.0,", "b": 12_345.0},
        {"1.0,": 2.0, "b": ["3.0}", 4.0]},
        {"a": "no number", "b": 1.0, "c": "7.0,", "d": {"e": 2.0}},
    ],
)
def test_whole_floats_lose_their_fraction_and_texts_keep_theirs(value):
    assert canonical_input(value) == jcs.canonical(value)


def test_text_beyond_ascii_stays_on_the_fast_way_unless_it_sorts_otherwise(monkeypatch):
    monkeypatch.setattr(module.jcs, "canonical", refuse)
    assert canonical_input({"a": "é"}) == '{"a":"é"}'.encode()
    with pytest.raises(Reached):
        canonical_input({"\U00010000": 1})


def test_plain_whole_floats_are_cut_without_reading_the_input_again(monkeypatch):
    monkeypatch.setattr(module, "_DECODER", Refusing())
    assert canonical_input({"a": 2.0, "b": [10.0]}) == b'{"a":2,"b":[10]}'
    for value in ({"a": -0.0}, {"a": "\\", "b": 1.0}):
        with pytest.raises(Reached):
            canonical_input(value)
