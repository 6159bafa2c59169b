"""An asset's provenance, made again by its producer and put into the log (RULES 21: reproduced, never patched)."""

import msgspec

from bywire.adapters.documents import GitIntents, ServiceDocuments
from bywire.adapters.worktrees import GitWorktrees
from bywire.agents.coder import assets_at
from bywire.agents.producer import reattest
from bywire.model.principal import KeyRole
from bywire.model.statement import PROVENANCE, Statement
from bywire.seal.dsse import sign_statement
from bywire.wiring.door import ASSETS_CHANGE
from bywire.wiring.workspace import Workspace

PRODUCER = "workload:producer"


class AttestedAsset(msgspec.Struct, frozen=True):
    """What was attested: the asset, its digest, the commit whose materials it was made from, the ledger index."""

    name: str
    digest: str
    commit: str
    entry: int


def attest(workspace: Workspace, name: str, branch: str) -> AttestedAsset:
    """Run the asset's `produced_by` command at the head of `branch` and sign its provenance with the producer's key.

    Raises EvidenceError `asset_unknown`, `asset_differs`; WorkError `producer_failed`.
    """
    change = workspace.changes.change(workspace.operator.base_branch, branch)
    intent, _ = GitIntents(workspace.repository).intent(change)
    now_ms = workspace.clock.now_ms()
    invocation = f"attest:{name}:{change.head_commit}:{now_ms}"
    attested = reattest(
        name,
        assets_at(change.head_commit, intent, workspace.changes, ServiceDocuments()),
        change.head_commit,
        service=intent.service,
        worktrees=GitWorktrees(workspace.repository),
        sandbox=workspace.sandbox,
        now_ms=now_ms,
        invocation_id=invocation,
    )
    key = workspace.keys.load(KeyRole.BUILDER, PRODUCER)
    statement = Statement(subject=(attested.subject,), predicateType=PROVENANCE, predicate=dict(attested.predicate))
    envelope = sign_statement(statement, key)
    sealed = (("provenance", envelope, key.key_id),)
    delivered = workspace.deliveries.deliver(invocation, ASSETS_CHANGE, sealed, {}, now_ms)
    return AttestedAsset(name, attested.subject.sha256, change.head_commit, delivered["entries"][0])
