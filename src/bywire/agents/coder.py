"""The built-in Coder: states a change that exists in git as a change set, and shows that it builds and lints."""

from collections.abc import Iterable, Sequence

import msgspec

from bywire.agents.commands import Log, Ran, run
from bywire.agents.migrations import migrations_among
from bywire.agents.ports import Documents, Repository, Sandbox, Worktree, Worktrees
from bywire.evidence.artifact import ArtifactFile, check_size, listing_of
from bywire.evidence.assets import digests
from bywire.evidence.deliverables import ChangeSet, FileChange, plain
from bywire.evidence.manifests import ManifestDocument, facts_of
from bywire.evidence.path_classes import INTENT_PATH, PathClasses, classes_of
from bywire.evidence.path_pattern import matches
from bywire.evidence.ports import GovernedAsset
from bywire.model.change import Author, Change, ChangedFile
from bywire.model.errors import EvidenceError
from bywire.model.intent import Command, ServiceIntent
from bywire.model.json_value import JsonObject
from bywire.model.operator import Person

MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")
MANIFEST_FILES_MAX = 500
NEVER_SHIPPED = ("**/__pycache__/**", "**/*.pyc", "**/.coverage*", "reports/**")
_PIPELINE_CLASSES = frozenset(
    {
        "ci_workflows",
        "ci_actions",
        "dockerfiles",
        "build_scripts",
        "base_images",
        "signing_config",
        "security_scan_config",
    }
)


class CodedChange(msgspec.Struct, frozen=True):
    """The change set predicate and what its commands printed."""

    predicate: JsonObject
    logs: tuple[Log, ...]


def change_set(
    change: Change,
    intent: ServiceIntent,
    *,
    people: Sequence[Person],
    path_classes: PathClasses,
    repository: Repository,
    worktrees: Worktrees,
    sandbox: Sandbox,
    documents: Documents,
) -> CodedChange:
    """Build, lint and describe `change` under `intent` (of the protected base revision).

    A failing build is in the predicate, not an error: the hand-over check refuses it. Raises EvidenceError
    (`manifest_invalid`, `asset_missing`, ...), ConfigError from `documents`, WorkError from the sandbox.
    """
    head = change.head_commit
    with worktrees(head) as worktree:
        build = _run("build", intent.build, worktree, sandbox)
        lint = _run("lint", intent.lint, worktree, sandbox)
        files = shipped_files(worktree, intent.artifact_include)
    assets = assets_at(head, intent, repository, documents)
    asset_paths = {*intent.assets, *(asset.path for asset in assets)}
    persons, agents = _authors(change.authors, people)
    predicate = ChangeSet(
        service=intent.service,
        branch=change.branch,
        base_commit=change.base_commit,
        commit=head,
        files=[_file_change(item) for item in sorted(change.files, key=lambda item: item.path)],
        authors=persons,
        patch_authors=agents,
        migrations=migrations_among(change.paths, lambda path: repository.read(head, path)),
        pipeline_changes=[
            path for path in change.paths if not _PIPELINE_CLASSES.isdisjoint(classes_of(path, path_classes))
        ],
        asset_changes=sorted(asset_paths & set(change.paths)),
        intent_changes=[path for path in change.paths if path == INTENT_PATH],
        build=build.outcome if build else None,
        lint=lint.outcome if lint else None,
        artifact_manifest=list(listing_of(files)),
        manifests=list(facts_of(manifest_documents(head, intent, repository, documents))),
        assets=list(digests(assets, lambda path: repository.read(head, path))),
    )
    return CodedChange(predicate=plain(predicate), logs=tuple(ran.log for ran in (build, lint) if ran))


def manifest_documents(
    commit: str, intent: ServiceIntent, repository: Repository, documents: Documents
) -> tuple[ManifestDocument, ...]:
    """Every document in the service's manifest directory at `commit`, parsed."""
    if not intent.manifests:
        return ()
    prefix = intent.manifests.rstrip("/") + "/"
    paths = [entry.path for entry in repository.list(commit, prefix) if entry.path.endswith(MANIFEST_SUFFIXES)]
    if len(paths) > MANIFEST_FILES_MAX:
        raise EvidenceError(
            f"{intent.manifests} holds {len(paths)} manifest files; at most {MANIFEST_FILES_MAX} are read",
            code="manifest_invalid",
            next_step="point `manifests:` at the directory of this service alone",
        )
    return tuple(
        ManifestDocument(path=path, value=value)
        for path in sorted(paths)
        for value in documents.manifests(repository.read(commit, path) or b"", path)
    )


def assets_at(
    commit: str, intent: ServiceIntent, repository: Repository, documents: Documents
) -> tuple[GovernedAsset, ...]:
    """The assets that the service's manifests declare at `commit`. Raises EvidenceError `asset_missing`."""
    found: list[GovernedAsset] = []
    for path in intent.assets:
        data = repository.read(commit, path)
        if data is None:
            raise EvidenceError(
                f"asset manifest {path} is not in the commit",
                code="asset_missing",
                next_step="restore the file, or take it out of `assets:` in bywire.yaml on the base branch",
            )
        found += documents.assets(data, path)
    return tuple(found)


def shipped_files(worktree: Worktree, include: Iterable[str]) -> tuple[ArtifactFile, ...]:
    """The files that the artifact holds. Byte-code caches and reports carry times, so they never ship.

    Raises EvidenceError `artifact_refused` before more is read than an artifact may hold: what a build wrote sparsely
    costs it nothing on disk.
    """
    patterns = tuple(include)
    wanted = [
        item for item in worktree.files() if matches(item.path, patterns) and not matches(item.path, NEVER_SHIPPED)
    ]
    check_size(sum(item.bytes for item in wanted))
    return tuple(
        ArtifactFile(path=item.path, executable=item.executable, content=worktree.read_file(item.path) or b"")
        for item in wanted
    )


def _run(name: str, command: Command | None, worktree: Worktree, sandbox: Sandbox) -> Ran | None:
    return run(name, command, worktree, sandbox) if command is not None else None


def _file_change(item: ChangedFile) -> FileChange:
    value = {
        "path": item.path,
        "status": item.status,
        "added": len(item.added_lines),
        "removed": item.removed_lines,
        "binary": item.binary,
    }
    return msgspec.convert(value, FileChange)


def _authors(authors: Sequence[Author], people: Sequence[Person]) -> tuple[list[str], list[str]]:
    """(person ids, agent ids). Who is on nobody's list keeps the address, so that no approver passes as a stranger."""
    person_of = {email.lower(): person.id for person in people for email in person.emails}
    persons, agents = set(), set()
    for author in authors:
        listed = person_of.get(author.email.lower())
        if listed is None and author.name.startswith("agent:"):
            agents.add(author.name)
        else:
            persons.add(listed or f"unlisted:{author.email.lower()}")
    return sorted(persons), sorted(agents)
