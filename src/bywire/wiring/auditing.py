"""Audit on real parts: the whole log verified, every decision replayed, one delivery exported."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.sqlite_ledger import open_reader
from bywire.audit.replay import Recorded, ReplayReport, recorded_decisions, replay
from bywire.identity.trust import TrustRoot, parse_trust_root
from bywire.ledger import log
from bywire.ledger.checkpoint import log_keys, parse_checkpoint
from bywire.ledger.entry import parse_leaf
from bywire.ledger.ports import EntryReader
from bywire.ledger.proof import PROOF_BYTES_MAX, ProofItem, ProofReport, build_proof, verify_proof
from bywire.ledger.verify import LogReport, verify_all
from bywire.model.errors import ConfigError, LedgerError
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine
from bywire.wiring.door import ASSETS_CHANGE
from bywire.wiring.workspace import DATABASE_FILE, Workspace

# Entries that belong to every delivery: the policy it was judged by and the assets it ships.
_ID_PREFIX_MIN = 8
SHARED_KINDS = frozenset({"policy-bundle"})


def verify_log(workspace: Workspace, progress: Callable[[int, int], None] | None = None) -> LogReport:
    """Recompute every leaf, blob, tile and checkpoint; the report names the first bad entry. Signs nothing."""
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            return verify_all(
                reader,
                workspace.trust.origin,
                log_keys(workspace.trust),
                witness=workspace.witness_notes(),
                progress=progress,
            )
    finally:
        reader.close()


def replay_log(workspace: Workspace) -> ReplayReport:
    """Decide every recorded question again with the bundle the log holds for it."""
    workspace.journal.flush_reads()
    workspace.publish()
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            bundles = _bundles(reader)
            return replay(recorded_decisions(_rows(reader)), _engines(bundles))
    finally:
        reader.close()


def export(workspace: Workspace, delivery: str) -> bytes:
    """One file that proves a delivery offline: its entries with content, inclusion proofs and a signed checkpoint."""
    note = workspace.publish()
    size = parse_checkpoint(note).size
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        items = []
        for index, leaf, content in reader.rows(0):
            entry = parse_leaf(leaf)
            wanted = entry.object in {delivery, ASSETS_CHANGE} or entry.kind in SHARED_KINDS
            if index >= size or not wanted:
                continue
            if content is None:
                raise LedgerError(
                    f"entry {index} has lost its content", code="ledger_invalid", next_step="bywire audit verify"
                )
            path = tuple(log.inclusion_proof(reader, index, size))
            items.append(ProofItem(content=content, index=index, leaf=leaf, path=path))
        return build_proof(items, note)
    finally:
        reader.close()


def verify_file(file: Path, trust_file: Path | None) -> ProofReport:
    """Verify an exported file against a trust root from outside it (RULES 25). Needs no workspace."""
    trust = _trust(trust_file) if trust_file else None
    if file.stat().st_size > PROOF_BYTES_MAX:
        raise ConfigError(f"{file} is too large", code="proof_too_large", next_step="ask for the export again")
    return verify_proof(file.read_bytes(), trust)


def _trust(trust_file: Path) -> TrustRoot:
    return parse_trust_root(trust_file.read_bytes())


def _rows(reader: EntryReader) -> Iterator[tuple[int, str, bytes]]:
    for index, leaf, content in reader.rows(0):
        if content is not None:
            yield index, parse_leaf(leaf).kind, content


def _bundles(reader: EntryReader) -> dict[str, dict[str, bytes]]:
    found = {}
    for _, kind, content in _rows(reader):
        if kind == "policy-bundle":
            document: dict[str, Any] = msgspec.json.decode(content)
            found[document["digest"]] = {name: text.encode() for name, text in document["files"].items()}
    return found


def _engines(bundles: dict[str, dict[str, bytes]]) -> Callable[[str], PolicyEngine | None]:
    loaded: dict[str, PolicyEngine | None] = {}

    def engine_for(digest: str) -> PolicyEngine | None:
        if digest not in loaded:
            files = bundles.get(digest)
            bundle = parse_bundle(files) if files is not None else None
            # A bundle in the log is only what its digest says when its files still have that digest.
            loaded[digest] = PolicyEngine(bundle) if bundle is not None and bundle.digest == digest else None
        return loaded[digest]

    return engine_for


def find_decision(reader: EntryReader, name: str) -> Recorded | None:
    """The newest recorded decision with this id, id prefix (8 characters at least) or ledger index (`#12` or `12`)."""
    wanted = name.removeprefix("#")
    found = None
    for recorded in recorded_decisions(_rows(reader)):
        by_index = wanted.isdigit() and len(wanted) < _ID_PREFIX_MIN and recorded.entry == int(wanted)
        if by_index or (len(wanted) >= _ID_PREFIX_MIN and recorded.decision.id.startswith(wanted)):
            found = recorded
    return found
