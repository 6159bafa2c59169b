"""`calls` and `refusals` of gateway.yaml: how often one agent may ask at all, and how often in vain.

It protects the door, not the world: reads, advice and refusals count like everything else, since each costs the same
to answer, and whoever asks too often is told so without a decision or a ledger entry. What was refused here counts
for nothing, so that who waits as long as they were told gets through. A token counts only while it is good: nobody
uses up an agent's calls with one that has ended. A retreat is counted and never held up (RULES 16).

`refusals` breaks loops, and is there unless it is written otherwise: whoever repeats what is denied, waits for a
person, failed or was done already fills a ledger and brings nothing about. It counts what came to nothing and holds up
what is asked next, reads for refused reads and everything else for the rest: a loop of one kind leaves the other alone,
and reads that are allowed are never counted.

The counts are this process's own and begin anew with it; what effects may be, budgets hold durably.
"""

import threading
from collections import deque

from bywire.gateway.contract import Catalogue
from bywire.model.errors import RateError
from bywire.model.gateway_budgets import CallRate
from bywire.model.windows import PERIOD_MS

EACH, TOO_MANY_CALLS, TOO_MANY_REFUSALS = "agent:*", "calls_too_many", "refusals_too_many"
TOO_OFTEN = frozenset({TOO_MANY_CALLS, TOO_MANY_REFUSALS})
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
        with self._lock:
            paces = self._paces_of(principal, tool, now_ms)
            free_ms = max((pace.free_ms(now_ms) for pace in paces), default=now_ms)
            if free_ms > now_ms and not self._is_retreat(tool):
                raise _too_many(principal, free_ms - now_ms)
            for pace in paces:
                pace.count(now_ms)

    def _is_retreat(self, tool: str) -> bool:
        contract = self._catalogue.find(tool)
        return contract is not None and contract.exposure_reducing

    def _paces_of(self, principal: str, tool: str, now_ms: int) -> list[Pace]:
        if len(self._paces) >= REMEMBERED:
            self._forget(now_ms)
        return [pace for scope, rates in self._limits(principal, tool) for pace in self._of(scope, rates)]

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


class Refusals(Pacing):
    """What agents asked for in vain. `look` before a call is decided, `count` when it came to nothing."""

    @property
    def remembers(self) -> bool:
        """Whether anybody was refused since this process began; nobody is held up otherwise."""
        return bool(self._paces)

    def look(self, principal: str, tool: str, now_ms: int) -> RateError | None:
        """Why this call has to wait, and how long; it counts for nothing itself."""
        with self._lock:
            known = [pace for scope, _ in self._limits(principal, tool) for pace in self._paces.get(scope, ())]
            free_ms = max((pace.free_ms(now_ms) for pace in known), default=now_ms)
        return None if free_ms <= now_ms or self._is_retreat(tool) else _in_vain(principal, free_ms - now_ms)

    def count(self, principal: str, tool: str, now_ms: int) -> None:
        """One call more that came to nothing."""
        with self._lock:
            for pace in self._paces_of(principal, tool, now_ms):
                pace.count(now_ms)

    def _limits(self, principal: str, tool: str) -> list[tuple[str, list[CallRate]]]:
        contract = self._catalogue.find(tool)
        kind = "reads" if contract is not None and contract.read else "effects"
        return [(f"{scope}|{kind}", rates) for scope, rates in super()._limits(principal, tool)]


def _in_vain(principal: str, wait_ms: int) -> RateError:
    return RateError(
        f"{principal} was refused as often as `refusals` of gateway.yaml lets it; nothing was decided",
        code=TOO_MANY_REFUSALS,
        next_step="do what the refusals say, not the same again; ask after `retry.after_seconds`",
        retry_after_ms=wait_ms,
    )


def _too_many(principal: str, wait_ms: int) -> RateError:
    return RateError(
        f"{principal} asks as often as `calls` of gateway.yaml lets it; nothing was decided",
        code=TOO_MANY_CALLS,
        next_step="send the same call with the same key again after `retry.after_seconds`",
        retry_after_ms=wait_ms,
    )
