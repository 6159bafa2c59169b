"""Audit on real parts: the whole log verified, every decision replayed, one delivery exported."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.sqlite_ledger import open_reader
from bywire.audit.replay import Recorded, ReplayReport, recorded_decisions, replay
from bywire.identity.trust import TRUST_BYTES_MAX, TrustRoot, parse_trust_root
from bywire.ledger import log
from bywire.ledger.checkpoint import log_keys, parse_checkpoint
from bywire.ledger.entry import parse_leaf
from bywire.ledger.erasure import eraser_keys
from bywire.ledger.log import BLOB_BYTES_MAX
from bywire.ledger.ports import EntryReader
from bywire.ledger.proof import PROOF_BYTES_MAX, ProofItem, ProofReport, build_proof, verify_proof
from bywire.ledger.tlog_proof import HEADER, TlogProof, render_tlog_proof, verify_tlog_proof
from bywire.ledger.verify import LogReport, verify_all
from bywire.ledger.witness_policy import POLICY_BYTES_MAX, WitnessPolicy, parse_witness_policy
from bywire.model.errors import ConfigError, LedgerError
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine
from bywire.wiring.door import ASSETS_CHANGE
from bywire.wiring.workspace import DATABASE_FILE, Workspace

# Entries that belong to every delivery: the policy it was judged by and the assets it ships.
_ID_PREFIX_MIN = 8
# What every export needs: the policies that decided, and which keys followed which.
SHARED_KINDS = frozenset({"key-change", "policy-bundle"})


def verify_log(workspace: Workspace, progress: Callable[[int, int], None] | None = None) -> LogReport:
    """Recompute every leaf, blob, tile and checkpoint; the report names the first bad entry. Signs nothing."""
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            return verify_all(
                reader,
                workspace.trust.origin,
                log_keys(workspace.trust),
                erasers=eraser_keys(workspace.trust),
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
        found: list[tuple[int, bytes, bytes]] = []
        for index, leaf, content in reader.rows(0):
            entry = parse_leaf(leaf)
            wanted = entry.object in {delivery, ASSETS_CHANGE} or entry.kind in SHARED_KINDS
            if index >= size or not wanted:
                continue
            if content is None:
                raise LedgerError(
                    f"the content of entry {index} is gone; a retention statement may have erased it",
                    code="content_gone",
                    next_step="bywire audit verify",
                )
            found.append((index, leaf, content))
        note = covering_note(workspace, note, max((index for index, _, _ in found), default=-1))
        size = parse_checkpoint(note).size
        items = [
            ProofItem(content=content, index=index, leaf=leaf, path=tuple(log.inclusion_proof(reader, index, size)))
            for index, leaf, content in found
        ]
        return build_proof(items, note)
    finally:
        reader.close()


def prove_entry(workspace: Workspace, index: int) -> tuple[str, bytes | None]:
    """The C2SP tlog-proof of one entry, and the bytes it stands for. ConfigError `not_found`."""
    note = covering_note(workspace, workspace.publish(), index)
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            size = parse_checkpoint(note).size
            leaf = reader.leaf(index) if 0 <= index < size else None
            if leaf is None:
                raise ConfigError(
                    f"the log has {size} entries, and no entry {index}",
                    code="not_found",
                    next_step="bywire audit verify",
                )
            path = tuple(log.inclusion_proof(reader, index, size))
            text = render_tlog_proof(TlogProof(index=index, path=path, checkpoint=note, extra=leaf))
            return text, reader.blob(parse_leaf(leaf).content)
    finally:
        reader.close()


def covering_note(workspace: Workspace, note: str, index: int) -> str:
    """The largest checkpoint with the witnesses' quorum that holds entry `index`; else the newest, `note`."""
    witnessed = workspace.witnesses.quorum_note()
    return witnessed if witnessed and parse_checkpoint(witnessed).size > index >= 0 else note


def verify_file(
    file: Path, trust_file: Path | None, policy_file: Path | None = None, content_file: Path | None = None
) -> ProofReport:
    """Verify an exported file or a C2SP tlog-proof against a trust root and witness policy from outside it (RULES 25).

    `content_file` holds what the entry of a tlog-proof stands for. Needs no workspace.
    """
    trust = read_trust(trust_file) if trust_file else None
    policy = read_witness_policy(policy_file) if policy_file else None
    document = _bounded(file, PROOF_BYTES_MAX)
    if not document.startswith(HEADER.encode()):
        return verify_proof(document, trust, policy)
    content = _bounded(content_file, BLOB_BYTES_MAX) if content_file else None
    return verify_tlog_proof(document.decode("utf-8", "replace"), trust, policy, content)


def read_trust(file: Path) -> TrustRoot:
    """A trust root from a file of the operator's."""
    return parse_trust_root(_bounded(file, TRUST_BYTES_MAX))


def read_witness_policy(file: Path) -> WitnessPolicy:
    """A witness policy (C2SP tlog-policy) from a file of the verifier's."""
    return parse_witness_policy(_bounded(file, POLICY_BYTES_MAX))


def _bounded(file: Path, bytes_max: int) -> bytes:
    if file.stat().st_size > bytes_max:
        raise ConfigError(f"{file} is too large", code="proof_too_large", next_step="ask for the export again")
    return file.read_bytes()


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
    """The newest recorded decision with this id, id prefix (8 characters at least) or ledger index (`#12` or `12`).

    Advice is found too.
    """
    wanted = name.removeprefix("#")
    found = None
    for recorded in recorded_decisions(_rows(reader), advice=True):
        by_index = wanted.isdigit() and len(wanted) < _ID_PREFIX_MIN and recorded.entry == int(wanted)
        if by_index or (len(wanted) >= _ID_PREFIX_MIN and any(one.startswith(wanted) for one in recorded.names)):
            found = recorded
    return found
