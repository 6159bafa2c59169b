"""The log outside the workspace: published as files, checked from files, and proofs between its sizes."""

from pathlib import Path

import msgspec

from bywire.adapters.sqlite_ledger import open_reader
from bywire.adapters.tile_files import TileFiles
from bywire.ledger import log
from bywire.ledger.checkpoint import ED25519, NOTE_BYTES_MAX, Checkpoint, log_keys, parse_checkpoint, verify_checkpoint
from bywire.ledger.merkle import verify_consistency
from bywire.ledger.tiles import write_log
from bywire.ledger.tiles_verify import TilesReport, verify_tiles
from bywire.ledger.vkey import format_vkey
from bywire.ledger.witness import parse_proof_lines
from bywire.model.errors import BywireError, ConfigError
from bywire.model.principal import KeyRole
from bywire.seal.keys import VerifyKey
from bywire.wiring.auditing import read_trust, read_witness_policy
from bywire.wiring.workspace import DATABASE_FILE, Workspace

PROOF_BYTES_MAX = 16_384


class Consistency(msgspec.Struct, frozen=True):
    """Two tree heads of one log and the proof that the second extends the first; hashes of 32 bytes."""

    origin: str
    size1: int
    size2: int
    root1: bytes
    root2: bytes
    proof: tuple[bytes, ...]


class ConsistencyReport(msgspec.Struct, frozen=True):
    """Whether one checkpoint extends another. `ok` only under a trust root."""

    ok: bool
    code: str
    message: str
    size1: int = 0
    size2: int = 0


def publish_log(workspace: Workspace, directory: Path) -> Checkpoint:
    """Publish the whole log as C2SP tlog-tiles files below `directory`; see `ledger.tiles.write_log` for refusals."""
    _refuse_inside(workspace, directory)
    store = TileFiles(directory)
    with store.publishing():
        note = workspace.publish()
        reader = open_reader(workspace.directory.path / DATABASE_FILE)
        try:
            with reader.snapshot():
                return write_log(store, reader, note, log_keys(workspace.trust))
        finally:
            reader.close()


def verify_directory(directory: Path, trust_file: Path | None, policy_file: Path | None) -> TilesReport:
    """Check a published log from its files; needs no workspace."""
    trust = read_trust(trust_file) if trust_file else None
    policy = read_witness_policy(policy_file) if policy_file else None
    return verify_tiles(TileFiles(directory), trust, policy)


def compared(workspace: Workspace, report: TilesReport) -> TilesReport:
    """The same report, refused when the workspace's log is not the published one."""
    if not report.ok:
        return report
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            if report.origin != workspace.trust.origin:
                return msgspec.structs.replace(report, ok=False, code="log_differs", message="it is another log")
            log.refuse_contradiction(reader, report.size, bytes.fromhex(report.root))
    except BywireError as error:
        return msgspec.structs.replace(report, ok=False, code=error.code, message=error.message)
    finally:
        reader.close()
    return msgspec.structs.replace(report, message=f"{report.message}; this workspace's log has the same")


def consistency(workspace: Workspace, size1: int, size2: int | None) -> Consistency:
    """The proof between two sizes; `size2` None is the newest published one. ConfigError `size_invalid`."""
    newest = parse_checkpoint(workspace.publish()).size
    end = newest if size2 is None else size2
    if not 0 < size1 <= end <= newest:
        raise ConfigError(
            f"there is no consistency proof from {size1} to {end}; the log has {newest} entries",
            code="size_invalid",
            next_step=f"choose 1 <= FROM <= TO <= {newest}; an empty log is consistent with every other",
        )
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            return Consistency(
                origin=workspace.trust.origin,
                size1=size1,
                size2=end,
                root1=log.root_at(reader, size1),
                root2=log.root_at(reader, end),
                proof=tuple(log.consistency_proof(reader, size1, end)),
            )
    finally:
        reader.close()


def verify_consistency_files(old: Path, new: Path, proof: Path, trust_file: Path | None) -> ConsistencyReport:
    """Whether the checkpoint in `new` extends that in `old`, both signed under the trust root. Needs no workspace."""
    trust = read_trust(trust_file) if trust_file else None
    try:
        heads = []
        for file in (old, new):
            note = _text(file, NOTE_BYTES_MAX)
            heads.append(verify_checkpoint(note, trust.origin, log_keys(trust)) if trust else parse_checkpoint(note))
        first, second = heads
        path = parse_proof_lines(_text(proof, PROOF_BYTES_MAX).splitlines())
        if first.origin != second.origin:
            return ConsistencyReport(ok=False, code="checkpoint_origin", message="the two checkpoints are of two logs")
        verify_consistency(first.size, second.size, first.root, second.root, path)
    except BywireError as error:
        return ConsistencyReport(ok=False, code=error.code, message=error.message)
    if trust is None:
        message = "integrity only, signer untrusted"
        return ConsistencyReport(False, "signer_untrusted", message, first.size, second.size)
    message = f"the log of {second.size} entries extends the one of {first.size}"
    return ConsistencyReport(True, "verified", message, first.size, second.size)


def stored_note(workspace: Workspace, size: int | None) -> str:
    """The published checkpoint of that size, with its cosignatures when it is the newest. ConfigError `not_found`."""
    newest = workspace.publish()
    if size is None or parse_checkpoint(newest).size == size:
        return newest
    found = next((one.note for one in workspace.ledger.checkpoints(size) if one.size == size), None)
    if found is None:
        raise ConfigError(
            f"no checkpoint of {size} entries was published",
            code="not_found",
            next_step="bywire log checkpoint, without --size, prints the newest",
        )
    return found


def log_vkeys(workspace: Workspace) -> tuple[str, ...]:
    """The log's keys, as witnesses and verifiers of other makers want them (C2SP signed-note vkeys)."""
    trust = workspace.trust
    return tuple(
        format_vkey(trust.origin, VerifyKey.from_hex(key.public), ED25519)
        for key in trust.keys
        if key.role is KeyRole.LOG
    )


def _refuse_inside(workspace: Workspace, directory: Path) -> None:
    place = directory.resolve()
    for private in (workspace.directory.path.resolve(), workspace.repo.resolve()):
        if place == private or private in place.parents or place in private.parents:
            raise ConfigError(
                f"{directory} and {private}, which is not for publishing, contain one another",
                code="publish_place",
                next_step="choose a directory of its own, such as the root of a web server",
            )


def _text(file: Path, bytes_max: int) -> str:
    data = file.read_bytes()[: bytes_max + 1]
    return data.decode("utf-8", "replace")
