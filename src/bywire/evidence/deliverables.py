"""The shapes of what roles hand over, one struct each: what is signed is what is read, by contracts and by facts alike.

Unknown fields are refused everywhere. All are `/v1` predicates of bywire's own kinds; readers of v1 stay for ever.
"""

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from bywire.evidence.artifact import ListedFile
from bywire.evidence.assets import AssetDigest
from bywire.evidence.manifests import ManifestFacts
from bywire.model.errors import EvidenceError
from bywire.model.json_value import JsonObject

Tier = Literal["trivial", "low", "medium", "high"]
Isolation = Literal["own_uid", "namespaces", "none"]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Commit = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Deliverable = TypeVar("_Deliverable", bound=msgspec.Struct)


class TierReason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the tier is at least `tier`; `paths` are the changed paths concerned (bounded, may be empty)."""

    tier: Tier
    because: str
    paths: list[str]


class AcceptanceTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A criterion a machine can check: `measure` >= `target`, in words in `says`."""

    id: str
    says: str
    measure: str
    target: float


class EvidenceTargets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the evidence must reach: SLSA level, and ratios 0..1."""

    provenance_level: Annotated[int, msgspec.Meta(ge=1, le=3)]
    sbom_completeness: Ratio
    coverage_changed_lines: Ratio
    evaluation_pass_ratio: Ratio
    jailbreak_refused_ratio: Ratio


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Planner -> Coder."""

    goal: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    service: str
    base_commit: Commit
    commit: Commit
    tier: Tier
    tier_reasons: list[TierReason]
    acceptance: list[AcceptanceTest]
    policies: list[str]
    targets: EvidenceTargets
    segments: list[str]
    dependencies: list[str]
    loosened: list[str]


class CommandOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a declared command ended; `isolation` is how it was kept from keys and network."""

    command: list[str]
    exit_code: int
    timed_out: bool
    seconds: Seconds
    isolation: Isolation


class FileChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One changed path; line counts are 0 for binaries."""

    path: str
    status: Literal["A", "M", "D", "R"]
    added: Count
    removed: Count
    binary: bool


class Migration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schema or data migration; `reversible` only when it says how to go back and destroys no data."""

    path: str
    reversible: bool
    because: str


class ChangeSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Coder -> Tester. `authors` are person ids of the operator's list, or `unlisted:<e-mail>`."""

    service: str
    branch: str
    base_commit: Commit
    commit: Commit
    files: list[FileChange]
    authors: list[str]
    patch_authors: list[str]
    migrations: list[Migration]
    pipeline_changes: list[str]
    asset_changes: list[str]
    intent_changes: list[str]
    build: CommandOutcome | None
    lint: CommandOutcome | None
    artifact_manifest: list[ListedFile]
    manifests: list[ManifestFacts]
    assets: list[AssetDigest]


class TestFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers the gate asks about.

    `removed_tests` counts removed and newly skipped ones; `changed_lines` are the executable lines it added
    (null when coverage was not measured), `coverage_changed_lines` the share of them that ran.
    """

    __test__ = False  # not a test class, whatever a collector thinks of its name

    passed: Count
    failed: Count
    errors: Count
    skipped: Count
    timed_out: bool
    property_tests: Count
    fault_injections: Count
    changed_lines: Count | None
    coverage_changed_lines: Ratio | None
    removed_tests: Count
    isolation: Isolation


class FileCoverage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Executable changed lines of one file and how many of them ran."""

    path: str
    covered: Count
    executable: Count


class TestReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tester -> Auditor. Lists are bounded; `unmeasured` are changed source files that coverage does not know."""

    __test__ = False

    service: str
    commit: Commit
    run: CommandOutcome
    tests: TestFacts
    coverage: list[FileCoverage]
    failures: list[str]
    removed: list[str]
    newly_skipped: list[str]
    unmeasured: list[str]
    notes: list[str]


class CaseScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The assistant's evaluation: cases and how many passed."""

    cases: Count
    passed: Count


class JailbreakScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Jailbreak attempts and how many were refused."""

    cases: Count
    refused: Count


class EvaluationReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tester -> Auditor, where the service has an assistant."""

    service: str
    commit: Commit
    run: CommandOutcome
    evaluation: CaseScore
    jailbreak: JailbreakScore
    failures: list[str]


def read(value: JsonObject, kind: type[_Deliverable]) -> _Deliverable:
    """Read a predicate as `kind`. Raises EvidenceError `deliverable_malformed` naming the field."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise EvidenceError(
            f"the {kind.__name__} is malformed: {error}",
            code="deliverable_malformed",
            next_step="its producer must hand it over again in the v1 form",
        ) from error


def plain(deliverable: msgspec.Struct) -> dict[str, Any]:
    """The predicate as plain JSON."""
    value: dict[str, Any] = msgspec.to_builtins(deliverable)
    return value
