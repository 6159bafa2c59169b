"""Counting: what an action would use up, what of it is used by now, and when waiting helps."""

import msgspec
import pytest
from gateway_doubles import AGENT, LAST_GOOD, NOW, OPERATOR, MemoryState, ask, decision, entrance

from bywire.gateway import counting, inputs
from bywire.gateway.ports import Counted, Debit
from bywire.model.connected import Cost
from bywire.model.gateway_budgets import Budget, Budgets, WindowBudget
from bywire.model.windows import DAY, HOUR, MINUTE, PERIOD_MS, SECOND

OWN = f"principal:{AGENT.id}"
TOOL, PLACE = f"{OWN}|tool:set_canary_weight", f"{OWN}|environment:production"
HOUR_NOW, DAY_NOW = NOW // PERIOD_MS[HOUR], NOW // PERIOD_MS[DAY]
HOUR_END, DAY_END = (HOUR_NOW + 1) * PERIOD_MS[HOUR], (DAY_NOW + 1) * PERIOD_MS[DAY]
SOON = NOW + 700


TOKENS = (Cost("tokens", 5_000),)


def asked(tool="set_canary_weight", values=None, costs=TOKENS):
    return msgspec.structs.replace(entrance().ask("1", ask(tool, values)), costs=costs)


def stored(*lately, **counts):
    state = MemoryState()
    state.lately, state.counts = lately, counts.get("counts", {})
    return state


def debit(**changes):
    return {"kind": "debit", "unit": "actions", "period": DAY, "limit": 3_000, **changes}


# --- what a short window holds ---


def test_only_the_short_windows_that_this_action_would_be_counted_in_are_looked_at():
    scopes = [OWN, TOOL, PLACE, f"{OWN}|tool:other", "team:shop", "tool:set_canary_weight", "agent:other"]
    state = stored(*(Counted(scope, "actions", SECOND, 1_000, SOON) for scope in scopes))
    debits = (Debit("team:shop", 9, 1, MINUTE, "actions"), Debit("tool:set_canary_weight", 9, 1, DAY, "actions"))
    found = counting.recent(state, asked(), debits)
    assert sorted(scope for scope, _, _ in found) == sorted([OWN, TOOL, PLACE, "team:shop"])
    assert found[OWN, "actions", SECOND].frees_at_ms == SOON


# --- the operator's limits ---


@pytest.mark.parametrize(
    ("debit", "told"),
    [
        (Debit(OWN, 50), {"name": OWN, "limit": 50, "observed": 4}),
        (Debit(OWN, 5), {"name": OWN, "limit": 5, "observed": 4}),
        (Debit(OWN, 4), {"name": OWN, "limit": 4, "observed": 4, "frees_at_ms": HOUR_END}),
        (Debit(OWN, 0), {"name": OWN, "limit": 0, "observed": 4}),
        (Debit(OWN, 1, 2), {"name": OWN, "limit": 1, "observed": 4}),
        (
            Debit(OWN, 9_000, 2_000, DAY, "tokens"),
            {"name": f"{OWN}: thousandths of tokens a day", "limit": 9_000, "asked": 2_000, "observed": 7_000},
        ),
        (
            Debit(OWN, 8_999, 2_000, DAY, "tokens"),
            {
                "name": f"{OWN}: thousandths of tokens a day",
                "limit": 8_999,
                "asked": 2_000,
                "observed": 7_000,
                "frees_at_ms": DAY_END,
            },
        ),
        (
            Debit(OWN, 3_000, 1_000, SECOND, "actions"),
            {
                "name": f"{OWN}: thousandths of actions a second",
                "limit": 3_000,
                "asked": 1_000,
                "observed": 3_000,
                "frees_at_ms": SOON,
            },
        ),
        (
            Debit(OWN, 1_000, 1_000, SECOND, "actions"),
            {
                "name": f"{OWN}: thousandths of actions a second",
                "limit": 1_000,
                "asked": 1_000,
                "observed": 3_000,
                "frees_at_ms": SOON,
            },
        ),
        (
            Debit(OWN, 3_000, 1_000, MINUTE, "actions"),
            {"name": f"{OWN}: thousandths of actions a minute", "limit": 3_000, "asked": 1_000, "observed": 0},
        ),
    ],
)
def test_a_limit_is_told_with_what_is_used_and_when_there_is_room(debit, told):
    counts = {(OWN, HOUR_NOW): 4, (OWN, HOUR_NOW - 1): 50, (OWN, "tokens", DAY, DAY_NOW): 7_000}
    state = stored(Counted(OWN, "actions", SECOND, 3_000, SOON), counts=counts)
    made = asked()
    assert counting.limits(state, made, (debit,), counting.recent(state, made, (debit,))) == [told]


