"""Connected tools in plain values: where one acts, what a call of it costs, and how much time it may ask for."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

PRODUCTION = "production"
THOUSANDTHS = 1000
# The names that lead to a parameter, from the call's own down through objects; empty: none.
Parameter: TypeAlias = tuple[str, ...]


def value_at(parameters: Mapping[str, Any], parameter: Parameter) -> Any:
    """What a call says there; None when it says nothing, whatever is missing on the way."""
    found: Any = parameters
    for name in parameter:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


class Place(msgspec.Struct, frozen=True):
    """Where a connected tool acts.

    With `parameter`, its value chooses the environment: one that `values` does not list, or none, is production.
    """

    service: str
    environment: str
    parameter: Parameter = ()
    values: dict[str, str] = {}

    def of(self, parameters: dict[str, Any]) -> tuple[str, str]:
        """(service, environment) of a call with these parameters."""
        if not self.parameter:
            return self.service, self.environment
        said = value_at(parameters, self.parameter)
        return self.service, self.values.get(said, PRODUCTION) if isinstance(said, str) else PRODUCTION


class TimeWindow(msgspec.Struct, frozen=True):
    """At most `seconds` between the times that the parameters `since` and `until` name."""

    since: str
    until: str
    seconds: int


class CostRule(msgspec.Struct, frozen=True):
    """What one call costs in `unit`: the value of `parameter` (or one) times `factor` thousandths."""

    unit: str
    factor: int
    parameter: Parameter = ()


class Cost(msgspec.Struct, frozen=True):
    """What one call costs, in thousandths of `unit`."""

    unit: str
    amount: int


class Verification(msgspec.Struct, frozen=True):
    """The read that shows whether a call had its effect.

    `taken` says which of the read's parameters is which of the call's, `fixed` what the others are.
    """

    tool: str
    taken: dict[str, Parameter] = {}
    fixed: dict[str, Any] = {}
