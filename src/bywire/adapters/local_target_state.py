"""What the local target must remember across a kill, in one file that is replaced atomically.

An effect's intent is recorded before it and its result after; a recorded result answers every repetition of its key.
"""

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.local_target_verbs import Configure
from bywire.model.errors import TargetError
from bywire.model.intent import StartCommand
from bywire.model.target_change import TargetChange

RECORDS_MAX = 1_024
_STATE_BYTES_MAX = 16 * 1024 * 1024
_RESERVE_BYTES = 1024 * 1024


class Release(msgspec.Struct, frozen=True):
    """How to start what `digest` names."""

    digest: str
    artifact_dir: str
    start: StartCommand
    env: dict[str, str]


class Record(msgspec.Struct, frozen=True):
    """One keyed request: an intent while `done` is false, then its result or its error."""

    request_digest: str
    done: bool = False
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None


class TargetState(msgspec.Struct, frozen=True):
    """`stable`, `canary` and `last_good` are digests or empty. The weight is not here: after a restart it is 0.

    `version` counts changes; `epoch` is the highest controller epoch seen; `salt` (hex) keys the assignment of users
    to arms. `history` holds the newest versions, oldest first; a target from before it was kept has none of its early
    ones.
    """

    salt: str
    version: int = 0
    epoch: int = 0
    router_port: int = 0
    stable: str = ""
    canary: str = ""
    last_good: str = ""
    releases: dict[str, Release] = {}
    traffic: Configure = Configure()
    records: dict[str, Record] = {}
    history: tuple[TargetChange, ...] = ()


def with_record(state: TargetState, key: str, record: Record) -> TargetState:
    """The state with one more record; the oldest finished ones are forgotten beyond `RECORDS_MAX`."""
    records = {known: value for known, value in state.records.items() if known != key}
    finished = [known for known, value in records.items() if value.done]
    for old in finished[: max(0, len(records) + 1 - RECORDS_MAX)]:
        del records[old]
    return msgspec.structs.replace(state, records={**records, key: record})


def without_unused_releases(state: TargetState) -> TargetState:
    """The state that remembers only releases which are stable, canary or last good."""
    used = {state.stable, state.canary, state.last_good}
    return msgspec.structs.replace(state, releases={d: r for d, r in state.releases.items() if d in used})


class StateFile:
    """`target.json` in the target's directory. Writes are durable when they return."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "target.json"
        self._reserve = directory / "reserve"

    def load(self) -> TargetState:
        """The recorded state, or a fresh one. Raises `TargetError` rather than forget what it cannot read."""
        if not self._reserve.exists():
            self._reserve.write_bytes(b"\0" * _RESERVE_BYTES)
        if not self._path.exists():
            return TargetState(salt=secrets.token_hex(32))
        try:
            if self._path.stat().st_size > _STATE_BYTES_MAX:
                raise msgspec.ValidationError(f"more than {_STATE_BYTES_MAX} bytes")
            return msgspec.json.decode(self._path.read_bytes(), type=TargetState)
        except msgspec.MsgspecError as error:
            raise TargetError(
                f"{self._path} is damaged: {error}",
                code="target_state_damaged",
                next_step="Restore the file from a backup, or move it away and deploy again.",
            ) from None

    def save(self, state: TargetState) -> None:
        """Write, flush to disk, rename. Raises `TargetError` code `target_disk_full` when there is no room."""
        document = msgspec.json.encode(state)
        temporary = self._path.with_suffix(".tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            self._sync_directory()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise TargetError(
                "the disk is full; nothing was changed",
                code="target_disk_full",
                next_step="Free some space. Retreating still works.",
            ) from None

    def save_for_retreat(self, state: TargetState) -> bool:
        """Save with the space reserved for this.

        Returns whether it is durable: a retreat never waits for a disk (RULES 16).
        """
        for _ in range(2):
            with contextlib.suppress(TargetError, OSError):
                self.save(state)
                return True
            self._reserve.unlink(missing_ok=True)
        return False

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
