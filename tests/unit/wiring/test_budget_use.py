"""Which budgets there are: gateway.yaml's, and what each agent's own policy has counted, in whatever period."""

import msgspec

from bywire.adapters.knowledge_base import deciding, shipped_policy
from bywire.config import agent_policy
from bywire.model.gateway_budgets import Budget, Budgets, WindowBudget
from bywire.policy.agent_bounds import Tool, resolved
from bywire.policy.bundle import Module, parse_bundle
from bywire.policy.compile_bounds import compiled
from bywire.wiring import budget_use
from bywire.wiring.budget_use import GATEWAY, POLICY, BudgetUse, Limit, OwnLimits, limits_of, ordered

BUNDLE = parse_bundle(deciding(shipped_policy()))
NONE = [{"name": "shop.orders"}]
TOOLS = [Tool("shop.deploy", units=frozenset({"replica_hours"}))]


def with_policy(**document):
    bounds = resolved(agent_policy.parse({"agent": "fixer", **document}, "fixer.yaml"), TOOLS)
    module = Module("agents/fixer.rego", compiled(bounds))
    return msgspec.structs.replace(BUNDLE, agents={"fixer": module}, digest="d1")


def test_every_budget_of_an_agents_policy_is_found_with_its_scope_and_period():
    action = {"name": "shop.deploy", "rate": "10/hour", "budgets": {"per_minute": {"replica_hours": 1.5}}}
    budgets = {"per_day": {"replica_hours": 1000}, "environments": {"production": {"per_second": 2}}}
    found = OwnLimits().of(with_policy(actions=[action], budgets=budgets))
    assert {(one.scope, one.unit, one.period, one.limit) for one in found} == {
        ("agent:fixer", "replica_hours", "day", 1_000_000),
        ("agent:fixer|environment:production", "actions", "second", 2_000),
        ("agent:fixer|tool:shop.deploy", "actions", "hour", 10_000),
        ("agent:fixer|tool:shop.deploy", "replica_hours", "minute", 1_500),
    }
    assert {one.set_in for one in found} == {POLICY}
    assert {one.counted for one in found if "|" not in one.scope} == {"principal:agent:fixer"}


def test_gateway_yaml_has_daily_and_short_ones():
    budgets = Budgets((Budget("team:a", "tokens", 5),), {}, (WindowBudget("tool:shop.deploy", "actions", "minute", 7),))
    day, minute = limits_of(budgets)
    assert day == Limit("team:a", "tokens", "day", 5, GATEWAY)
    assert (minute.period, minute.counted) == ("minute", "tool:shop.deploy")


def test_policies_are_read_once_for_each_bundle(monkeypatch):
    read = []
    parse = budget_use.parse_module
    monkeypatch.setattr(budget_use, "parse_module", lambda module: read.append(module.path) or parse(module))
    own, one = OwnLimits(), with_policy(actions=NONE, budgets={"per_day": 3})
    assert {own.of(one)[0].limit for _ in range(3)} == {3_000}
    assert read == ["agents/fixer.rego"]
    other = msgspec.structs.replace(with_policy(actions=NONE, budgets={"per_day": 4}), digest="d2")
    assert own.of(other)[0].limit == 4_000
    assert own.of(msgspec.structs.replace(one, agents={}, digest="d3")) == ()


def test_the_longest_period_comes_first_and_nothing_is_left_below_none():
    uses = [BudgetUse(Limit("agent:a", "x", period, 5, POLICY), 7) for period in ("minute", "day", "second", "hour")]
    assert [one.limit.period for one in ordered(uses)] == ["day", "hour", "minute", "second"]
    assert {one.left for one in uses} == {0}
