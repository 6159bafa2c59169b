"""`bywire restore`: put a backup in the place of a lost or damaged database, unless that would undo what was published.

A backup behind a checkpoint that anybody knows is refused (RULES 24). A person may choose to go on from it all the
same: then the log gets a new origin, and its first entry says from which log, at which size, why, and by whom. What was
there before is moved aside, never deleted. Where something may be missing, nothing is done until targets were compared.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.backup_files import copy_in, opened, put_in_place, set_aside
from bywire.adapters.blob_keys import DIRECTORY as BLOB_KEYS
from bywire.adapters.clock import HighWaterClock
from bywire.adapters.git_repository import GitRepository
from bywire.adapters.key_files import TRUST_FILE, KeyFiles, draw_id
from bywire.adapters.operator_dir import OperatorDirectory, operator_path
from bywire.adapters.removal import remove_tree
from bywire.adapters.sqlite_restoring import (
    end_approvals,
    end_sessions,
    keep_ended,
    leave_origin,
    put_under_stop,
    root_of,
    settle_log,
    tail_of,
)
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.adapters.witness_memory import WitnessMemory
from bywire.adapters.workspace_presence import Presence
from bywire.identity.trust import TrustRoot
from bywire.ledger import log
from bywire.ledger.checkpoint import log_keys, verify_checkpoint
from bywire.ledger.entry import leaf_bytes, record_entry, statement_entry
from bywire.model.errors import ConfigError, LedgerError
from bywire.model.principal import KeyRole
from bywire.model.statement import FORK, Statement, subject
from bywire.seal import jcs
from bywire.seal.digest import same_digest, sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey
from bywire.wiring.approving import roles_of
from bywire.wiring.backup import Backup, Manifest, take_backup
from bywire.wiring.restored_trust import forked_trust, known_ends, note_text, outside_trust, read_note, require_log_key
from bywire.wiring.witnessing import Witnesses
from bywire.wiring.workspace import DATABASE_FILE, LOG_PRINCIPAL, OPERATOR_FILE, WITNESS_FILE, read_operator

FORK_KIND, RESTORE_KIND = "fork", "restore"
STAGING = ".restoring"
_ASIDE = "replaced"
_DRAWN = 8
_REPLACED = (DATABASE_FILE, f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm", BLOB_KEYS, TRUST_FILE, WITNESS_FILE)
_ANOTHER = "restore a newer backup; or go on from this one as another log: --fork --reason TEXT --as PERSON"


class Choice(msgspec.Struct, frozen=True):
    """What the person chose: who they are, why, and whether to go on as another log."""

    person: str
    reason: str
    fork: bool


class Restored(msgspec.Struct, frozen=True):
    """What a restore did. `missing` counts the entries that are known to be lost; `aside` holds what was here.

    `differing` are configured files that were left as they are although the backup holds another version.
    """

    origin: str
    size: int
    entry: int
    forked: bool
    stopped: bool
    missing: int
    missing_kinds: dict[str, int]
    sessions: int
    approvals: int
    aside: str
    added: tuple[str, ...]
    differing: tuple[str, ...]


class Gap(msgspec.Struct, frozen=True):
    """How far a backup lies behind. `readable`: the database that it replaces was read.

    `provably_none`: and it holds as much as the backup, and nothing more. A shorter one is itself behind, or new.
    """

    entries: int
    kinds: dict[str, int]
    witnessed: bool
    readable: bool
    provably_none: bool
    where: str


class _Known(msgspec.Struct, frozen=True):
    """What somebody outside the backup knows of the log: a size, its root (empty: compared already), and who."""

    size: int
    root: bytes
    where: str


class _Prepared(msgspec.Struct, frozen=True):
    now_ms: int
    trust: TrustRoot
    entry: int
    note: str
    sessions: int
    approvals: int


class _GoingOn(msgspec.Struct, frozen=True):
    """What a restored log goes on with: the keys to believe, where keys ended, what is missing, who chose, the key."""

    trust: TrustRoot
    ends: dict[str, int]
    gap: Gap
    choice: Choice
    key: SigningKey


def restore(
    repo: Path,
    operator: Path | None,
    source: Path,
    choice: Choice,
    *,
    trust_file: Path | None = None,
    checkpoint_file: Path | None = None,
) -> Restored:
    """Restore `source` into the operator directory of `repo`.

    1. Nobody else has the workspace open. 2. A private copy of the backup verifies under a trust root from outside it;
    the backup itself is not looked at again. 3. It is not behind, and no other history than, what is known elsewhere,
    unless the person chose to fork. 4. The copy is prepared: sessions and approvals end, and every key that ended here;
    a stop is put in force, a fork is stated and signed. 5. Only then files change places.

    Raises ConflictError `workspace_busy`; ConfigError `trust_missing`, `key_missing`, `not_a_person`, `fork_unneeded`,
    `log_key_untrusted`; EvidenceError `trust_invalid`, `checkpoint_malformed`; LedgerError `restore_behind_witness`,
    `restore_unwitnessed`, `restore_other_history`, and those of `read_backup`.
    """
    directory = OperatorDirectory.create(operator_path(GitRepository(repo).root, given=operator))
    staging = directory.path / STAGING
    with directory.lock("deliver"), Presence(directory.path, alone=True):
        remove_tree(staging)
        try:
            trust = outside_trust(directory, trust_file)
            with opened(source, directory.path) as unpacked:
                backup = take_backup(unpacked, staging, trust)
            gap = _gap(directory, backup, trust, checkpoint_file)
            _refuse(directory, backup, gap, choice)
            return _go_on(directory, backup, gap, trust, choice)
        finally:
            remove_tree(staging)  # it may hold private keys


def _go_on(directory: OperatorDirectory, backup: Backup, gap: Gap, trust: TrustRoot, choice: Choice) -> Restored:
    """Prepare the copy, then let it take its place."""
    staging, ends = backup.place, known_ends(directory)
    trust = trust.retired(ends)
    added, differing = _configure(directory, backup, trust)
    key = KeyFiles(directory).load(KeyRole.LOG, LOG_PRINCIPAL)
    if choice.fork:
        require_log_key(trust, key)
    going_on = _GoingOn(trust, ends, gap, choice, key)
    prepared = _prepare(staging / DATABASE_FILE, backup.manifest, going_on)
    aside = directory.path / f"{_ASIDE}-{prepared.now_ms}"
    if gap.readable:
        settle_log(directory.path / DATABASE_FILE)
    set_aside(directory.path, _REPLACED, aside)
    put_in_place(staging, directory.path, DATABASE_FILE, BLOB_KEYS)
    if choice.fork:
        directory.write(TRUST_FILE, prepared.trust.to_bytes())
        directory.write(WITNESS_FILE, prepared.note.encode())
    return Restored(
        origin=prepared.trust.origin,
        size=backup.manifest.size,
        entry=prepared.entry,
        forked=choice.fork,
        stopped=not gap.provably_none,
        missing=gap.entries,
        missing_kinds=gap.kinds,
        sessions=prepared.sessions,
        approvals=prepared.approvals,
        aside=aside.name,
        added=added,
        differing=differing,
    )


def _gap(directory: OperatorDirectory, backup: Backup, trust: TrustRoot, checkpoint_file: Path | None) -> Gap:
    """How far the backup lies behind everything that can be asked. LedgerError `restore_other_history`."""
    manifest, database = backup.manifest, backup.place / DATABASE_FILE
    known = list(_known(directory, trust, checkpoint_file))
    for one in known:
        if one.size <= manifest.size and root_of(database, one.size) != one.root:
            raise _other_history(one.where)
    here = tail_of(directory.path / DATABASE_FILE, manifest.size)
    if here is not None:
        if here[0] >= manifest.size and here[1] != bytes.fromhex(manifest.root):
            raise _other_history(f"the database in {directory.path}")
        # One that is shorter than its backup cannot say how far the log had come.
        if here[0] >= manifest.size:
            known.append(_Known(here[0], b"", "the database that it would replace"))
    furthest = max(known, key=lambda one: one.size, default=_Known(0, b"", ""))
    return Gap(
        entries=max(furthest.size - manifest.size, 0),
        kinds=here[2] if here is not None else {},
        witnessed=bool(known),
        readable=here is not None,
        provably_none=here is not None and here[0] == manifest.size and furthest.size <= manifest.size,
        where=furthest.where,
    )


def _known(directory: OperatorDirectory, trust: TrustRoot, checkpoint_file: Path | None) -> Iterator[_Known]:
    """Every signed checkpoint that can be found outside the backup."""
    notes: list[tuple[str, str]] = []
    if checkpoint_file is not None:
        notes.append((str(checkpoint_file), read_note(checkpoint_file)))
    if (directory.path / WITNESS_FILE).exists():
        notes.append((WITNESS_FILE, note_text(directory.read(WITNESS_FILE))))
    if (directory.path / OPERATOR_FILE).exists():
        witnessing = read_operator(directory).witnessing
        witnesses = Witnesses(witnessing, WitnessMemory(directory), lambda: trust, HighWaterClock().now_ms)
        witnesses.ask()
        notes += [("a witness", note) for note in witnesses.notes()]
    for where, note in notes:
        checkpoint = verify_checkpoint(note, trust.origin, log_keys(trust))
        yield _Known(checkpoint.size, checkpoint.root, where)


def _refuse(directory: OperatorDirectory, backup: Backup, gap: Gap, choice: Choice) -> None:
    size = backup.manifest.size
    log_key = f"keys/{KeyRole.LOG}--{LOG_PRINCIPAL.replace(':', '-')}.pem"
    if not (directory.path / log_key).exists() and log_key not in backup.manifest.files:
        raise ConfigError(
            "the log's private key is neither here nor in the backup",
            code="key_missing",
            next_step=f"put keys/ back into {directory.path} from where you keep it, then run this again",
        )
    if choice.fork:
        configured = directory if (directory.path / OPERATOR_FILE).exists() else OperatorDirectory(backup.place)
        if not roles_of(read_operator(configured), choice.person):
            raise ConfigError(
                f"{choice.person} is not among the people of operator.yaml",
                code="not_a_person",
                next_step="name a person whom the operator lists: --as NAME",
            )
        if gap.witnessed and not gap.entries:
            raise ConfigError(
                "the backup is not behind anything that is known of the log",
                code="fork_unneeded",
                next_step="restore it without --fork",
            )
        return
    if gap.entries:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(gap.kinds.items()))
        raise LedgerError(
            f"the backup holds {size} entries, but {gap.where} says that the log had {size + gap.entries}:"
            f" {gap.entries} would be lost{f' ({kinds})' if kinds else ''}",
            code="restore_behind_witness",
            next_step=_ANOTHER,
        )
    if not gap.witnessed:
        raise LedgerError(
            "nothing outside the backup says how far the log had come",
            code="restore_unwitnessed",
            next_step=f"name a checkpoint that you keep elsewhere: --checkpoint FILE; or {_ANOTHER}",
        )


def _configure(
    directory: OperatorDirectory, backup: Backup, trust: TrustRoot
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(files that were missing and came from the backup, files that differ and stay): the operator's word is newer."""
    added, differing = [], []
    for name, stored in sorted(backup.manifest.files.items()):
        if name in {DATABASE_FILE, TRUST_FILE, WITNESS_FILE} or name.startswith(f"{BLOB_KEYS}/"):
            continue
        if not (directory.path / name).exists():
            copy_in(backup.place / name, directory.path / name)
            added.append(name)
        elif sha256_hex((directory.path / name).read_bytes()) != stored.sha256:
            differing.append(name)
    if not (directory.path / TRUST_FILE).exists():
        directory.write(TRUST_FILE, trust.to_bytes())
        added.append(TRUST_FILE)
    return tuple(added), tuple(differing)


