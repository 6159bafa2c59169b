"""Budgets of the gateway: what agents, teams, tools and environments may cost in a day; who belongs to which team."""

import msgspec


class Budget(msgspec.Struct, frozen=True):
    """At most `per_day` thousandths of `unit` in a day (UTC), for `scope`.

    A scope is `agent:NAME`, `team:NAME`, `tool:NAME` or `environment:NAME`.
    """

    scope: str
    unit: str
    per_day: int


class Budgets(msgspec.Struct, frozen=True):
    """Sections `budgets` and `teams` of gateway.yaml. A principal belongs to one team or to none."""

    budgets: tuple[Budget, ...] = ()
    teams: dict[str, tuple[str, ...]] = {}

    def team_of(self, principal: str) -> str:
        """The team of a principal; empty when it has none."""
        return next((team for team, members in self.teams.items() if principal in members), "")
