"""What this workspace remembers of its witnesses: cosigned checkpoints, and how each of them answered last.

Files below `witnesses/` of the operator directory, one directory for each log origin, one note for each tree head. It
saves asking, and it notices a witness that forgot; it proves nothing to whoever can write here, the witnesses do.
"""

from collections.abc import Collection

import msgspec

from bywire.adapters.operator_dir import OperatorDirectory
from bywire.ledger.checkpoint import NOTE_BYTES_MAX
from bywire.ledger.witness import origin_hash
from bywire.model.errors import BywireError, EvidenceError

_FOLDER = "witnesses"
_STATUS = f"{_FOLDER}/status.json"
_STATUS_BYTES_MAX = 65_536


class WitnessStatus(msgspec.Struct, frozen=True):
    """How a witness answered last. `forgot`: it once knew more of this log than it does now."""

    tried_at_ms: int = 0
    error: str = ""
    forgot: bool = False


class WitnessMemory:
    """The remembered notes and statuses of one workspace."""

    def __init__(self, directory: OperatorDirectory) -> None:
        self._directory = directory

    def notes(self, origin: str) -> dict[str, str]:
        """Every remembered note of that log by its name, unverified."""
        place = self._directory.path / _FOLDER / _log(origin)
        names = sorted(path.name for path in place.glob("*.note")) if place.is_dir() else []
        return {name: self._read(origin, name) for name in names}

    def keep(self, origin: str, name: str, note: str) -> None:
        """Remember a note; replaces the one of that name."""
        self._write(f"{_FOLDER}/{_log(origin)}/{name}", note.encode())

    def forget_others(self, origin: str, names: Collection[str]) -> None:
        """Remove every note of that log but these."""
        place = self._directory.path / _FOLDER / _log(origin)
        for path in place.glob("*.note") if place.is_dir() else ():
            if path.name not in names:
                path.unlink(missing_ok=True)

    def statuses(self) -> dict[str, WitnessStatus]:
        """By witness name; what cannot be read counts as nothing tried yet."""
        if not (self._directory.path / _STATUS).exists():
            return {}
        try:
            data = self._directory.read(_STATUS, bytes_max=_STATUS_BYTES_MAX)
            return msgspec.json.decode(data, type=dict[str, WitnessStatus])
        except msgspec.DecodeError:
            return {}

    def keep_statuses(self, statuses: dict[str, WitnessStatus]) -> None:
        """Remember how each witness answered."""
        self._write(_STATUS, msgspec.json.encode(statuses))

    def _read(self, origin: str, name: str) -> str:
        data = self._directory.read(f"{_FOLDER}/{_log(origin)}/{name}", bytes_max=NOTE_BYTES_MAX * 4)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise EvidenceError(
                f"{_FOLDER}/{_log(origin)}/{name} in the operator directory is damaged",
                code="witness_memory_damaged",
                next_step="remove that file; the witness itself still has the checkpoint",
            ) from error

    def _write(self, name: str, data: bytes) -> None:
        try:
            self._directory.write(name, data)
        except BywireError as error:
            # A full disk must not keep a retreat from ending; what is not remembered is asked again.
            if error.code != "disk_full":
                raise


def _log(origin: str) -> str:
    return origin_hash(origin)[:16]
