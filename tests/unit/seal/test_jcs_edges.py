"""Which values take msgspec's way and which take RFC 8785's own: only what is surely the same takes the fast one."""

from collections import OrderedDict

import pytest
import rfc8785

from bywire.model.errors import EvidenceError
from bywire.seal import jcs

LARGEST = 9_007_199_254_740_991
PLAIN = [
    "text",
    "",
    LARGEST,
    -LARGEST,
    0,
    True,
    False,
    None,
    [],
    {},
    (),
    [1, "a", None],
    ("a", True),
    {"a~ ": {"b": [1, False]}},
]
STRICT = ["é", "\n", "\x7f", 1.5, LARGEST + 1, ["é"], {"a": 1.5}, {"é": 1}, OrderedDict(a=1), [OrderedDict(a=1)]]


class Reached(Exception):
    pass


def refuse(value):
    raise Reached


@pytest.mark.parametrize("value", PLAIN)
def test_a_plain_value_takes_the_fast_way(monkeypatch, value):
    expected = rfc8785.dumps(value)
    monkeypatch.setattr(rfc8785, "dumps", refuse)
    assert jcs.canonical(value) == expected


@pytest.mark.parametrize("value", STRICT)
def test_whatever_could_differ_takes_the_strict_way(monkeypatch, value):
    monkeypatch.setattr(rfc8785, "dumps", refuse)
    with pytest.raises(Reached):
        jcs.canonical(value)


def test_the_largest_whole_number_may_be_a_float():
    assert jcs.canonical(float(LARGEST)) == b"9007199254740991"
    for number in (float(LARGEST + 1), -float(LARGEST + 1)):
        with pytest.raises(EvidenceError):
            jcs.canonical(number)
    assert jcs.canonical(1e21) == b"1e+21"


def nested(depth, kind):
    value = "x"
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
def test_sixty_four_levels_are_allowed_and_one_more_is_not(kind):
    assert jcs.canonical(nested(64, kind))
    with pytest.raises(EvidenceError) as caught:
        jcs.canonical(nested(65, kind))
    assert caught.value.code == "not_canonical"
