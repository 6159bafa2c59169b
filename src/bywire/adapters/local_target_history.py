"""What the local target remembers of its own changes: one row for each version, whoever asked for it.

The target does not know who is entitled; it only keeps the key, the epoch and the time of each change, so that
`bywire reconcile` can tell the changes of the ledger from those of another control client (RULES 17).
"""

from typing import Any

import msgspec

from bywire.adapters import local_target_verbs as verbs
from bywire.adapters.local_target_state import Record, TargetState, with_record
from bywire.model.target_change import TargetChange

HISTORY_MAX = 512


def summary(state: TargetState, version: int) -> dict[str, Any]:
    """What a change answers: the version it made and what the target then serves."""
    return {"version": version, "stable": state.stable, "canary": state.canary, "last_good": state.last_good}


def with_result(
    state: TargetState, request: verbs.Keyed, digest: str, result: dict[str, Any], weight: float, at_ms: int
) -> TargetState:
    """The state after a keyed request: its version, its record and its row of history."""
    after = msgspec.structs.replace(state, version=result["version"])
    kept = with_record(after, request.key, Record(digest, done=True, result=result))
    return with_version(kept, type(request).__struct_config__.tag, request.key, request.epoch, weight, at_ms)


def with_version(state: TargetState, verb: object, key: str, epoch: int, weight: float, at_ms: int) -> TargetState:
    """The state with a row for its version; the oldest rows beyond `HISTORY_MAX` are forgotten."""
    row = TargetChange(
        version=state.version,
        verb=str(verb),
        key=key,
        epoch=epoch,
        at_ms=at_ms,
        stable=state.stable,
        canary=state.canary,
        weight=weight,
    )
    return msgspec.structs.replace(state, history=(*state.history, row)[-HISTORY_MAX:])
