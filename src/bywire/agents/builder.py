"""The built-in builder: one clean worktree in, one immutable artifact out, with its bill of materials and provenance.

It builds on the machine it runs on, so the provenance names the local builder and can claim SLSA L1 at most.
"""

from collections.abc import Callable, Mapping

import msgspec

from bywire.agents.coder import shipped_files
from bywire.agents.commands import Log, Ran, run
from bywire.agents.ports import Sandbox, Worktree, Worktrees
from bywire.evidence import provenance, sbom
from bywire.evidence.artifact import ListedFile, listing_of, pack
from bywire.evidence.lock_files import Dependency, dependencies, is_lock_file
from bywire.model.errors import WorkError
from bywire.model.intent import ServiceIntent
from bywire.model.json_value import JsonObject
from bywire.seal.digest import sha256_hex


class Built(msgspec.Struct, frozen=True):
    """The artifact's bytes, its sha256 hex, what it lists, and the two predicates the builder key signs."""

    artifact: bytes
    digest: str
    listing: tuple[ListedFile, ...]
    sbom: JsonObject
    provenance: JsonObject
    logs: tuple[Log, ...]


class BuildRequest(msgspec.Struct, frozen=True):
    """What to build and under which names it is recorded.

    `commit` is a git object id, `invocation_id` unique per run, `now_ms` the start. `known` maps purl to
    {"licence", "supplier"}.
    """

    commit: str
    invocation_id: str
    now_ms: int
    tool_version: str
    known: Mapping[str, Mapping[str, str]] = {}


def build(request: BuildRequest, intent: ServiceIntent, *, worktrees: Worktrees, sandbox: Sandbox) -> Built:
    """Build `request.commit` under `intent` (of the protected base revision).

    Raises WorkError `build_failed`; EvidenceError `artifact_refused`, `lock_file_invalid`.
    """
    with worktrees(request.commit) as worktree:
        locks = _lock_files(worktree)
        licence = sbom.declared_licence(worktree.read_file)
        ran = _built(intent, worktree, sandbox)
        files = shipped_files(worktree, intent.artifact_include)
    artifact = pack(intent.service, files)
    digest = sha256_hex(artifact)
    listing = listing_of(files)
    declared = dependencies(locks)
    source = sbom.SbomSource(
        service=intent.service,
        artifact=digest,
        commit=request.commit,
        at_ms=request.now_ms,
        suppliers=intent.owners,
        licence=licence,
        tool_version=request.tool_version,
        known=request.known,
    )
    return Built(
        artifact=artifact,
        digest=digest,
        listing=listing,
        sbom=sbom.document(source, listing, declared, locked=bool(locks)),
        provenance=_provenance(request, intent, ran, declared),
        logs=(ran.log,) if ran else (),
    )


def _built(intent: ServiceIntent, worktree: Worktree, sandbox: Sandbox) -> Ran | None:
    if intent.build is None:
        return None
    ran = run("build", intent.build, worktree, sandbox)
    if not ran.succeeded:
        how = "ran out of time" if ran.outcome.timed_out else f"ended with code {ran.outcome.exit_code}"
        raise WorkError(
            f"the build {how}", code="build_failed", next_step=f"run `{' '.join(intent.build.run)}` and correct it"
        )
    return ran


def _lock_files(worktree: Worktree) -> dict[str, bytes]:
    read: Callable[[str], bytes | None] = worktree.read_file
    contents = ((item.path, read(item.path)) for item in worktree.files() if is_lock_file(item.path))
    return {path: data for path, data in contents if data is not None}


def _provenance(
    request: BuildRequest, intent: ServiceIntent, ran: Ran | None, declared: tuple[Dependency, ...]
) -> JsonObject:
    seconds = ran.outcome.seconds if ran else 0.0
    materials = [provenance.Resource(uri=f"git+service:{intent.service}", digest={"gitCommit": request.commit})]
    materials += [
        provenance.Resource(uri=item.purl, digest={item.hashes[0][0].replace("-", "").lower(): item.hashes[0][1]})
        for item in declared
        if len(item.hashes) == 1
    ]
    return provenance.predicate(
        provenance.ARTIFACT_BUILD,
        {
            "service": intent.service,
            "commit": request.commit,
            "build": list(intent.build.run) if intent.build else [],
            "include": list(intent.artifact_include),
        },
        {"isolation": ran.outcome.isolation if ran else "none"},
        materials,
        invocation_id=request.invocation_id,
        started_ms=request.now_ms,
        finished_ms=request.now_ms + round(seconds * 1000),
    )
