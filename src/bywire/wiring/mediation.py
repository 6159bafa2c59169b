"""How much of what agents did went through this door, and how much it only permitted or advised (RULES 10)."""

import msgspec

from bywire.adapters.sqlite_reconciling import SqliteReconciling
from bywire.wiring.workspace import Workspace


class Mediation(msgspec.Struct, frozen=True):
    """Counts over the whole ledger. `permitted` effects were the caller's to carry out, `unreported` of them silently.

    What became of an `advised` answer, bywire does not know.
    """

    mediated: int
    permitted: int
    unreported: int
    advised: int

    @property
    def share(self) -> float:
        """The part of the journalled effects that this door carried out itself; 1 when there were none."""
        effects = self.mediated + self.permitted
        return self.mediated / effects if effects else 1.0


def mediation(workspace: Workspace) -> Mediation:
    """As it stands now."""
    reading = SqliteReconciling(workspace.reader)
    mediated, permitted, unreported = reading.mediated()
    return Mediation(mediated, permitted, unreported, reading.advised())