def test_limits_are_told_in_their_order():
    debits = (Debit("b", 1), Debit("a", 1))
    assert [told["name"] for told in counting.limits(stored(), asked(), debits, {})] == ["b", "a"]


# --- what the principal spent ---


def test_what_was_spent_is_told_by_the_day_and_lately_where_it_was_counted():
    counts = {(OWN, "tokens", DAY, DAY_NOW): 7_000, (OWN, "tokens", DAY, DAY_NOW - 1): 9_000}
    state = stored(
        Counted(TOOL, "tokens", MINUTE, 6_000, SOON),
        Counted(OWN, "actions", SECOND, 1_000, SOON),
        Counted(OWN, "hours", SECOND, 1_000, SOON),
        counts=counts,
    )
    made = asked()
    day = {"period": DAY, "frees_at_ms": DAY_END}
    assert counting.usage(state, made, counting.recent(state, made, ())) == (
        {"unit": "actions", "observed": 0, "asked": 1_000, **day},
        {"unit": "tokens", "observed": 7_000, "asked": 5_000, **day},
        {
            "scope": OWN,
            "unit": "actions",
            "period": SECOND,
            "observed": 1_000,
            "asked": 1_000,
            "frees_at_ms": SOON,
        },
        {
            "scope": TOOL,
            "unit": "tokens",
            "period": MINUTE,
            "observed": 6_000,
            "asked": 5_000,
            "frees_at_ms": SOON,
        },
    )


def test_what_a_budget_on_trial_is_about_is_told_whatever_the_period():
    counts = {(PLACE, "tokens", HOUR, HOUR_NOW): 7_000, (TOOL, "actions", DAY, DAY_NOW): 2_000}
    made, state = asked(), stored(counts=counts)
    plain, found = (counting.usage(state, made, {}, wide=wide) for wide in (False, True))
    assert found[:2] == plain
    told = {(item["scope"], item["unit"], item["period"]): item for item in found[2:]}
    assert len(told) == len(found[2:]) == 2 * (3 * 2 - 1)
    assert (OWN, "tokens", DAY) not in told
    assert told[PLACE, "tokens", HOUR] == {
        "scope": PLACE,
        "unit": "tokens",
        "period": HOUR,
        "observed": 7_000,
        "asked": 5_000,
        "frees_at_ms": HOUR_END,
    }
    assert (told[TOOL, "actions", DAY]["observed"], told[TOOL, "actions", DAY]["frees_at_ms"]) == (2_000, DAY_END)


def test_rule_28_a_budget_on_trial_is_counted_and_never_full():
    (found,) = counting.policy_debits(asked(), decision(obligations=[debit(shadowed=True)]))
    assert (found.scope, found.amount, found.limit) == (OWN, 1_000, counting.NEVER_FULL)
    for odd in (None, 1, "true", False):
        (found,) = counting.policy_debits(asked(), decision(obligations=[debit(shadowed=odd)]))
        assert found.limit == 3_000


