"""What is shown to whom: nothing that is denied whatever its parameters are, and everything that could be allowed."""

import msgspec
import pytest

from bywire.adapters.knowledge_base import deciding, shipped_policy
from bywire.config import agent_policy
from bywire.gateway.contract import Contract
from bywire.gateway.contracts import CONTRACTS
from bywire.identity.registration import Pattern, Registration
from bywire.model.connected import Place
from bywire.policy.agent_bounds import resolved
from bywire.policy.bundle import Module, parse_bundle
from bywire.policy.compile_bounds import compiled
from bywire.wiring import listing
from bywire.wiring.listing import UNREVIEWED, Lister

BUNDLE = parse_bundle(deciding(shipped_policy()))
STAGING, PRODUCTION = "staging", "production"


def contract(name, category="environment_write", environment=STAGING, **more):
    place = more.pop("place", Place("shop", environment))
    read = category == "read"
    return Contract(name, category, "upstream:shop", {}, upstream="shop", place=place, read=read, **more)


ORDERS, RESTART = contract("shop.orders", "read"), contract("shop.restart")
EITHER = contract("shop.deploy", place=Place("shop", "", ("env",), {"stage": STAGING}))
DRAFT = contract("shop.draft", "unknown_write", reviewed=False)
ALL = (ORDERS, RESTART, EITHER, DRAFT)


def registered(pattern=Pattern.CONSTRAINED_EXECUTOR, environments=(STAGING, PRODUCTION), contracts=ALL):
    tools = tuple(one.name for one in contracts)
    return Registration(
        principal="agent:fixer", owner="person:dana", pattern=pattern, tools=tools, environments=environments
    )


def with_policy(*actions, agent="fixer", digest="d1"):
    bounds = resolved(agent_policy.parse({"agent": agent, "actions": [*actions]}, f"{agent}.yaml"), ())
    module = Module(f"agents/{agent}.rego", compiled(bounds))
    return msgspec.structs.replace(BUNDLE, agents={agent: module}, digest=digest)


def shown(bundle=BUNDLE, contracts=ALL, shadows=(), lister=None, **registration):
    lister = lister or Lister("storefront", "non-production")
    found = lister.shown(contracts, registered(contracts=contracts, **registration), bundle, shadows)
    return [one.name for one in found]


def trial(rule, environment=STAGING, service="shop"):
    return {"rule": rule, "environment": environment, "service": service, "owner": "person:dana", "expires_at_ms": 9}


def test_what_nobody_has_reviewed_is_shown_only_while_it_is_on_trial_there():
    assert shown() == ["shop.orders", "shop.restart", "shop.deploy"]
    assert "shop.draft" in shown(shadows=[trial(UNREVIEWED)])
    elsewhere = [trial(UNREVIEWED, "non-production"), trial(UNREVIEWED, service="other"), trial("action.forbidden")]
    assert "shop.draft" not in shown(shadows=elsewhere)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (Pattern.ADVISOR, ["shop.orders"]),
        (Pattern.CANARY_MANAGER, ["shop.orders"]),
        (Pattern.RUNBOOK_EXECUTOR, ["shop.orders", "shop.restart", "shop.deploy"]),
        (Pattern.ORCHESTRATOR, ["shop.orders", "shop.restart", "shop.deploy"]),
        ("autopilot", []),
    ],
)
def test_a_pattern_hides_what_it_never_permits(pattern, expected):
    assert shown(pattern=pattern) == expected


def test_rule_16_a_canary_manager_sees_the_retreats_that_it_may_be_authorised_for():
    rollout = [one for one in CONTRACTS if one.name in {"start_rollout", "rollback_release"}]
    # Nobody recorded what a connected tool would go back to.
    back = contract("shop.back", "exposure_reducing", "non-production", exposure_reducing=True)
    contracts = (back, *rollout, contract("shop.restart", environment="non-production"))
    names = shown(contracts=contracts, pattern=Pattern.CANARY_MANAGER, environments=("non-production",))
    assert sorted(names) == ["rollback_release", "start_rollout"]


def test_what_the_agents_own_policy_never_allows_is_not_shown():
    bundle = with_policy({"name": "shop.orders"}, {"name": "shop.restart", "max_replicas": 5})
    assert shown(bundle) == ["shop.orders", "shop.restart"]
    # Another agent's policy hides nothing from this one.
    assert shown(with_policy({"name": "shop.orders"}, agent="other")) == ["shop.orders", "shop.restart", "shop.deploy"]


def test_a_tool_is_shown_while_one_of_its_environments_is_left():
    only = {"name": "shop.deploy", "allowed_environments": ["production"]}
    assert shown(with_policy(only)) == ["shop.deploy"]
    assert shown(with_policy(only), environments=(STAGING,)) == []
    opened = only | {"allowed_environments": ["non-production"], "approval_needed": 'env == "staging"'}
    assert shown(with_policy(opened)) == ["shop.deploy"]
    assert shown(with_policy(only | {"allowed_environments": ["non-production"]})) == []


def test_a_trial_of_an_agents_own_rule_shows_the_tool_there():
    bundle = with_policy({"name": "shop.orders"})
    rule = "agents.fixer.tool_not_listed"
    assert shown(bundle, shadows=[trial(rule)]) == ["shop.orders", "shop.restart", "shop.deploy"]
    # Each of two rules that deny has to be on trial.
    assert shown(bundle, contracts=(DRAFT,), shadows=[trial(rule)]) == []
    assert shown(bundle, contracts=(DRAFT,), shadows=[trial(rule), trial(UNREVIEWED)]) == ["shop.draft"]


def test_another_policy_or_registration_is_no_answer_of_before():
    lister = Lister("storefront", "non-production")
    few = with_policy({"name": "shop.orders"}, digest="d1")
    more = with_policy({"name": "shop.orders"}, {"name": "shop.restart"}, digest="d2")
    assert shown(few, lister=lister) == ["shop.orders"]
    assert shown(more, lister=lister) == ["shop.orders", "shop.restart"]
    assert shown(few, lister=lister) == ["shop.orders"]
    assert shown(few, lister=lister, contracts=(RESTART, ORDERS)) == ["shop.orders"]
    assert shown(few, lister=lister, environments=()) == []
    assert shown(few, lister=lister, contracts=(RESTART,), environments=(PRODUCTION,)) == []


def test_an_agents_policy_is_read_once_for_each_question(monkeypatch):
    asked = []

    def counted(agent, module, places):
        asked.append(sorted(places))
        return dict.fromkeys(places, frozenset())

    monkeypatch.setattr(listing, "denied_outright", counted)
    lister, bundle = Lister("storefront", "non-production"), with_policy({"name": "shop.orders"})
    for _ in range(3):
        shown(bundle, lister=lister, contracts=(ORDERS,))
    shown(bundle, lister=lister, contracts=(ORDERS, RESTART))
    assert asked == [[("shop.orders", STAGING)], [("shop.restart", STAGING)]]
    monkeypatch.setattr(listing, "AGENTS_MAX", 1)
    shown(bundle, lister=lister, contracts=(ORDERS,))
    other = Module("agents/other.rego", "")
    both = msgspec.structs.replace(bundle, agents={**bundle.agents, "other": other})
    lister.shown([ORDERS], msgspec.structs.replace(registered(), principal="agent:other"), both)
    shown(both, lister=lister, contracts=(ORDERS,))
    assert len(asked) == 4
