"""`bywire backup`: a consistent copy of a workspace while it works, signed by its log's key and verified after writing.

It holds the database, the data keys of its blobs, and what the operator configured. Private keys only when asked for:
without them a backup can be read and verified, but nobody can act with it. What retention erases later stays readable
in a backup until the backup itself is destroyed.
"""

from pathlib import Path
from typing import Any

import msgspec

from bywire import __version__
from bywire.adapters.backup_files import StoredFile, check_files, copy_in, described, staged, take_files, write_new
from bywire.adapters.blob_keys import DIRECTORY as BLOB_KEYS
from bywire.adapters.durable_file import read_regular
from bywire.adapters.key_files import TRUST_FILE
from bywire.adapters.sqlite_database import connect, copy_database
from bywire.adapters.sqlite_ledger import open_reader
from bywire.config.agents_config import FILE_NAME as AGENTS_FILE
from bywire.identity.trust import TrustRoot
from bywire.ledger import log
from bywire.ledger.checkpoint import log_keys, verify_checkpoint
from bywire.ledger.erasure import eraser_keys
from bywire.ledger.verify import verify_all
from bywire.model.errors import EvidenceError, LedgerError
from bywire.model.principal import KeyRole
from bywire.model.statement import BACKUP, Statement, subject
from bywire.seal.dsse import ENVELOPE_BYTES_MAX, sign_statement, unverified_statement, verify_statement
from bywire.wiring.workspace import DATABASE_FILE, OPERATOR_FILE, WITNESS_FILE, Workspace

MANIFEST_FILE = "manifest.dsse.json"
CONFIGURED = (OPERATOR_FILE, AGENTS_FILE, TRUST_FILE, WITNESS_FILE, "policy")
PRIVATE = "keys"
_AGAIN = "make another backup, or restore an older one that is whole"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The predicate of a backup: every file by name; of the log in it `size` entries, root in hex, last checkpoint."""

    at_ms: int
    checkpoint: str
    files: dict[str, StoredFile]
    origin: str
    program: str
    root: str
    size: int
    with_keys: bool


class Backup(msgspec.Struct, frozen=True):
    """A backup that verified, at `place`."""

    place: Path
    manifest: Manifest


def make_backup(workspace: Workspace, destination: Path, *, with_keys: bool = False) -> Manifest:
    """Write a backup to `destination`, a directory or a `.tar` file that does not exist yet.

    1. Publish a checkpoint. 2. Copy the database through SQLite, then the data keys: every one that it needs is there
    by then. 3. Sign the manifest. 4. Read all of it back and verify it as `bywire restore` would. Hold RETENTION_LOCK,
    or a key may go between the two copies. Raises ConfigError `backup_exists`, LedgerError `backup_damaged`.
    """
    workspace.journal.flush_reads()
    note = workspace.publish()
    directory = workspace.directory.path
    with staged(destination) as place:
        source = connect(directory / DATABASE_FILE, read_only=True)
        try:
            copy_database(source, place / DATABASE_FILE)
        finally:
            source.close()
        for name in (BLOB_KEYS, *CONFIGURED, *([PRIVATE] if with_keys else [])):
            _copy(directory / name, place / name)
        size, root = tree_head(place / DATABASE_FILE)
        manifest = Manifest(
            at_ms=workspace.clock.now_ms(),
            checkpoint=note,
            files=described(place),
            origin=workspace.trust.origin,
            program=__version__,
            root=root.hex(),
            size=size,
            with_keys=with_keys,
        )
        database = subject(DATABASE_FILE, manifest.files[DATABASE_FILE].sha256)
        statement = Statement(subject=(database,), predicateType=BACKUP, predicate=msgspec.to_builtins(manifest))
        write_new(place / MANIFEST_FILE, sign_statement(statement, workspace.log_key))
        read_backup(place, workspace.trust)
    return manifest


def read_backup(place: Path, trust: TrustRoot) -> Backup:
    """A backup whose manifest a trusted log key signed, whose files are whole, and whose log verifies, entry by entry.

    `trust` comes from outside the backup (RULES 25). Raises LedgerError `backup_damaged`, `backup_untrusted`,
    `backup_origin`.
    """
    manifest = _manifest(place, trust)
    check_files(place, manifest.files)
    _verify_log(place, manifest, trust)
    return Backup(place=place, manifest=manifest)


def take_backup(source: Path, target: Path, trust: TrustRoot) -> Backup:
    """Copy the files of a backup to `target`, a private place, and verify the copy as `read_backup` does.

    What is verified is what is used: `source` may lie where others write, and is not looked at again.
    """
    manifest = _manifest(source, trust)
    take_files(source, manifest.files, target)
    _verify_log(target, manifest, trust)
    return Backup(place=target, manifest=manifest)


def _verify_log(place: Path, manifest: Manifest, trust: TrustRoot) -> None:
    reader = open_reader(place / DATABASE_FILE)
    try:
        with reader.snapshot():
            report = verify_all(
                reader, trust.origin, log_keys(trust), erasers=eraser_keys(trust), witness=(manifest.checkpoint,)
            )
    finally:
        reader.close()
    if report.fault is not None or (report.size, report.root) != (manifest.size, manifest.root):
        said = report.fault.detail if report.fault else "it is not the log that the manifest describes"
        raise LedgerError(f"the log in the backup does not verify: {said}", code="backup_damaged", next_step=_AGAIN)


def tree_head(database: Path) -> tuple[int, bytes]:
    """Size and root of the log in a database. LedgerError when it cannot be read."""
    reader = open_reader(database)
    try:
        with reader.snapshot():
            size = reader.entry_count()
            return size, log.root_at(reader, size)
    finally:
        reader.close()


def _manifest(place: Path, trust: TrustRoot) -> Manifest:
    try:
        envelope = read_regular(place / MANIFEST_FILE, ENVELOPE_BYTES_MAX)
    except OSError:
        envelope = None
    if envelope is None:
        raise LedgerError(f"there is no {MANIFEST_FILE} in {place}", code="backup_damaged", next_step=_AGAIN)
    try:
        claimed = _predicate(unverified_statement(envelope))
        keys = trust.keys_for(KeyRole.LOG, index=max(claimed.size - 1, 0))
        manifest = _predicate(verify_statement(envelope, keys).statement)
        if manifest.origin == trust.origin:
            verify_checkpoint(manifest.checkpoint, trust.origin, log_keys(trust))
    except EvidenceError as error:
        raise LedgerError(
            f"the manifest is not signed by a log key that trust.json lists: {error.message}",
            code="backup_untrusted",
            next_step="name the trust root of the workspace it was made from: --trust FILE",
        ) from error
    if manifest.origin != trust.origin:
        raise LedgerError(
            f"the backup is of the log {manifest.origin}, and trust.json is of {trust.origin}",
            code="backup_origin",
            next_step="restore a backup of this log; one from before a fork needs the trust.json of that time: --trust",
        )
    return manifest


def _predicate(statement: Statement) -> Manifest:
    try:
        manifest = msgspec.convert(statement.predicate, Manifest)
    except msgspec.ValidationError as error:
        raise EvidenceError("the manifest is malformed", code="statement_malformed") from error
    database: Any = manifest.files.get(DATABASE_FILE)
    if statement.predicateType != BACKUP or database is None:
        raise EvidenceError("this is no backup's manifest", code="statement_malformed")
    return manifest


def _copy(source: Path, target: Path) -> None:
    """A file or a directory of files, as far as it is there."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                copy_in(path, target / path.relative_to(source))
    elif source.is_file():
        copy_in(source, target)
