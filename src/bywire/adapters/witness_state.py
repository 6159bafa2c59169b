"""What a witness keeps: its key, the logs it knows, and for each log the last checkpoint it cosigned.

Promises: compare and store happen under one lock, across threads and processes; the new checkpoint is durable before
its cosignature leaves; a state file that does not carry this witness's own cosignature stops the witness for that log
and is never taken for "nothing known". The key is readable by its owner alone; what was cosigned is public.
"""

import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bywire.adapters.durable_file import read_regular, sync_directory, write_whole
from bywire.ledger.checkpoint import (
    COSIGNATURE,
    ED25519,
    NOTE_BYTES_MAX,
    Checkpoint,
    cosign,
    cosignatures,
    parse_checkpoint,
    render_note,
    signature_line,
)
from bywire.ledger.vkey import format_vkey, parse_vkey
from bywire.ledger.witness import (
    REQUEST_BYTES_MAX,
    Refusal,
    authenticate,
    judge,
    origin_hash,
    parse_request,
)
from bywire.model.errors import BywireError, ConfigError, ConflictError, EvidenceError, LedgerError
from bywire.seal.keys import SigningKey, VerifyKey

LOGS_MAX = 1_024
KEY_FILE, SETTINGS_FILE, LOGS, INBOX = "key.pem", "witness.json", "logs", "inbox"
_SETTINGS_BYTES_MAX = 1_048_576
_KEY_BYTES_MAX = 16_384
_LOCK_SECONDS = 5.0
_LOCK_POLL_SECONDS = 0.01
_PUBLIC, _PRIVATE = 0o644, 0o600


class _Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    name: str
    logs: tuple[str, ...]


class WitnessState:
    """One witness in `directory`. Safe to use from several threads, and beside other processes."""

    def __init__(self, directory: Path, wall: Callable[[], float] = time.time) -> None:
        """Open. ConfigError `witness_missing`, `key_exposed`, `witness_settings`; EvidenceError `key_invalid`."""
        self._directory = directory
        self._wall = wall
        self._thread = threading.Lock()
        settings = _read_settings(directory)
        self.name = settings.name
        self._key = _read_key(directory)
        self.logs: dict[str, tuple[VerifyKey, ...]] = {}
        for text in settings.logs:
            named = parse_vkey(text, ED25519)
            self.logs[named.name] = (*self.logs.get(named.name, ()), named.key)

    @property
    def public(self) -> VerifyKey:
        """The key it cosigns with."""
        return self._key.public

    @property
    def vkey(self) -> str:
        """The key as a verifier's policy names it."""
        return format_vkey(self.name, self.public, COSIGNATURE)

    def add(self, body: bytes) -> str | Refusal:
        """Answer one add-checkpoint: cosignature lines, or the refusal. LedgerError when its own state is damaged."""
        request = parse_request(body)
        if isinstance(request, Refusal):
            return request
        known = authenticate(request, self.logs)
        if isinstance(known, Refusal):
            return known
        with self._holding():
            latest = self._latest(known.checkpoint.origin)
            refusal = judge(request, known.checkpoint, latest)
            if refusal is not None:
                return refusal
            line = cosign(known.checkpoint, self.name, self._key, self._now_seconds(latest))
            note = render_note(known.checkpoint.text, [*known.log_lines, line])
            self._store(known.checkpoint.origin, note)
        return signature_line(line)

    def served(self, hashed: str) -> bytes | None:
        """The checkpoint file of the log whose origin hash this is."""
        if hashed not in {origin_hash(origin) for origin in self.logs}:
            return None
        return read_regular(self._place(hashed), NOTE_BYTES_MAX * 4)

    def sizes(self) -> dict[str, int]:
        """For every log it knows, the size it last cosigned (0: never)."""
        latest = {origin: self._latest(origin) for origin in self.logs}
        return {origin: found.size if found else 0 for origin, found in latest.items()}

    def requests(self) -> Iterator[tuple[str, bytes]]:
        """(origin, body) that logs have left in the inbox. What lies there under other names is not looked at."""
        for origin in self.logs:
            try:
                body = read_regular(self._directory / INBOX / origin_hash(origin), REQUEST_BYTES_MAX)
            except OSError as error:
                raise _unreadable(self._directory / INBOX / origin_hash(origin), error) from error
            if body is not None:
                yield origin, body

    def _latest(self, origin: str) -> Checkpoint | None:
        place = self._place(origin_hash(origin))
        try:
            data = read_regular(place, NOTE_BYTES_MAX * 4)
            if data is None:
                return None
            checkpoint = parse_checkpoint(data.decode())
            cosigned = self.name in cosignatures(checkpoint, {self.name: self.public})
        except (OSError, UnicodeDecodeError, EvidenceError) as error:
            raise _damaged(place) from error
        if not cosigned or checkpoint.origin != origin:
            raise _damaged(place)
        return checkpoint

    def _now_seconds(self, latest: Checkpoint | None) -> int:
        """Never before the last cosignature, whatever the clock says."""
        before = cosignatures(latest, {self.name: self.public})[self.name].at_seconds if latest else 1
        return max(int(self._wall()), before)

    def _store(self, origin: str, note: str) -> None:
        place = self._place(origin_hash(origin))
        place.parent.mkdir(mode=0o755, exist_ok=True)
        write_whole(place, note.encode(), _PUBLIC)
        for directory in (place.parent, place.parent.parent):
            sync_directory(directory)

    def _place(self, hashed: str) -> Path:
        return self._directory / LOGS / hashed / "checkpoint"

    @contextmanager
    def _holding(self) -> Iterator[None]:
        with self._thread:
            path = self._directory / ".lock"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
            try:
                _acquire(descriptor)
                yield
            finally:
                os.close(descriptor)


