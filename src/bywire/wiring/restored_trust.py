"""Which keys a restored log may believe: the root the person brings, less every key that is known here to have ended.

A trust root from elsewhere may be older than this directory. What ended since stays ended, whoever names the file.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bywire.adapters.key_files import TRUST_FILE
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.adapters.sqlite_restoring import retired_in
from bywire.adapters.yaml_file import read_bytes
from bywire.identity.trust import TRUST_BYTES_MAX, TrustRoot, parse_trust_root
from bywire.ledger.checkpoint import NOTE_BYTES_MAX
from bywire.model.errors import ConfigError, EvidenceError
from bywire.model.principal import KeyRole
from bywire.seal.keys import SigningKey
from bywire.wiring.workspace import DATABASE_FILE

_FORKED = ".fork-"


def outside_trust(directory: OperatorDirectory, trust_file: Path | None) -> TrustRoot:
    """The trust root from outside the backup (RULES 25). Raises ConfigError `trust_missing`, EvidenceError."""
    here = _trust_here(directory)
    if trust_file is not None:
        given = parse_trust_root(read_bytes(trust_file, bytes_max=TRUST_BYTES_MAX))
        return given.retired(_ends(here)) if here is not None and here.origin == given.origin else given
    if here is None:
        raise ConfigError(
            f"{directory.path} has no {TRUST_FILE}, and the one in a backup cannot vouch for itself",
            code="trust_missing",
            next_step="name the trust root as you keep it elsewhere: --trust FILE",
        )
    return here


def known_ends(directory: OperatorDirectory) -> dict[str, int]:
    """Where each key ended, as the directory's trust root and the database to be replaced know it; the earlier one."""
    here = _trust_here(directory)
    ends = retired_in(directory.path / DATABASE_FILE)
    for key_id, end in (_ends(here) if here is not None else {}).items():
        ends[key_id] = min(end, ends.get(key_id, end))
    return ends


def forked_trust(trust: TrustRoot, size: int, now_ms: int, drawn: str) -> TrustRoot:
    """The trust root of the log that goes on from the first `size` entries of another.

    Indexes from `size` on are given out anew, so what a key was promised beyond it holds from there: a key that was
    retired in the lost part is retired, its successor valid. `drawn` is randomness: a clock may be set back, and no
    origin may ever name two logs.
    """
    keys = tuple(
        msgspec.structs.replace(
            one,
            from_index=min(one.from_index, size),
            to_index=None if one.to_index is None else min(one.to_index, size),
        )
        for one in trust.keys
    )
    origin = f"{trust.origin.partition(_FORKED)[0]}{_FORKED}{size}-{now_ms}-{drawn}"
    return msgspec.structs.replace(trust, origin=origin, keys=keys)


def require_log_key(trust: TrustRoot, key: SigningKey) -> None:
    """ConfigError `log_key_untrusted` unless the key that is to sign a fork is the log's, and has not ended."""
    entry = trust.entry(key.key_id)
    if entry is None or entry.role is not KeyRole.LOG or not entry.valid_at(None):
        raise ConfigError(
            "the log's private key here is not one that the trust root lists as valid",
            code="log_key_untrusted",
            next_step="name the newest trust root, or put the key that belongs to it into keys/",
        )


def read_note(file: Path) -> str:
    """A checkpoint from a file of the person's. Raises ConfigError, EvidenceError `checkpoint_malformed`."""
    return note_text(read_bytes(file, bytes_max=NOTE_BYTES_MAX))


def note_text(data: bytes) -> str:
    """The text of a checkpoint's bytes. EvidenceError `checkpoint_malformed`."""
    try:
        if len(data) <= NOTE_BYTES_MAX:
            return data.decode()
    except UnicodeDecodeError as error:
        raise _malformed("it is not UTF-8 text") from error
    raise _malformed(f"it has more than {NOTE_BYTES_MAX} bytes")


def _malformed(problem: str) -> EvidenceError:
    return EvidenceError(
        f"the checkpoint is malformed: {problem}",
        code="checkpoint_malformed",
        next_step="name a checkpoint as it was published",
    )


def _trust_here(directory: OperatorDirectory) -> TrustRoot | None:
    if not (directory.path / TRUST_FILE).exists():
        return None
    return parse_trust_root(directory.read(TRUST_FILE))


def _ends(trust: TrustRoot) -> Mapping[str, int]:
    return {key.key_id: key.to_index for key in trust.keys if key.to_index is not None}
