"""What every budget has used by now: those of gateway.yaml, and those that agents' own policies in force count.

Nothing is decided by this. It shows what the intent transaction counts (RULES 11), by the same sums.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from bywire.model.gateway_budgets import Budgets
from bywire.model.windows import DAY, PERIOD_MS, SLIDING
from bywire.policy.agent_policies import written_debits
from bywire.policy.bundle import Bundle
from bywire.policy.rego_syntax import parse_module
from bywire.wiring.workspace import Workspace

GATEWAY, POLICY = "gateway.yaml", "agent policy"
# Scopes that are looked up in one query.
SCOPES_MAX = 500
_PERIODS = tuple(PERIOD_MS)
# (scope as it is counted, unit, period).
_Counted: TypeAlias = tuple[str, str, str]


class Limit(msgspec.Struct, frozen=True):
    """At most `limit` thousandths of `unit` in a `period`. `set_in` says where it is written.

    `scope` is as gateway.yaml has it; that of an agent's policy may go on with `|tool:NAME` and `|environment:NAME`.
    """

    scope: str
    unit: str
    period: str
    limit: int
    set_in: str

    @property
    def counted(self) -> str:
        """The scope as the database counts it."""
        return f"principal:{self.scope}" if self.scope.startswith("agent:") else self.scope


class BudgetUse(msgspec.Struct, frozen=True):
    """One budget and what of it is used in its period as it stands now, in thousandths."""

    limit: Limit
    used: int

    @property
    def left(self) -> int:
        """What may still be used, in thousandths."""
        return max(0, self.limit.limit - self.used)


class OwnLimits:
    """The budgets of agents' own policies, read once for each bundle. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digest = ""
        self._found: tuple[Limit, ...] = ()

    def of(self, bundle: Bundle) -> tuple[Limit, ...]:
        """Each of them, by agent. Raises PolicyError for a policy that is no Rego."""
        with self._lock:
            if self._digest != bundle.digest:
                self._found, self._digest = tuple(_own(bundle)), bundle.digest
            return self._found


def limits_of(budgets: Budgets) -> tuple[Limit, ...]:
    """Those of gateway.yaml."""
    daily = (Limit(one.scope, one.unit, DAY, one.per_day, GATEWAY) for one in budgets.budgets)
    short = (Limit(one.scope, one.unit, one.period, one.limit, GATEWAY) for one in budgets.windows)
    return (*daily, *short)


def in_use(workspace: Workspace, limits: Iterable[Limit], now_ms: int) -> tuple[BudgetUse, ...]:
    """What of each is used now, the same for two that count the same thing."""
    found = tuple(limits)
    used = _short(workspace, found, now_ms)
    for one in found:
        key = (one.counted, one.unit, one.period)
        if key not in used and one.period not in SLIDING:
            used[key] = workspace.state.spent(*key, now_ms // PERIOD_MS[one.period])
    return tuple(BudgetUse(one, used.get((one.counted, one.unit, one.period), 0)) for one in found)


def _short(workspace: Workspace, limits: tuple[Limit, ...], now_ms: int) -> dict[_Counted, int]:
    """What the sliding windows hold."""
    scopes = sorted({one.counted for one in limits if one.period in SLIDING})
    found: dict[_Counted, int] = {}
    for start in range(0, len(scopes), SCOPES_MAX):
        counted = workspace.state.recent(scopes[start : start + SCOPES_MAX], now_ms)
        found |= {(one.scope, one.unit, one.period): one.observed for one in counted}
    return found


def _own(bundle: Bundle) -> Iterator[Limit]:
    for agent, module in sorted(bundle.agents.items()):
        for debit in written_debits(parse_module(module)):
            yield _limit(agent, debit)


def _limit(agent: str, debit: Mapping[str, str | int]) -> Limit:
    more = (f"|{kind}:{debit[kind]}" for kind in ("tool", "environment") if kind in debit)
    scope = "".join((f"agent:{agent}", *more))
    return Limit(scope, str(debit["unit"]), str(debit["period"]), int(debit["limit"]), POLICY)


def ordered(uses: Iterable[BudgetUse]) -> list[BudgetUse]:
    """By scope and unit, the longest period first."""
    return sorted(uses, key=lambda one: (one.limit.scope, one.limit.unit, -_PERIODS.index(one.limit.period)))