def test_rule_16_no_short_window_holds_a_retreat_up():
    state = stored(Counted(OWN, "actions", SECOND, 9_000, SOON))
    retreat = asked("rollback_release", {"to": LAST_GOOD}, ())
    found = counting.usage(state, retreat, counting.recent(state, retreat, ()))
    assert [item["period"] for item in found] == [DAY]
    unknown = asked("rm_rf", {}, ())
    found = counting.usage(state, unknown, counting.recent(state, unknown, ()))
    assert [item["period"] for item in found] == [DAY, SECOND]


# --- what the policy wants counted ---


@pytest.mark.parametrize(
    ("obligation", "scope"),
    [
        (debit(), OWN),
        (debit(tool=None, environment=None), OWN),
        (debit(tool="set_canary_weight"), TOOL),
        (debit(environment="production"), PLACE),
        (debit(tool="set_canary_weight", environment="production"), f"{TOOL}|environment:production"),
        (debit(tool="other"), None),
        (debit(environment="staging"), None),
        (debit(tool="set_canary_weight", environment="staging"), None),
        (debit(tool=""), None),
        (debit(unit="hours"), None),
        (debit(kind="approval"), None),
        (debit(limit="3"), None),
    ],
)
def test_a_budget_of_the_policy_is_counted_where_it_is_meant(obligation, scope):
    found = counting.policy_debits(asked(), decision(obligations=[obligation]))
    assert found == (() if scope is None else (Debit(scope, 3_000, 1_000, DAY, "actions"),))


def test_what_costs_nothing_hides_no_other_budget():
    wanted = [{"kind": "tier"}, debit(unit="hours"), debit(tool="other"), debit(unit="tokens", limit=0, period=SECOND)]
    assert counting.policy_debits(asked(), decision(obligations=wanted)) == (Debit(OWN, 0, 5_000, SECOND, "tokens"),)


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, True),
        ({"limit": 0}, True),
        ({"limit": -1}, False),
        ({"limit": True}, False),
        ({"limit": 1.0}, False),
        ({"limit": "1"}, False),
        ({"limit": None}, False),
        ({"unit": None}, False),
        ({"unit": 1}, False),
        ({"period": "week"}, False),
        ({"period": None}, False),
        ({"period": SECOND}, True),
        ({"period": MINUTE}, True),
        ({"period": HOUR}, True),
        ({"tool": "t", "environment": "e"}, True),
        ({"tool": None}, True),
        ({"tool": 1}, False),
        ({"environment": ["e"]}, False),
    ],
)
def test_a_debit_says_whole_what_is_counted(changes, whole):
    assert counting.is_debit(debit(**changes)) is whole


# --- the operator's budgets ---


def test_an_action_is_counted_in_the_budgets_that_name_it_and_that_it_costs_something_of():
    budgets = Budgets(
        budgets=(
            Budget(AGENT.id, "tokens", 1),
            Budget(AGENT.id, "hours", 2),
            Budget("agent:other", "tokens", 3),
            Budget("agent:other", "hours", 4),
            Budget("team:shop", "actions", 5),
            Budget("team:other", "actions", 6),
            Budget("environment:production", "actions", 7),
        ),
        teams={"other": ("agent:other",), "shop": (AGENT.id,)},
        windows=(
            WindowBudget("tool:set_canary_weight", "actions", SECOND, 8),
            WindowBudget("tool:other", "actions", SECOND, 9),
            WindowBudget(AGENT.id, "hours", MINUTE, 10),
            WindowBudget(AGENT.id, "tokens", MINUTE, 11),
        ),
    )
    made = asked()
    (_, *found) = inputs.debits(made, OPERATOR, None, budgets)
    assert found == [
        Debit(OWN, 1, 5_000, DAY, "tokens"),
        Debit("team:shop", 5, 1_000, DAY, "actions"),
        Debit("environment:production", 7, 1_000, DAY, "actions"),
        Debit("tool:set_canary_weight", 8, 1_000, SECOND, "actions"),
        Debit(OWN, 11, 5_000, MINUTE, "tokens"),
    ]
