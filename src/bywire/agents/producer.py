"""The asset producer: makes an asset again from its materials and attests it only when the bytes are the same.

Evidence is reproduced by its producer, never patched (RULES 21).
"""

from collections.abc import Sequence

import msgspec

from bywire.agents.commands import Log, run
from bywire.agents.ports import Sandbox, Worktrees
from bywire.evidence import provenance
from bywire.evidence.assets import digests
from bywire.evidence.ports import GovernedAsset
from bywire.evidence.subjects import asset_subject
from bywire.model.errors import EvidenceError, WorkError
from bywire.model.intent import Command
from bywire.model.json_value import JsonObject
from bywire.model.statement import Subject
from bywire.seal.digest import sha256_hex


class Attested(msgspec.Struct, frozen=True):
    """The subject and the SLSA provenance predicate that the producer key signs."""

    subject: Subject
    predicate: JsonObject
    logs: tuple[Log, ...]


def reattest(
    name: str,
    assets: Sequence[GovernedAsset],
    commit: str,
    *,
    service: str,
    worktrees: Worktrees,
    sandbox: Sandbox,
    now_ms: int,
    invocation_id: str,
) -> Attested:
    """Run the command that makes asset `name` at `commit` and attest the committed file.

    Raises EvidenceError `asset_unknown`, `asset_differs` (commit what the command makes, then attest), WorkError
    `producer_failed`.
    """
    asset = next((asset for asset in assets if asset.name == name), None)
    if asset is None or asset.produced_by is None:
        made = ", ".join(sorted(asset.name for asset in assets if asset.produced_by)) or "none"
        raise EvidenceError(
            f"{name} is no asset with a `produced_by` command",
            code="asset_unknown",
            next_step=f"name one of these: {made}",
        )
    command = Command(run=asset.produced_by.run, timeout_seconds=asset.produced_by.timeout_seconds)
    with worktrees(commit) as worktree:
        known = {item.name: item for item in digests(assets, worktree.read_file)}
        ran = run("produce", command, worktree, sandbox)
        output = worktree.read_file(asset.produced_by.output)
    if not ran.succeeded or output is None:
        raise WorkError(
            f"the command that makes {name} did not write {asset.produced_by.output}",
            code="producer_failed",
            next_step=f"run `{' '.join(command.run)}` and correct what it reports",
        )
    digest = known[name].digest
    if asset.produced_by.output != asset.path or sha256_hex(output) != digest:
        raise EvidenceError(
            f"the command that makes {name} writes other bytes than {asset.path} at {commit[:12]}",
            code="asset_differs",
            next_step=f"run `{' '.join(command.run)}`, commit {asset.path}, then attest again",
        )
    materials = [
        provenance.Resource(name=item, digest={"sha256": known[item].digest}) for item in sorted(asset.materials)
    ]
    materials.append(provenance.Resource(uri=f"git+service:{service}", digest={"gitCommit": commit}))
    predicate = provenance.predicate(
        provenance.ASSET_BUILD,
        {"service": service, "asset": name, "kind": asset.kind, "run": list(command.run)},
        {"isolation": ran.outcome.isolation},
        materials,
        invocation_id=invocation_id,
        started_ms=now_ms,
        finished_ms=now_ms + round(ran.outcome.seconds * 1000),
    )
    return Attested(subject=asset_subject(asset.path, digest), predicate=predicate, logs=(ran.log,))
