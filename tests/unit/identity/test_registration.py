"""Registrations: what the policy is told of an agent, and what the built-in ones are for."""

import msgspec
import pytest

from bywire.identity.registration import (
    BUILT_IN,
    Pattern,
    Registration,
    Registrations,
    built_in,
    registration_facts,
)
from bywire.wiring.initialising import AGENTS

BOT = Registration(
    principal="agent:deploy-bot",
    owner="person:dana",
    pattern=Pattern.CONSTRAINED_EXECUTOR,
    tools=("set_canary_weight", "deploy_release"),
    environments=("staging", "production"),
    expires_at_ms=2_000,
)


def test_the_policy_is_told_what_an_agent_is_for():
    assert registration_facts(BOT) == {
        "pattern": "constrained-executor",
        "tools": ["deploy_release", "set_canary_weight"],
        "environments": ["production", "staging"],
        "expires_at_ms": 2_000,
    }
    assert registration_facts(None) is None


@pytest.mark.parametrize(("now_ms", "expired"), [(0, False), (1_999, False), (2_000, True), (10**15, True)])
def test_a_registration_ends_when_it_says(now_ms, expired):
    assert BOT.expired(now_ms) is expired
    assert not msgspec.structs.replace(BOT, expires_at_ms=None).expired(now_ms)


def test_a_registration_is_found_by_its_principal_alone():
    known = Registrations((BOT, *built_in("person:dana", "production")))
    assert known.find("agent:deploy-bot") == BOT
    for stranger in ("agent:deploy", "AGENT:deploy-bot", "person:dana", "workload:builder", ""):
        assert known.find(stranger) is None
    assert [one.principal for one in known.all()] == sorted([BOT.principal, *BUILT_IN])


def test_every_agent_that_init_gives_a_key_is_registered():
    assert set(BUILT_IN) == {f"agent:{name}" for name in AGENTS}


def test_built_in_agents_have_the_least_they_need():
    known = {one.principal: one for one in built_in("person:dana", "staging")}
    assert {one.environments for one in known.values()} == {("staging",)}
    assert {one.owner for one in known.values()} == {"person:dana"}
    advisors = {name for name, one in known.items() if one.pattern is Pattern.ADVISOR}
    assert advisors == {"agent:planner", "agent:coder", "agent:tester", "agent:auditor"}
    assert all(not known[name].tools for name in advisors)
    assert known["agent:recourse"].tools == ("create_fix_branch",)
    assert "create_fix_branch" not in known["agent:release-controller"].tools
    assert all("*" not in one.tools for one in known.values())
