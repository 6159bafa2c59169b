"""Says how far a run is: each unnoticed change at once, and now and then how many are judged."""

import time
from collections.abc import Callable

EVERY_SECONDS = 30.0
EVERY_CHANGES = 100


class Progress:
    """Counts the judgements of one room."""

    def __init__(self, room: str, total: int, tell: Callable[[str], None]) -> None:
        self.room = room
        self._total = total
        self._tell = tell
        self._began = self._told = time.monotonic()
        self._judged = self._unnoticed = 0

    def took_over(self, judged: int, unnoticed: int) -> None:
        """So many judgements of an earlier run still hold."""
        self._judged, self._unnoticed = judged, unnoticed
        if judged:
            self._say("of an earlier run")

    def judged(self, unnoticed: str, *, noticed: bool) -> None:
        """One more change is judged; `unnoticed` is shown at once unless it is empty."""
        self._judged += 1
        self._unnoticed += not noticed
        if unnoticed:
            self._tell(f"{self.room}: unnoticed so far: {unnoticed}")
        if self._judged % EVERY_CHANGES == 0 or time.monotonic() > self._told + EVERY_SECONDS:
            self._say(f"{(time.monotonic() - self._began) / 60:.0f} min")

    def begins_again(self, total: int) -> None:
        """Count another look at so many changes."""
        self._judged, self._unnoticed, self._total = 0, 0, total

    def _say(self, since: str) -> None:
        self._told = time.monotonic()
        self._tell(f"{self.room}: {self._judged} of {self._total} judged, {self._unnoticed} unnoticed, {since}")
