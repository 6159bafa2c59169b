"""An agent's budgets as Rego: what is counted when an action is done, and a no where the input shows no room for it.

What the input does not show is left to the intent transaction, which counts every debit. The input tells of a second
and a minute only where something was counted in them; of the day what the agent spent in all; and of the rest, for each
scope apart, where a rule of an agent's policy is on trial, so that a trial is recorded whatever the budget's period is.
"""

from collections.abc import Callable, Iterator
from typing import Any

from bywire.model.windows import DAY, HOUR, SLIDING
from bywire.policy.agent_bounds import THOUSANDTHS, ActionBounds, AgentBounds, Budget
from bywire.policy.condition_rego import literal, rule_text

# (rule word, facts by name, message, next step, body) -> the text of a rule of `deny`.
Deny = Callable[[str, dict[str, str], str, str, list[str]], str]
_WORD = "budget"
_NEXT = {
    DAY: "ask for less, wait for the next day, or have the operator raise the budget",
    HOUR: "ask for less, wait for the next hour, or have the operator raise the budget",
    **dict.fromkeys(SLIDING, "send it again after `retry.after_seconds`, or have the operator raise the budget"),
}
_USAGE = 'usage := object.get(input, ["state", "usage"], [])'
_ROOM = """leaves_room(observed, asked, limit) if {
	is_number(observed)
	is_number(asked)
	asked >= 0
	observed + asked <= limit
}"""
_WAIT = """# How long until less of it counts; null where that would not do.
wait(item, asked, limit) := object.get(item, "frees_at_ms", null) - object.get(input, "now_ms", null) if {
	is_number(object.get(item, "frees_at_ms", null))
	is_number(object.get(input, "now_ms", null))
	is_number(asked)
	asked <= limit
}

else := null"""


def budget_rules(bounds: AgentBounds, deny: Deny) -> Iterator[str]:
    """What everything that the agent does is counted against, and what all such rules share."""
    for budget in bounds.budgets:
        yield _debit(bounds.agent, budget, "", ["tool in listed", *_there(budget)])
    if bounds.budgets or any(action.budgets for action in bounds.actions):
        yield from (_USAGE, _ROOM, _WAIT)
    for budget in bounds.budgets:
        yield _refusal(bounds.agent, budget, "", ["tool in listed", *_there(budget)], deny)


def action_budget_rules(agent: str, action: ActionBounds, deny: Deny) -> Iterator[str]:
    """What each tool of an action is counted against."""
    for budget in action.budgets:
        for tool in action.tools:
            guard = [f"tool == {literal(tool)}"]
            yield _debit(agent, budget, tool, guard)
            yield _refusal(agent, budget, tool, guard, deny)


def scope(agent: str, tool: str, environment: str) -> str:
    """What a count of the input is called."""
    named = [("principal", f"agent:{agent}"), ("tool", tool), ("environment", environment)]
    return "|".join(f"{kind}:{name}" for kind, name in named if name)


def _there(budget: Budget) -> list[str]:
    return [f"environment == {literal(budget.environment)}"] if budget.environment else []


def _debit(agent: str, budget: Budget, tool: str, guard: list[str]) -> str:
    fields: dict[str, Any] = {
        "unit": budget.unit,
        "period": budget.period,
        "limit": budget.limit,
        "because": f"agents.{agent}.{_WORD}",
    }
    fields |= {"tool": tool} if tool else {}
    fields |= {"environment": budget.environment} if budget.environment else {}
    return rule_text(f"debits contains {literal(fields)}", guard)


def _refusal(agent: str, budget: Budget, tool: str, guard: list[str], deny: Deny) -> str:
    own, counted = scope(agent, "", ""), scope(agent, tool, budget.environment)
    return deny(
        _WORD,
        {
            "unit": literal(budget.unit),
            "period": literal(budget.period),
            "scope": literal(counted),
            "observed": "observed",
            "asked": "asked",
            "limit": literal(budget.limit),
            "retry_after_ms": f"wait(item, asked, {budget.limit})",
        },
        f"this would exceed {_in_words(budget, tool)} (observed, asked and limit are thousandths)",
        _NEXT[budget.period],
        [
            *guard,
            "is_array(usage)",
            "some item in usage",
            "is_object(item)",
            f'object.get(item, "scope", {literal(own)}) == {literal(counted)}',
            f'object.get(item, "unit", null) == {literal(budget.unit)}',
            f'object.get(item, "period", null) == {literal(budget.period)}',
            'observed := object.get(item, "observed", null)',
            'asked := object.get(item, "asked", null)',
            f"not leaves_room(observed, asked, {budget.limit})",
        ],
    )


def _in_words(budget: Budget, tool: str) -> str:
    whole, rest = divmod(budget.limit, THOUSANDTHS)
    amount = f"{literal(budget.limit / THOUSANDTHS if rest else whole)} {budget.unit}"
    where = f" with {tool}" if tool else f" in {budget.environment}" if budget.environment else ""
    if budget.period == DAY:
        return f"the daily budget of {amount}{where}"
    return f"{amount} in {'any' if budget.period in SLIDING else 'an'} {budget.period}{where}"
