"""A witness met in a directory: the log leaves its request there, the witness's own program cosigns when it runs.

`<directory>/inbox/<origin hash>` is what the log asks, `<directory>/logs/<origin hash>/checkpoint` what was cosigned
last. The directory belongs to another user or host (a mount), who owns the key; this side only reads what is public and
writes one file. Without write access to the inbox it still compares, and says that nothing can be asked.
"""

from pathlib import Path

from bywire.adapters.durable_file import read_regular, write_whole
from bywire.adapters.witness_state import INBOX, LOGS
from bywire.ledger.checkpoint import NOTE_BYTES_MAX
from bywire.ledger.witness import Answer, origin_hash
from bywire.model.errors import BywireError, EvidenceError

_REQUEST_MODE = 0o644


class DirectoryWitness:
    """`ledger.witness.WitnessPlace` in `directory`."""

    answers_later = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def latest(self, origin: str) -> str | None:
        """Read the last checkpoint it cosigned."""
        try:
            if not (self._directory / LOGS).is_dir():
                raise _unreachable(f"there is no witness in {self._directory}")
            data = read_regular(self._directory / LOGS / origin_hash(origin) / "checkpoint", NOTE_BYTES_MAX * 4)
        except OSError as error:
            raise _unreachable(f"its checkpoint cannot be read: {error.strerror or error}") from error
        return None if data is None else data.decode("utf-8", "replace")

    def add_checkpoint(self, origin: str, request: bytes) -> Answer | None:
        """Leave the request, in place of an older one; the answer is read by `latest`, later."""
        try:
            write_whole(self._directory / INBOX / origin_hash(origin), request, _REQUEST_MODE)
        except OSError as error:
            raise _unreachable(f"its inbox cannot be written: {error.strerror or error}") from error
        return None


def _unreachable(why: str) -> BywireError:
    return EvidenceError(
        f"the witness did not answer: {why}",
        code="witness_unreachable",
        next_step="mount its directory, or let this user write to its inbox",
    )
