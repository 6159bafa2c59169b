"""How long a call's deciding and its effect took, measured where they happen, for the thread that makes the call."""

import threading
from typing import Any

from bywire.adapters.clock import elapsed_ns
from bywire.gateway.deciding import Engine
from bywire.gateway.ports import Steps
from bywire.model.decision import Decision

COMMITTED, EXECUTED = "door.intent_committed", "door.executed"


class Stopwatch(threading.local):
    """Times in ns since `start`, of this thread."""

    def __init__(self) -> None:
        self.decide = 0
        self.execute = 0
        self.committed = 0

    def start(self) -> None:
        """A new call begins."""
        self.decide = self.execute = self.committed = 0

    def read(self, total: int) -> dict[str, int]:
        """`CallRecord.duration_ns`."""
        found = {"decide": self.decide, "total": total}
        return {**found, "execute": self.execute} if self.execute else found


class TimedEngine:
    """`gateway.deciding.Engine` on a stopwatch."""

    def __init__(self, engine: Engine, watch: Stopwatch) -> None:
        self._engine = engine
        self._watch = watch

    def decide(self, entrypoint: str, policy_input: dict[str, Any]) -> Decision:
        """Decide."""
        began = elapsed_ns()
        try:
            return self._engine.decide(entrypoint, policy_input)
        finally:
            self._watch.decide += elapsed_ns() - began


class TimedSteps:
    """`gateway.ports.Steps` on a stopwatch."""

    def __init__(self, steps: Steps, watch: Stopwatch) -> None:
        self._steps = steps
        self._watch = watch

    def reached(self, step: str) -> None:
        """Pass on."""
        self._steps.reached(step)
        if step == COMMITTED:
            self._watch.committed = elapsed_ns()
        elif step == EXECUTED and self._watch.committed:
            self._watch.execute += elapsed_ns() - self._watch.committed
