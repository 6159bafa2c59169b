"""Budgets and teams of gateway.yaml."""

import pytest

from bywire.config.gateway_budgets import CALLS_MAX, read_budgets, read_calls, read_teams
from bywire.config.reading import FieldError, Node
from bywire.model.gateway_budgets import Budget, Budgets, CallRate, WindowBudget


def budgets(*given):
    return read_budgets(Node(list(given), "gateway.yaml"))


def teams(given):
    return read_teams(Node(given, "gateway.yaml"))


def of(scope="team:platform", unit="replica_hours", per_day=1):
    return {"scope": scope, "unit": unit, "per_day": per_day}


def test_a_budget_is_kept_in_thousandths_and_rounded_down():
    assert budgets(of(per_day=1.5009), of("agent:a", "tokens", 0)) == (
        Budget("team:platform", "replica_hours", 1_500),
        Budget("agent:a", "tokens", 0),
    )


@pytest.mark.parametrize("scope", ["agent:a", "team:t", "tool:cluster.scale", "tool:rerun_job", "environment:staging"])
def test_whom_a_budget_may_be_for(scope):
    assert budgets(of(scope))[0].scope == scope


@pytest.mark.parametrize(
    "given",
    [
        of("everybody"),
        of("person:dana"),
        of("agent:*"),
        of("environment:dev"),
        of("tool:a|unit:b"),
        of("team:a|team:b"),
        of(unit="Replica"),
        of(unit="a|b"),
        of(per_day=-1),
        of(per_day="5"),
        of(per_day=True),
        of(per_day=float("inf")),
        of(per_day=float("nan")),
        of(per_day=10**12),
        {"scope": "team:x", "unit": "x"},
        {**of(), "per_hour": 1},
        {"unit": "actions", "per_second": 1},
        {"scope": "team:x", "per_second": 0.5},
        {"scope": "team:x", "per_minute": -1},
        {"scope": "team:x", "per_minute": True},
    ],
)
def test_what_no_budget_is(given):
    with pytest.raises(FieldError):
        budgets(given)


def test_two_budgets_of_one_thing_are_refused():
    with pytest.raises(FieldError, match="two budgets"):
        budgets(of(per_day=1), of(per_day=2))
    with pytest.raises(FieldError, match="two budgets of actions a minute"):
        budgets({"scope": "agent:a", "per_minute": 1}, {"scope": "agent:a", "unit": "actions", "per_minute": 2})


def test_a_budget_may_be_for_any_second_minute_and_a_day_at_once():
    assert budgets({"scope": "agent:a", "per_second": 2, "per_minute": 30, "per_day": 500}) == (
        WindowBudget("agent:a", "actions", "second", 2_000),
        WindowBudget("agent:a", "actions", "minute", 30_000),
        Budget("agent:a", "actions", 500_000),
    )
    assert budgets({"scope": "environment:production", "unit": "tokens", "per_minute": 0.5}) == (
        WindowBudget("environment:production", "tokens", "minute", 500),
    )


def calls(*given):
    return read_calls(Node(list(given), "gateway.yaml"))


def test_how_often_may_be_asked():
    given = {"scope": "agent:*", "per_second": 20}, {"scope": "tool:jobs.list", "per_second": 1, "per_minute": 30}
    assert calls(*given) == (
        CallRate("agent:*", "second", 20),
        CallRate("tool:jobs.list", "second", 1),
        CallRate("tool:jobs.list", "minute", 30),
    )


@pytest.mark.parametrize(
    "given",
    [
        ({"scope": "agent:a"},),
        ({"per_second": 1},),
        ({"scope": "agent:a*", "per_second": 1},),
        ({"scope": "tool:*", "per_second": 1},),
        ({"scope": "team:a", "per_second": 1},),
        ({"scope": "person:dana", "per_second": 1},),
        ({"scope": "agent:a", "per_second": 0},),
        ({"scope": "agent:a", "per_second": 1.5},),
        ({"scope": "agent:a", "per_second": True},),
        ({"scope": "agent:a", "per_minute": CALLS_MAX + 1},),
        ({"scope": "agent:a", "per_hour": 1},),
        ({"scope": "agent:a", "per_second": 1}, {"scope": "agent:a", "per_second": 2}),
    ],
)
def test_what_no_call_rate_is(given):
    with pytest.raises(FieldError):
        calls(*given)


def test_an_agent_is_in_one_team():
    assert teams({"a": ["agent:x"], "b": ["agent:y"]}) == {"a": ("agent:x",), "b": ("agent:y",)}
    with pytest.raises(FieldError, match="in a already"):
        teams({"a": ["agent:x"], "b": ["agent:x"]})
    for wrong in ({"A": []}, {"a": ["person:dana"]}, {"a": ["agent:x", "agent:x"]}, [], {"a": "agent:x"}):
        with pytest.raises(FieldError):
            teams(wrong)


def test_who_is_in_no_team_has_none():
    found = Budgets(teams={"a": ("agent:x",)})
    assert (found.team_of("agent:x"), found.team_of("agent:y"), found.team_of("")) == ("a", "", "")
