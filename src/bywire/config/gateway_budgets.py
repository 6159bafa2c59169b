"""`budgets`, `teams`, `calls` and `refusals` of gateway.yaml: who may spend what, and ask how often."""

from decimal import ROUND_FLOOR, Decimal

from bywire.config.operator_config import ENVIRONMENTS
from bywire.config.reading import Node, read_optional
from bywire.config.tool_names import TOOL
from bywire.gateway.connected import ACTIONS
from bywire.model.connected import THOUSANDTHS
from bywire.model.gateway_budgets import Budget, CallRate, WindowBudget
from bywire.model.windows import DAY, SLIDING

BUDGETS_MAX = 512
TEAMS_MAX = 128
MEMBERS_MAX = 500
AMOUNT_MAX = 1_000_000_000
RATES_MAX = 512
# What is remembered of each scope and period: one number a call.
CALLS_MAX = 100_000
AGENT = r"agent:[a-z0-9][a-z0-9._-]{0,62}"
TEAM = r"[a-z0-9][a-z0-9._-]{0,62}"
UNIT = r"[a-z][a-z0-9_]{0,31}"
_SHORT = {f"per_{period}": period for period in SLIDING}
_PER_DAY = f"per_{DAY}"
_CALLER = rf"{AGENT}|agent:\*|tool:(?:{TOOL})"
_SCOPE = rf"{AGENT}|team:{TEAM}|tool:(?:{TOOL})|environment:(?:{'|'.join(ENVIRONMENTS)})"


def read_budgets(node: Node) -> tuple[Budget | WindowBudget, ...]:
    """`[{scope, unit, per_second, per_minute, per_day}]`; no unit counts actions.

    Raises FieldError naming the first fault.
    """
    found: dict[tuple[str, str, str], Budget | WindowBudget] = {}
    for item in node.items("budgets", least=0, most=BUDGETS_MAX):
        fields = item.fields(("scope", "unit", *_SHORT, _PER_DAY), required=("scope",))
        scope = fields["scope"].text("agent:NAME, team:NAME, tool:NAME or environment:NAME", pattern=_SCOPE)
        unit = read_optional(fields, "unit", _unit, ACTIONS)
        if fields.keys().isdisjoint((*_SHORT, _PER_DAY)):
            raise item.refuse("this budget bounds nothing", f"write {', '.join((*_SHORT, _PER_DAY))}")
        for word, period in {**_SHORT, _PER_DAY: DAY}.items():
            if word not in fields:
                continue
            if (scope, unit, period) in found:
                raise item.refuse(f"{scope} has two budgets of {unit} a {period}", "keep one of them")
            limit = _thousandths(fields[word], whole=unit == ACTIONS and period != DAY)
            made = Budget(scope, unit, limit) if period == DAY else WindowBudget(scope, unit, period, limit)
            found[scope, unit, period] = made
    return tuple(found.values())


def _unit(node: Node) -> str:
    return node.text("a unit such as replica_hours", pattern=UNIT)


def _thousandths(node: Node, *, whole: bool) -> int:
    """An amount; `whole` where a part of one would let nothing pass."""
    most = Decimal(node.integer(0, AMOUNT_MAX, "actions") if whole else repr(node.number(0, AMOUNT_MAX)))
    return int((most * THOUSANDTHS).to_integral_value(ROUND_FLOOR))


def read_calls(node: Node) -> tuple[CallRate, ...]:
    """`[{scope, per_second, per_minute}]`: how often may be asked, or in vain. FieldError for the first fault."""
    found: dict[tuple[str, str], CallRate] = {}
    for item in node.items("rates", least=0, most=RATES_MAX):
        fields = item.fields(("scope", *_SHORT), required=("scope",))
        scope = fields["scope"].text("agent:NAME, agent:* or tool:NAME", pattern=_CALLER)
        if fields.keys().isdisjoint(_SHORT):
            raise item.refuse("this rate bounds nothing", f"write {', '.join(_SHORT)}")
        for word, period in _SHORT.items():
            if word not in fields:
                continue
            if (scope, period) in found:
                raise item.refuse(f"{scope} has two rates a {period}", "keep one of them")
            found[scope, period] = CallRate(scope, period, fields[word].integer(1, CALLS_MAX, "calls"))
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