def _prepare(database: Path, manifest: Manifest, given: _GoingOn) -> _Prepared:
    """Make the copy fit to go on from, in one transaction."""
    trust, gap, choice, key = given.trust, given.gap, given.choice, given.key

    def work(tx: Transaction) -> _Prepared:
        row = tx.execute("SELECT value FROM meta WHERE key = 'now_ms'").fetchone()
        now_ms = HighWaterClock(0 if row is None else int(row[0])).now_ms()
        going_on = forked_trust(trust, manifest.size, now_ms, draw_id()[:_DRAWN]) if choice.fork else trust
        said: dict[str, Any] = {
            "at_ms": now_ms,
            "backup_at_ms": manifest.at_ms,
            "by": choice.person,
            "checkpoint": manifest.checkpoint,
            "missing": gap.entries,
            "missing_kinds": gap.kinds,
            "origin": manifest.origin,
            "reason": choice.reason,
            "root": tree_root(tx, manifest),
            "size": tx.entry_count(),
        }
        keep_ended(tx, given.ends, now_ms)
        if choice.fork:
            leave_origin(tx)
            statement = Statement(
                subject=(subject(manifest.origin, said["root"]),),
                predicateType=FORK,
                predicate={**said, "new_origin": going_on.origin},
            )
            content = sign_statement(statement, key)
            leaf = statement_entry(FORK_KIND, now_ms, "workspace", content, statement, key.key_id)
        else:
            content = jcs.canonical(said)
            leaf = record_entry(RESTORE_KIND, now_ms, "workspace", content)
        entry = tx.append(leaf_bytes(leaf), [content])
        sessions, approvals = end_sessions(tx, now_ms), 0
        if not gap.provably_none:
            approvals = end_approvals(tx, now_ms)
            put_under_stop(tx, entry, choice.person, choice.reason, now_ms)
        note = log.publish(tx, going_on.origin, key) if choice.fork else ""
        return _Prepared(now_ms, going_on, entry, note, sessions, approvals)

    with Writer(database) as writer:
        return writer.run(work)


def tree_root(tx: Transaction, manifest: Manifest) -> str:
    """The root of the copy, which must be the manifest's: what was verified is what is gone on from."""
    root = log.integrate(tx).root().hex()
    if not same_digest(root, manifest.root):
        raise LedgerError("the copy is not the backup", code="backup_damaged", next_step="restore it again")
    return root


def _other_history(where: str) -> LedgerError:
    return LedgerError(
        f"the backup is of another history than the one that {where} knows",
        code="restore_other_history",
        next_step="keep everything as it is and find out which of them was changed; restore another backup",
    )
