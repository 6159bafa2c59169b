"""Connected tools in plain values: where one acts, and what a call of it costs."""

from typing import Any

import msgspec

PRODUCTION = "production"
THOUSANDTHS = 1000


class Place(msgspec.Struct, frozen=True):
    """Where a connected tool acts.

    With `parameter`, its value chooses the environment: one that `values` does not list, or none, is production.
    """

    service: str
    environment: str
    parameter: str = ""
    values: dict[str, str] = {}

    def of(self, parameters: dict[str, Any]) -> tuple[str, str]:
        """(service, environment) of a call with these parameters."""
        if not self.parameter:
            return self.service, self.environment
        said = parameters.get(self.parameter)
        return self.service, self.values.get(said, PRODUCTION) if isinstance(said, str) else PRODUCTION


class CostRule(msgspec.Struct, frozen=True):
    """What one call costs in `unit`: the value of `parameter` (or one) times `factor` thousandths."""

    unit: str
    factor: int
    parameter: str = ""


class Cost(msgspec.Struct, frozen=True):
    """What one call costs, in thousandths of `unit`."""

    unit: str
    amount: int
