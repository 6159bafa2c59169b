"""What a gateway does by itself between calls: deliveries that were left, reminders, checkpoints, buffered reads.

A delivery is ticked only while this process holds the lock that `bywire deliver` holds, and never longer than one tick;
whoever holds it is not fenced off, and nothing is ticked meanwhile.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bywire.delivery.state import DeliveryState, Phase
from bywire.model.errors import BywireError
from bywire.wiring.approving import remind
from bywire.wiring.delivering import Delivering, deliveries, delivering_interval
from bywire.wiring.workspace import Workspace

TICKS = ("deliveries", "recovery", "reminders", "checkpoints", "configuration")
DELIVER_LOCK = "deliver"
ROUND_SECONDS = 1.0
WAITING_MS = 5_000
REMIND_MS = 30_000
PUBLISH_MS = 60_000
RECOVER_MS = 60_000
CONFIG_MS = 2_000
# After an error of a delivery: somebody has to look, and asking again at once helps nobody.
BACK_OFF_MS = 30_000
BUSY = "workspace_busy"


def nothing_to_watch() -> None:
    """For a workspace whose files nobody waits for."""


@contextmanager
def ticking(workspace: Workspace, watch: Callable[[], None] = nothing_to_watch) -> Iterator["Ticking"]:
    """Rounds of upkeep on a thread of their own, until the block ends; a round under way is finished first.

    `watch` looks at the files of the configuration.
    """
    stop, found = threading.Event(), Ticking(workspace, watch=watch)
    thread = threading.Thread(target=found.run, args=(stop,), name="bywire-ticks")
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


class Ticking:
    """Rounds of upkeep of one workspace. One thread runs it; `told` may be asked from any."""

    def __init__(
        self,
        workspace: Workspace,
        make: Callable[[Workspace], Delivering] = Delivering,
        watch: Callable[[], None] = nothing_to_watch,
    ) -> None:
        self._workspace = workspace
        self._watch = watch
        self._make = make
        self._delivering: Delivering | None = None
        self._due: dict[str, int] = {}
        self._published = -1
        self._open = 0
        self._said = ""

    def told(self) -> dict[str, Any]:
        """How many deliveries are open, and what keeps them from being ticked (an error's code; empty for nothing)."""
        return {"open_deliveries": self._open, "held_up_by": self._said}

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop` is set."""
        while not stop.wait(self.round()):
            pass

    def round(self) -> float:
        """One round; returns the seconds until the next is wanted."""
        workspace, said = self._workspace, ""
        pause = ROUND_SECONDS
        try:
            if self._is_due("config", CONFIG_MS):
                self._watch()
            workspace.journal.flush_reads()
            if self._is_due("remind", REMIND_MS):
                remind(workspace)
            if self._is_due("publish", PUBLISH_MS) and workspace.ledger.entry_count() != self._published:
                workspace.publish()
                self._published = workspace.ledger.entry_count()
            pause = self._deliver()
        except BywireError as error:
            said = error.code
            if said != BUSY:
                self._put_off("deliver", BACK_OFF_MS)
        self._said = said
        return pause

    def _deliver(self) -> float:
        found = [state for state in deliveries(self._workspace) if not state.terminal]
        self._open = len(found)
        # What nobody carries on is settled all the same, as its contract allows.
        recover = self._is_due("recover", RECOVER_MS) and self._workspace.journal.has_recoverable()
        wanted = [state for state in found if self._wants(state)]
        if not (wanted or recover) or not self._is_due("deliver", 0):
            return ROUND_SECONDS
        with self._workspace.directory.lock(DELIVER_LOCK):
            delivering = self._leased()
            if recover:
                delivering.recover()
            for state in wanted:
                delivering.tick(state.id)
        rolling = any(state.phase is not Phase.APPROVING for state in wanted)
        return delivering_interval(delivering) / 4 if rolling else ROUND_SECONDS

    def _leased(self) -> Delivering:
        """Under the lock: whoever had the lease has let go of it."""
        workspace = self._workspace
        if self._delivering is None or workspace.state.current_epoch() != workspace.leased:
            workspace.take_lease()
        if self._delivering is None:
            self._delivering = self._make(workspace)
        return self._delivering

    def _wants(self, state: DeliveryState) -> bool:
        """A delivery that waits for a person is looked at now and then, any other each time."""
        return state.phase is not Phase.APPROVING or self._is_due(state.id, WAITING_MS)

    def _is_due(self, what: str, every_ms: int) -> bool:
        now_ms = self._workspace.clock.now_ms()
        if now_ms < self._due.get(what, 0):
            return False
        self._due[what] = now_ms + every_ms
        return True

    def _put_off(self, what: str, ms: int) -> None:
        self._due[what] = self._workspace.clock.now_ms() + ms
