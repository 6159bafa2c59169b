"""The target's own history: one row a version, bounded, so that a flood of changes cannot grow it."""

from bywire.adapters.local_target_history import HISTORY_MAX, with_version
from bywire.adapters.local_target_state import TargetState


def test_the_oldest_rows_are_forgotten():
    state = TargetState(salt="00")
    for version in range(1, HISTORY_MAX + 11):
        state = with_version(
            TargetState(salt="00", version=version, history=state.history), "promote", "k", 1, 0.0, version
        )
    versions = [row.version for row in state.history]
    assert versions == list(range(11, HISTORY_MAX + 11))
