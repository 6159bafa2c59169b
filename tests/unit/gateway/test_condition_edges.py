"""A condition holds only for what the target says, in the very type that was asked for."""

import pytest

from bywire.gateway.condition import Comparison, Condition, unmet

EQUALS, AT_MOST, PRESENT = Comparison.EQUALS, Comparison.AT_MOST, Comparison.PRESENT


def holds(test, target, parameters=None, **asked):
    return unmet((Condition("c", "seen", test, **asked),), parameters or {}, target) == ()


@pytest.mark.parametrize(
    ("seen", "wanted", "held"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("", "", True),
        ("5", 5, False),
        (5, 5, True),
        (True, 1, False),
        (1, True, False),
        (1.0, 1, False),
        (["ios"], ["ios"], True),
        (None, "", False),
    ],
)
def test_equal_is_of_the_same_type(seen, wanted, held):
    assert holds(EQUALS, {"seen": seen}, value=wanted) is held
    assert holds(EQUALS, {"seen": seen}, {"p": wanted}, parameter=("p",)) is held


@pytest.mark.parametrize(
    ("seen", "most", "held"),
    [(4, 5, True), (5, 5, True), (6, 5, False), (True, 5, False), (4, True, False), (4.0, 5, False), ("4", 5, False)],
)
def test_at_most_is_of_whole_numbers(seen, most, held):
    assert holds(AT_MOST, {"seen": seen}, value=most) is held
    assert holds(AT_MOST, {"seen": seen}, {"p": most}, parameter=("p",)) is held


@pytest.mark.parametrize(
    ("seen", "held"), [("a", True), ("", False), (None, False), (0, False), ([], False), (1, True)]
)
def test_present_is_more_than_empty(seen, held):
    assert holds(PRESENT, {"seen": seen}) is held


def test_a_parameter_is_asked_for_before_the_constant():
    assert holds(EQUALS, {"seen": "a"}, {"p": "a"}, parameter=("p",), value="b")
    assert holds(EQUALS, {"seen": "b"}, {"p": "a", "": "c"}, value="b")


@pytest.mark.parametrize("test", list(Comparison))
def test_what_the_target_does_not_say_is_not_met(test):
    assert not holds(test, {"other": 1}, value=1)
    assert not holds(test, {}, value=None)


def test_only_the_unmet_ones_are_named_in_order():
    conditions = tuple(Condition(name, name, PRESENT) for name in ("b", "a", "c"))
    assert unmet(conditions, {}, {"a": 1}) == ("b", "c")


def test_a_parameter_that_is_not_given_equals_nothing():
    condition = Condition("same", "canary", Comparison.EQUALS, parameter=("artifact",))
    assert unmet((condition,), {}, {"canary": None}) == ("same",)
