"""Conditions of a tool contract: what must be true of the target before an action, and what must be true after it.

A condition compares one field of what the target says with a parameter of the call or a constant. It is pure: the
names of the unmet ones are facts that the policy weighs and the outcome records.
"""

from enum import StrEnum
from typing import Any

import msgspec

from bywire.model.connected import Parameter, value_at


class Comparison(StrEnum):
    """How the observed value must compare."""

    EQUALS = "equals"
    AT_MOST = "at_most"
    PRESENT = "present"


class Condition(msgspec.Struct, frozen=True):
    """`observed` names a field of the target's state; it is compared with the call's `parameter`, or with `value`."""

    name: str
    observed: str
    test: Comparison
    parameter: Parameter = ()
    value: Any = None


def unmet(conditions: tuple[Condition, ...], parameters: dict[str, Any], target: dict[str, Any]) -> tuple[str, ...]:
    """Names of the conditions that do not hold; what the target does not say is not met."""
    return tuple(condition.name for condition in conditions if not _holds(condition, parameters, target))


def _holds(condition: Condition, parameters: dict[str, Any], target: dict[str, Any]) -> bool:
    if condition.observed not in target:
        return False
    seen = target[condition.observed]
    if condition.test is Comparison.PRESENT:
        return bool(seen)
    wanted = value_at(parameters, condition.parameter) if condition.parameter else condition.value
    if condition.test is Comparison.EQUALS:
        return wanted is not None and type(seen) is type(wanted) and bool(seen == wanted)
    return type(seen) is int and type(wanted) is int and seen <= wanted