def create_witness(directory: Path, name: str, logs: Sequence[str]) -> WitnessState:
    """Draw a key and write a new witness's files. ConfigError `witness_exists`; EvidenceError for bad keys or names."""
    if (directory / KEY_FILE).exists():
        raise ConfigError(
            f"there is a witness in {directory} already",
            code="witness_exists",
            next_step=f"keep it, or choose another directory; more logs: bywire witness trust --state {directory}",
        )
    key = SigningKey.from_seed(secrets.token_bytes(32))
    parse_vkey(format_vkey(name, key.public, COSIGNATURE), COSIGNATURE)
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    for inner in (LOGS, INBOX):
        (directory / inner).mkdir(mode=0o755, exist_ok=True)
    _write_settings(directory, name, logs)
    write_whole(directory / KEY_FILE, key.to_pem(), _PRIVATE)
    sync_directory(directory)
    return WitnessState(directory)


def trust_log(directory: Path, vkey: str, *, only: bool = False) -> WitnessState:
    """Make a witness know one more log, or one more key of a log; `only` that key of it, and no earlier one.

    A key that was replaced can take the log where its owner never was: the witness would follow it. A witness that is
    serving reads this when it starts again.
    """
    settings = _read_settings(directory)
    name = parse_vkey(vkey, ED25519).name
    kept = [text for text in settings.logs if not only or parse_vkey(text, ED25519).name != name]
    _write_settings(directory, settings.name, tuple(dict.fromkeys([*kept, vkey])))
    sync_directory(directory)
    return WitnessState(directory)


def _write_settings(directory: Path, name: str, logs: Sequence[str]) -> None:
    for text in logs:
        parse_vkey(text, ED25519)
    if len(logs) > LOGS_MAX:
        raise ConfigError(
            f"a witness knows at most {LOGS_MAX} log keys",
            code="witness_settings",
            next_step="run another witness for the others",
        )
    settings = _Settings(version=1, name=name, logs=tuple(logs))
    write_whole(directory / SETTINGS_FILE, msgspec.json.format(msgspec.json.encode(settings)) + b"\n", _PUBLIC)


def _read_settings(directory: Path) -> _Settings:
    place = directory / SETTINGS_FILE
    try:
        data = read_regular(place, _SETTINGS_BYTES_MAX)
    except OSError as error:
        raise _unreadable(place, error) from error
    if data is None:
        raise ConfigError(
            f"there is no witness in {directory}",
            code="witness_missing",
            next_step=f"bywire witness init --state {directory} --name NAME --log VKEY",
        )
    try:
        settings = msgspec.json.decode(data, type=_Settings)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ConfigError(
            f"{place} cannot be read: {error}", code="witness_settings", next_step=f"restore {place} from a backup"
        ) from error
    if settings.version != 1:
        raise ConfigError(
            f"{place} is of another version", code="witness_settings", next_step="install the bywire that wrote it"
        )
    return settings


def _read_key(directory: Path) -> SigningKey:
    place = directory / KEY_FILE
    try:
        pem = read_regular(place, _KEY_BYTES_MAX)
        exposed = bool(place.stat().st_mode & 0o077) if pem is not None else False
    except OSError as error:
        raise _unreadable(place, error) from error
    if pem is None:
        raise ConfigError(f"there is no {place}", code="key_missing", next_step="restore it from a backup")
    if exposed:
        raise ConfigError(
            f"{place} is readable by others",
            code="key_exposed",
            next_step="make a new witness: others may know this key",
        )
    return SigningKey.from_pem(pem)


def _acquire(descriptor: int) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ConflictError(
                    "another process holds this witness", code="witness_busy", next_step="ask again in a moment"
                ) from error
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return


def _damaged(place: Path) -> BywireError:
    return LedgerError(
        f"{place} is not what this witness cosigned",
        code="witness_state_damaged",
        next_step="restore it from a copy that carries this witness's cosignature; never start again from nothing",
    )


def _unreadable(place: Path, error: OSError) -> BywireError:
    return ConfigError(
        f"{place} cannot be read: {error.strerror or error}",
        code="witness_unreadable",
        next_step="check that the file belongs to the user who runs the witness",
    )
