"""Counting: what an action would use up of every limit, what of it is used by now, and when waiting helps.

What is observed is part of the question (RULES 7), so that the policy can say no before anything is tried. The intent
transaction counts again, under its lock, and has the last word (RULES 11). The short windows of an agent's own policy
are told only where something was counted in them: who has none pays nothing for them.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from bywire.gateway import inputs
from bywire.gateway.asking import Asked
from bywire.gateway.ports import Counted, Debit, NamedState
from bywire.model.connected import Cost
from bywire.model.decision import Decision
from bywire.model.windows import DAY, HOUR, PERIOD_MS, SLIDING, next_period_ms

# No count comes near it; two of them still fit into 64 bits.
NEVER_FULL = 2**61
# (scope, unit, period) -> what was counted.
Recent: TypeAlias = Mapping[tuple[str, str, str], Counted]


def recent(state: NamedState, asked: Asked, debits: tuple[Debit, ...]) -> Recent:
    """What the short windows hold that this action would be counted in."""
    scopes = {*_own_scopes(asked), *(debit.scope for debit in debits if debit.period in SLIDING)}
    return {(one.scope, one.unit, one.period): one for one in state.recent(sorted(scopes), asked.now_ms)}


def limits(state: NamedState, asked: Asked, debits: tuple[Debit, ...], counted: Recent) -> list[dict[str, Any]]:
    """The operator's limits with what is used of them; `frees_at_ms` where it is too much now and will not be later."""
    found: list[dict[str, Any]] = []
    for debit in debits:
        told: dict[str, Any] = {"name": debit.scope, "limit": debit.limit}
        if debit.unit:
            told |= {"name": debit.name, "asked": debit.amount}
        observed, frees_at_ms = _observed(state, asked.now_ms, debit, counted)
        told["observed"] = observed
        if debit.amount <= debit.limit < observed + debit.amount:
            told["frees_at_ms"] = frees_at_ms
        found.append(told)
    return found


def _observed(state: NamedState, now_ms: int, debit: Debit, counted: Recent) -> tuple[int, int]:
    """(what of a limit is used, when less of it is)."""
    if debit.period in SLIDING:
        one = counted.get((debit.scope, debit.unit, debit.period))
        return (one.observed, one.frees_at_ms) if one is not None else (0, now_ms)
    at, frees_at_ms = now_ms // PERIOD_MS[debit.period], next_period_ms(debit.period, now_ms)
    if debit.unit:
        return state.spent(debit.scope, debit.unit, debit.period, at), frees_at_ms
    return state.used(debit.scope, at), frees_at_ms


def usage(state: NamedState, asked: Asked, counted: Recent, *, wide: bool = False) -> tuple[dict[str, Any], ...]:
    """What the principal spent today in each unit that this action costs, and lately, where that is counted.

    `wide` tells every hour and day that the agent's own policy can bound: what is on trial is refused by nobody later.
    """
    charged = inputs.charged(asked)
    scope, day = f"principal:{asked.action.principal}", asked.now_ms // PERIOD_MS[DAY]
    found = [
        {
            "unit": cost.unit,
            "period": DAY,
            "observed": state.spent(scope, cost.unit, DAY, day),
            "asked": cost.amount,
            "frees_at_ms": next_period_ms(DAY, asked.now_ms),
        }
        for cost in charged
    ]
    if asked.contract is not None and asked.contract.exposure_reducing:
        # Whether this is the retreat that nothing holds up (RULES 16) is known when it commits.
        return tuple(found)
    for cost in charged:
        for name in _own_scopes(asked):
            for period in (HOUR, DAY) if wide else ():
                if (name, period) != (scope, DAY):
                    found.append(_calendar(state, asked.now_ms, name, cost, period))
            for period in SLIDING:
                one = counted.get((name, cost.unit, period))
                if one is not None:
                    found.append(
                        {
                            "scope": name,
                            "unit": cost.unit,
                            "period": period,
                            "observed": one.observed,
                            "asked": cost.amount,
                            "frees_at_ms": one.frees_at_ms,
                        }
                    )
    return tuple(found)


def _calendar(state: NamedState, now_ms: int, scope: str, cost: Cost, period: str) -> dict[str, Any]:
    return {
        "scope": scope,
        "unit": cost.unit,
        "period": period,
        "observed": state.spent(scope, cost.unit, period, now_ms // PERIOD_MS[period]),
        "asked": cost.amount,
        "frees_at_ms": next_period_ms(period, now_ms),
    }


def _own_scopes(asked: Asked) -> tuple[str, ...]:
    """What an agent's own policy can count: all that it does, with one tool, in one environment."""
    own = f"principal:{asked.action.principal}"
    return (own, f"{own}|tool:{asked.action.tool}", f"{own}|environment:{asked.action.environment}")


def policy_debits(asked: Asked, decision: Decision) -> tuple[Debit, ...]:
    """The budgets that the policy in force puts on the principal; what the action costs nothing of is left out.

    One that is on trial is counted and never full (RULES 28).
    """
    amounts = {cost.unit: cost.amount for cost in inputs.charged(asked)}
    here = {"tool": asked.action.tool, "environment": asked.action.environment}
    found = []
    for item in decision.obligations:
        if item.get("kind") != "debit" or not is_debit(item) or item["unit"] not in amounts:
            continue
        named = {name: item[name] for name in here if item.get(name) is not None}
        if named.items() <= here.items():
            scope = "|".join((f"principal:{asked.action.principal}", *(f"{name}:{here[name]}" for name in named)))
            limit = NEVER_FULL if item.get("shadowed") is True else item["limit"]
            found.append(Debit(scope, limit, amounts[item["unit"]], item["period"], item["unit"]))
    return tuple(found)


def is_debit(item: Mapping[str, Any]) -> bool:
    """Whether an obligation says whole what is to be counted."""
    limit = item.get("limit")
    return (
        isinstance(item.get("unit"), str)
        and item.get("period") in PERIOD_MS
        and type(limit) is int
        and limit >= 0
        and all(item.get(name) is None or isinstance(item[name], str) for name in ("tool", "environment"))
    )
