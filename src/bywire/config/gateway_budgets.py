"""`budgets` and `teams` of gateway.yaml: what may be spent in a day, and by whom together."""

from decimal import ROUND_FLOOR, Decimal

from bywire.config.operator_config import ENVIRONMENTS
from bywire.config.reading import Node
from bywire.config.tool_names import TOOL
from bywire.model.connected import THOUSANDTHS
from bywire.model.gateway_budgets import Budget

BUDGETS_MAX = 512
TEAMS_MAX = 128
MEMBERS_MAX = 500
PER_DAY_MAX = 1_000_000_000
AGENT = r"agent:[a-z0-9][a-z0-9._-]{0,62}"
TEAM = r"[a-z0-9][a-z0-9._-]{0,62}"
UNIT = r"[a-z][a-z0-9_]{0,31}"
_SCOPE = rf"{AGENT}|team:{TEAM}|tool:(?:{TOOL})|environment:(?:{'|'.join(ENVIRONMENTS)})"


def read_budgets(node: Node) -> tuple[Budget, ...]:
    """`[{scope, unit, per_day}]`. Raises FieldError naming the first fault."""
    found: dict[tuple[str, str], Budget] = {}
    for item in node.items("budgets", least=0, most=BUDGETS_MAX):
        names = ("scope", "unit", "per_day")
        fields = item.fields(names, required=names)
        scope = fields["scope"].text("agent:NAME, team:NAME, tool:NAME or environment:NAME", pattern=_SCOPE)
        unit = fields["unit"].text("a unit such as replica_hours", pattern=UNIT)
        if (scope, unit) in found:
            raise item.refuse(f"{scope} has two budgets of {unit}", "keep one of them")
        most = Decimal(repr(fields["per_day"].number(0, PER_DAY_MAX)))
        found[scope, unit] = Budget(scope, unit, int((most * THOUSANDTHS).to_integral_value(ROUND_FLOOR)))
    return tuple(found.values())


def read_teams(node: Node) -> dict[str, tuple[str, ...]]:
    """`{team: [agents]}`; an agent is in one team. Raises FieldError naming the first fault."""
    teams: dict[str, tuple[str, ...]] = {}
    member_of: dict[str, str] = {}
    for team, members in node.mapping("teams", pattern=TEAM, most=TEAMS_MAX).items():
        items = members.items("agents", least=0, most=MEMBERS_MAX, distinct=True)
        teams[team] = tuple(item.text("an agent such as agent:deploy-bot", pattern=AGENT) for item in items)
        for item, agent in zip(items, teams[team], strict=True):
            if agent in member_of:
                raise item.refuse(
                    f"{agent} is in {member_of[agent]} already", "what it costs is charged once: keep one"
                )
            member_of[agent] = team
    return teams
