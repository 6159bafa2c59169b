"""`calls` of gateway.yaml: how often one agent may ask at all, before anything is decided.

It protects the door, not the world: reads, advice and refusals count like everything else, since each costs the same
to answer, and whoever asks too often is told so without a decision or a ledger entry. What was refused here counts
for nothing, so that who waits as long as they were told gets through. A token counts only while it is good: nobody
uses up an agent's calls with one that has ended. A retreat is counted and never held up (RULES 16).

The counts are this process's own and begin anew with it; what effects may be, budgets hold durably.
"""

import threading
from collections import deque

from bywire.gateway.contract import Catalogue
from bywire.model.errors import RateError
from bywire.model.gateway_budgets import CallRate
from bywire.model.windows import PERIOD_MS

EACH, TOO_MANY_CALLS = "agent:*", "calls_too_many"
# How many agents and tools are remembered; those that were silent for a minute are forgotten first.
REMEMBERED = 4_096
_AGENT = "agent:"


class Pace:
    """At most `limit` calls in any stretch of `period_ms`: the times of the last `limit` calls, nothing else."""

    def __init__(self, limit: int, period_ms: int) -> None:
        self._period_ms = period_ms
        self._times: deque[int] = deque(maxlen=limit)

    def free_ms(self, now_ms: int) -> int:
        """When there is room for one call: now or later."""
        times = self._times
        return now_ms if len(times) < (times.maxlen or 0) else max(now_ms, times[0] + self._period_ms)

    def count(self, now_ms: int) -> None:
        """One call more."""
        self._times.append(now_ms)

    def is_idle(self, now_ms: int) -> bool:
        """Whether nothing of it counts any more."""
        return not self._times or self._times[-1] <= now_ms - self._period_ms


class Pacing:
    """The call rates of one gateway. Thread-safe; reads no clock and waits for nothing."""

    def __init__(self, rates: tuple[CallRate, ...], catalogue: Catalogue) -> None:
        self._rates: dict[str, list[CallRate]] = {}
        for rate in rates:
            self._rates.setdefault(rate.scope, []).append(rate)
        self._catalogue = catalogue
        self._paces: dict[str, tuple[Pace, ...]] = {}
        self._lock = threading.Lock()

    def check(self, principal: str, tool: str, now_ms: int) -> None:
        """Count one call. Raises RateError `calls_too_many`."""
        contract = self._catalogue.find(tool)
        with self._lock:
            if len(self._paces) >= REMEMBERED:
                self._forget(now_ms)
            paces = [pace for scope, rates in self._limits(principal, tool) for pace in self._of(scope, rates)]
            free_ms = max((pace.free_ms(now_ms) for pace in paces), default=now_ms)
            if free_ms > now_ms and not (contract is not None and contract.exposure_reducing):
                raise _too_many(principal, free_ms - now_ms)
            for pace in paces:
                pace.count(now_ms)

    def _limits(self, principal: str, tool: str) -> list[tuple[str, list[CallRate]]]:
        """(what a call is counted under, its rates). Nobody's calls count against those of somebody else."""
        each = self._rates.get(EACH, []) if principal.startswith(_AGENT) else []
        own, with_tool = self._rates.get(principal, each), self._rates.get(f"tool:{tool}", [])
        both = ((principal, own), (f"{principal}|tool:{tool}", with_tool))
        return [(scope, rates) for scope, rates in both if rates]

    def _of(self, scope: str, rates: list[CallRate]) -> tuple[Pace, ...]:
        known = self._paces.get(scope)
        if known is None:
            known = self._paces[scope] = tuple(Pace(rate.limit, PERIOD_MS[rate.period]) for rate in rates)
        return known

    def _forget(self, now_ms: int) -> None:
        """Let go of whoever was silent so long that nothing of it counts."""
        paces = self._paces.items()
        self._paces = {name: own for name, own in paces if not all(pace.is_idle(now_ms) for pace in own)}


def _too_many(principal: str, wait_ms: int) -> RateError:
    return RateError(
        f"{principal} asks as often as `calls` of gateway.yaml lets it; nothing was decided",
        code=TOO_MANY_CALLS,
        next_step="send the same call with the same key again after `retry.after_seconds`",
        retry_after_ms=wait_ms,
    )
