"""Budgets of the gateway: what agents, teams, tools and environments may cost, and how often agents may ask."""

import msgspec


class Budget(msgspec.Struct, frozen=True):
    """At most `per_day` thousandths of `unit` in a day (UTC), for `scope`.

    A scope is `agent:NAME`, `team:NAME`, `tool:NAME` or `environment:NAME`.
    """

    scope: str
    unit: str
    per_day: int


class WindowBudget(msgspec.Struct, frozen=True):
    """At most `limit` thousandths of `unit` in any second or minute (`period`), for a `scope` as a budget has it."""

    scope: str
    unit: str
    period: str
    limit: int


class CallRate(msgspec.Struct, frozen=True):
    """At most `limit` calls in any second or minute (`period`): of all (`calls`), or of those in vain (`refusals`).

    A scope is `agent:NAME`, `agent:*` (each agent without one of its own) or `tool:NAME` (what each asks of that tool).
    """

    scope: str
    period: str
    limit: int


# No person and no model that reads its answers asks in vain five times a second for a minute.
REFUSALS = (CallRate("agent:*", "minute", 300),)


class Budgets(msgspec.Struct, frozen=True):
    """Sections `budgets` and `teams` of gateway.yaml. A principal belongs to one team or to none."""

    budgets: tuple[Budget, ...] = ()
    teams: dict[str, tuple[str, ...]] = {}
    windows: tuple[WindowBudget, ...] = ()

    def team_of(self, principal: str) -> str:
        """The team of a principal; empty when it has none."""
        return next((team for team, members in self.teams.items() if principal in members), "")
