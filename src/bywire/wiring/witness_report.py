"""How far behind a log's witnesses are, in numbers for the door and in words for a person."""

import msgspec

from bywire.model.errors import LedgerError


class WitnessStanding(msgspec.Struct, frozen=True):
    """One witness: where, the largest size it has cosigned (0: none), and what is wrong, if anything."""

    name: str
    place: str
    size: int
    problem: str


class WitnessReport(msgspec.Struct, frozen=True):
    """Where the log stands with its witnesses. `cosigned_size`: at least `quorum` of them have cosigned that much.

    `overdue`: that is more than `lag_max` entries behind, and nothing new may be exposed.
    """

    log_size: int
    quorum: int
    cosigned_size: int
    lag_entries: int
    lag_max: int
    overdue: bool
    witnesses: tuple[WitnessStanding, ...]

    @property
    def health(self) -> str:
        """`works`, `limit` (less is remembered elsewhere than could be) or `broken` (nothing new may be exposed)."""
        if self.overdue:
            return "broken"
        troubled = not self.witnesses or not self.quorum or any(one.problem for one in self.witnesses)
        return "limit" if troubled else "works"

    @property
    def says(self) -> str:
        """One sentence for a person."""
        if not self.witnesses:
            return "no witnesses: only this host remembers how long the log is, so a restore of everything goes unseen"
        seen = (
            f"{self.quorum} of {len(self.witnesses)} witnesses have seen"
            f" {self.cosigned_size} of {self.log_size} entries ({self.lag_entries} behind, {self.lag_max} allowed)"
        )
        return "; ".join([seen, *(f"{one.name}: {one.problem}" for one in self.witnesses if one.problem)])

    @property
    def fix(self) -> str:
        """What to do about it; empty when nothing is wrong."""
        if not self.witnesses:
            return "name a witness on another host in operator.yaml: bywire witness init --help"
        return "" if self.health == "works" else "bywire log witnesses"

    def require(self) -> None:
        """Raise LedgerError `witness_overdue` when too few witnesses have seen the log."""
        if self.overdue:
            raise LedgerError(
                self.says,
                code="witness_overdue",
                next_step="bring the witnesses back: bywire log witnesses; retreats stay possible",
            )
