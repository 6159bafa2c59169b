"""Registrations: what an agent is for. A key says who asks, a registration what they may ask for at all.

Every agent has an owner, one of five operating patterns, the tools and environments it needs, and budgets. Built-in
agents are registered here with the least they need; all others by the operator. An agent without one is denied.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec


class Pattern(StrEnum):
    """The five operating patterns. What each may do is policy; these are their names."""

    ADVISOR = "advisor"
    CONSTRAINED_EXECUTOR = "constrained-executor"
    ORCHESTRATOR = "orchestrator"
    RUNBOOK_EXECUTOR = "runbook-executor"
    CANARY_MANAGER = "canary-manager"


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """One agent. `owner` is the person answerable for it.

    `actions_per_hour` None means the operator's limit for every principal; `tool_rates` are effects per hour of single
    tools; `expires_at_ms` None means until it is revoked.
    """

    principal: str
    owner: str
    pattern: Pattern
    tools: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    actions_per_hour: int | None = None
    tool_rates: dict[str, int] = {}
    expires_at_ms: int | None = None

    def expired(self, now_ms: int) -> bool:
        """Whether it ended."""
        return self.expires_at_ms is not None and now_ms >= self.expires_at_ms


class Registrations:
    """Every registration of one workspace."""

    def __init__(self, registrations: Iterable[Registration]) -> None:
        self._by_principal = {registration.principal: registration for registration in registrations}

    def find(self, principal: str) -> Registration | None:
        """The registration of a principal, or None; people and workloads have none."""
        return self._by_principal.get(principal)

    def all(self) -> tuple[Registration, ...]:
        """Every registration, by name."""
        return tuple(self._by_principal[name] for name in sorted(self._by_principal))


def registration_facts(registration: Registration | None) -> dict[str, Any] | None:
    """The registration as the policy sees it (policy input version 1, `principal.registration`)."""
    if registration is None:
        return None
    return {
        "pattern": str(registration.pattern),
        "tools": sorted(registration.tools),
        "environments": sorted(registration.environments),
        "expires_at_ms": registration.expires_at_ms,
    }


_ROLLOUT_TOOLS = (
    "get_deployment_status",
    "read_telemetry",
    "start_rollout",
    "deploy_release",
    "warm_release",
    "set_canary_weight",
    "renew_canary_lease",
    "promote_release",
    "rollback_release",
    "settle_release",
)

# Planner, coder, tester and auditor hand over statements and ask the door for nothing.
BUILT_IN: dict[str, tuple[Pattern, tuple[str, ...]]] = {
    "agent:planner": (Pattern.ADVISOR, ()),
    "agent:coder": (Pattern.ADVISOR, ()),
    "agent:tester": (Pattern.ADVISOR, ()),
    "agent:auditor": (Pattern.ADVISOR, ()),
    "agent:recourse": (Pattern.CONSTRAINED_EXECUTOR, ("create_fix_branch",)),
    "agent:release-controller": (Pattern.CANARY_MANAGER, _ROLLOUT_TOOLS),
}


def built_in(owner: str, environment: str) -> tuple[Registration, ...]:
    """The registrations of the agents that bywire brings, in the one environment their workspace leads to."""
    return tuple(
        Registration(principal=principal, owner=owner, pattern=pattern, tools=tools, environments=(environment,))
        for principal, (pattern, tools) in BUILT_IN.items()
    )
