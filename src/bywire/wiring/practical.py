"""The practical checklist for agents in a pipeline, answered from what the other checks found on this workspace."""

from collections.abc import Sequence

from bywire.adapters.surroundings import WayAround
from bywire.model.principal import KeyRole
from bywire.wiring.delivering import deliveries
from bywire.wiring.inventory import EntryPoint, Through
from bywire.wiring.readiness import Answer, Readiness, Told, answered
from bywire.wiring.workspace import Workspace

MULTI_SIGNER = "multi-signer"
_CREDENTIALS = ("token", "credentials", "key", "kubeconfig", "login", "netrc", "service account", "password", "agent")


def practical(
    workspace: Workspace, entries: Sequence[EntryPoint], ways: Sequence[WayAround], ready: Sequence[Readiness]
) -> tuple[Readiness, ...]:
    """The eight items, in the checklist's order. `ready` are the answers of the readiness checklist."""
    by_item = {answer.item: answer for answer in ready}
    rollback = by_item["rollback readiness is checked explicitly"]
    traces = by_item["agent traces record tool calls and policy results"]
    return (
        answered("inventory: entry points mapped, with risk tiers", lambda: _inventory(entries)),
        answered("policy layer: release rules are code", lambda: _policy(workspace)),
        answered("provenance: attestations are required", lambda: _provenance(workspace)),
        answered("approval gates: tiers with signed attestations", lambda: _gates(workspace)),
        Readiness("rollback plans: versioned and automatic", rollback.answer, rollback.why, rollback.fix),
        Readiness("observability: every agent action is kept", traces.answer, traces.why, traces.fix),
        answered("access: no long-lived keys within reach", lambda: _access(workspace, ways)),
        answered("simulate: dry runs before the real thing", lambda: _simulated(workspace)),
    )


def _inventory(entries: Sequence[EntryPoint]) -> Told:
    past = sum(point.through_bywire in {Through.NO, Through.PARTLY} for point in entries)
    why = f"{len(entries)} entry points found in the repository, {past} of them deploy without bywire"
    if past:
        return Answer.PARTLY, why, "route them through `bywire deliver`, or take their credentials away"
    return Answer.YES, f"{why}; those outside the repository are not seen from here", ""


def _policy(workspace: Workspace) -> Told:
    bundle = workspace.bundle()
    return Answer.YES, f"revision {bundle.manifest.revision} decides, sha256 {bundle.digest[:16]}", ""


def _provenance(workspace: Workspace) -> Told:
    level = workspace.operator.limits.provenance_level
    if level < 1:
        return Answer.NO, "provenance_level 0 lets a release through that nobody attested", "set provenance_level: 1"
    return Answer.YES, f"the gate asks for SLSA provenance of level {level}; a build on this host is worth level 1", ""


def _gates(workspace: Workspace) -> Told:
    listed = {person.id for person in workspace.operator.people}
    owner = workspace.operator.agents_owner
    keys = {key.principal for key in workspace.trust.keys if key.role is KeyRole.APPROVER and key.valid_at(None)}
    able = sorted((keys & listed) - {owner})
    if not able:
        return Answer.NO, f"nobody but {owner}, who owns the agents, could approve", "bywire init --approver NAME"
    gate = workspace.operator.gates.get("high")
    count = gate.count if gate is not None and gate.kind == MULTI_SIGNER else 2 if gate is None else 1
    if count < 2:
        why = f"a change of high tier needs one person of {', '.join(able)}"
        return Answer.PARTLY, why, "list a third person who may approve, and set gates: high to multi-signer"
    if len(able) < count:
        why = f"a change of high tier needs {count} persons, and {len(able)} could approve"
        return Answer.NO, why, "bywire init --approver NAME for another person"
    return Answer.YES, f"a change of high tier needs {count} of {', '.join(able)}, each signing with their own key", ""


def _access(workspace: Workspace, ways: Sequence[WayAround]) -> Told:
    reach = [way for way in ways if any(word in way.what for word in _CREDENTIALS)]
    bare = [
        key.principal
        for key in workspace.trust.keys
        if key.role is KeyRole.APPROVER and workspace.keys.holds(KeyRole.APPROVER, key.principal)
    ]
    if reach:
        why = f"within reach of this user: {', '.join(sorted({way.what for way in reach}))}"
        return Answer.NO, why, "see `ways around`: each names its fix"
    if bare:
        why = f"the approver key of {', '.join(bare)} lies here without a passphrase"
        return Answer.PARTLY, why, f"bywire approvals protect --as {bare[0].partition(':')[2]}"
    return Answer.YES, "none was seen from here", ""


def _simulated(workspace: Workspace) -> Told:
    done = [one for one in deliveries(workspace) if one.dry_run]
    if not done:
        return Answer.PARTLY, "no delivery was ever tried dry", "bywire deliver --goal TEXT --dry-run"
    return Answer.YES, f"{len(done)} deliveries were tried dry; the last one ended as {done[-1].phase}", ""
