"""The `facts` and `change` of the policy input, derived from verified statements alone (POLICY INPUT, version 1).

Anything that does not verify, or is about another commit or artifact, contributes nothing. Where several statements
of a kind fit, the newest log entry speaks. `facts.statements` lists those that spoke and all that could not be
believed; asset provenance is listed with its asset, because its own age limit applies to it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from bywire.evidence import deliverables, provenance, sbom_completeness, vsa
from bywire.evidence.assets import AssetDigest
from bywire.evidence.path_classes import INTENT_PATH
from bywire.evidence.roles import BUILDER, PRODUCER
from bywire.evidence.subjects import asset_subject, source_digest
from bywire.evidence.verification import Believed, SealedStatement, examine
from bywire.identity.trust import TrustRoot
from bywire.model import statement as kinds
from bywire.model.errors import EvidenceError
from bywire.model.json_value import JsonObject

DAY_MS = 86_400_000
_Read = TypeVar("_Read")


class Derived(msgspec.Struct, frozen=True):
    """The two objects of the policy input, plain JSON; `malformed`: digests of verified but unreadable statements."""

    facts: dict[str, Any]
    change: dict[str, Any]
    malformed: tuple[str, ...]


class _Shelf:
    """Verified statements by kind, newest first; remembers which of them could not be read."""

    def __init__(self, believed: Sequence[Believed]) -> None:
        self.newest_first = sorted(believed, key=lambda item: item.entry, reverse=True)
        self.malformed: set[str] = set()
        self.spoke: set[str] = set()

    def of(self, predicate_type: str, subject: str = "") -> list[Believed]:
        return [
            item
            for item in self.newest_first
            if item.statement.predicateType == predicate_type and (not subject or item.is_about(subject))
        ]

    def read(self, item: Believed, reader: Callable[[JsonObject], _Read]) -> _Read | None:
        try:
            return reader(item.statement.predicate)
        except EvidenceError:
            self.malformed.add(item.digest)
            return None

    def first(self, items: Sequence[Believed], reader: Callable[[JsonObject], _Read]) -> tuple[Believed, _Read] | None:
        """The newest one, read; an unreadable newest one hides older ones rather than reviving them."""
        if not items:
            return None
        value = self.read(items[0], reader)
        if value is None:
            return None
        self.spoke.add(items[0].digest)
        return items[0], value


def derive(
    statements: Sequence[SealedStatement],
    trust: TrustRoot,
    *,
    commit: str,
    artifact: str,
    now_ms: int,
    levels: Mapping[tuple[str, str], int] | None = None,
) -> Derived:
    """Facts about `commit` (git object id) and `artifact` (sha256 hex, empty before the build) at `now_ms`.

    `levels` maps (signer principal, builder id) to the SLSA level the operator grants. Raises EvidenceError
    `too_many_statements` only; everything else that is wrong shows as absent facts and `verified: false` lines.
    """
    believed, lines = examine(statements, trust, now_ms)
    shelf = _Shelf(believed)
    source = source_digest(commit)
    plan = shelf.first(shelf.of(kinds.PLAN, source), lambda value: deliverables.read(value, deliverables.Plan))
    change_set = shelf.first(
        shelf.of(kinds.CHANGE_SET, source), lambda value: deliverables.read(value, deliverables.ChangeSet)
    )
    facts: dict[str, Any] = {
        "subject": artifact,
        "commit": commit,
        "plan": deliverables.plain(plan[1]) if plan else None,
        "change_set": _change_set_facts(change_set[1]) if change_set else None,
        "tests": _tests(shelf, source),
        "evaluation": _evaluation(shelf, source),
        "sbom": _sbom(shelf, artifact),
        "provenance": _provenance(shelf, artifact, commit, levels),
        "manifests": [deliverables.plain(item) for item in change_set[1].manifests] if change_set else [],
        "vsa": _vsa(shelf, artifact),
    }
    spoke = frozenset(shelf.spoke)
    facts["assets"] = _assets(shelf, change_set[1].assets, now_ms) if change_set else []
    for line in lines:
        line["verified"] = line["verified"] and line["digest"] not in shelf.malformed
    facts["statements"] = [line for line in lines if not line["verified"] or line["digest"] in spoke]
    return Derived(
        facts=facts,
        change=_change(plan[1] if plan else None, change_set[1] if change_set else None),
        malformed=tuple(sorted(shelf.malformed)),
    )


def _change(plan: deliverables.Plan | None, change_set: deliverables.ChangeSet | None) -> dict[str, Any]:
    paths = sorted(item.path for item in change_set.files) if change_set else []
    return {
        "paths": paths,
        "authors": sorted(change_set.authors) if change_set else [],
        "patch_authors": sorted(change_set.patch_authors) if change_set else [],
        "migrations": [{"path": item.path, "reversible": item.reversible} for item in change_set.migrations]
        if change_set
        else [],
        "declared_tier": plan.tier if plan else "",
        "touches_intent": INTENT_PATH in paths,
        "loosened": sorted(plan.loosened) if plan else [],
    }


def _change_set_facts(change_set: deliverables.ChangeSet) -> dict[str, Any]:
    """Without the lists that facts carry elsewhere, or that would fill the bounded policy input."""
    value = deliverables.plain(change_set)
    value["artifact_files"] = len(value.pop("artifact_manifest"))
    return {key: item for key, item in value.items() if key not in {"manifests", "assets"}}


def _tests(shelf: _Shelf, source: str) -> dict[str, Any] | None:
    found = shelf.first(
        shelf.of(kinds.TEST_REPORT, source), lambda value: deliverables.read(value, deliverables.TestReport)
    )
    return deliverables.plain(found[1].tests) if found else None


def _evaluation(shelf: _Shelf, source: str) -> dict[str, Any] | None:
    found = shelf.first(
        shelf.of(kinds.EVALUATION_REPORT, source), lambda value: deliverables.read(value, deliverables.EvaluationReport)
    )
    if found is None:
        return None
    report = found[1]
    return {
        "cases": report.evaluation.cases,
        "passed": report.evaluation.passed,
        "jailbreak_cases": report.jailbreak.cases,
        "jailbreak_refused": report.jailbreak.refused,
    }


def _sbom(shelf: _Shelf, artifact: str) -> dict[str, Any] | None:
    if not artifact:
        return None
    # Without one about this artifact, the newest one about another shows that the subject does not match.
    found = shelf.first(
        shelf.of(kinds.SBOM, artifact) or shelf.of(kinds.SBOM),
        lambda value: sbom_completeness.facts_of(value, artifact),
    )
    if found is None:
        return None
    item, judged = found
    return {
        "completeness": judged.completeness,
        "components": judged.components,
        "subject_matches": judged.subject_matches and item.is_about(artifact),
    }


def _provenance(
    shelf: _Shelf, artifact: str, commit: str, levels: Mapping[tuple[str, str], int] | None
) -> dict[str, Any] | None:
    if not artifact:
        return None
    candidates = shelf.of(kinds.PROVENANCE, artifact) or [
        item for item in shelf.of(kinds.PROVENANCE) if item.signer == BUILDER
    ]
    found = shelf.first(candidates, provenance.parse)
    if found is None:
        return None
    item, recorded = found
    return {
        "level": provenance.level_of(item.signer[1], recorded.builder, levels),
        "builder": recorded.builder,
        "signer": item.key_id,
        "signer_listed": item.signer == BUILDER,
        "subject_matches": item.is_about(artifact),
        "source_commit": recorded.source_commit,
        "source_matches": recorded.source_commit == commit,
    }


def _assets(shelf: _Shelf, assets: Sequence[AssetDigest], now_ms: int) -> list[dict[str, Any]]:
    actual = {asset.name: asset.digest for asset in assets}
    return [
        {
            "name": asset.name,
            "kind": asset.kind,
            "path": asset.path,
            "digest": asset.digest,
            "provenance": _asset_provenance(shelf, asset, actual, now_ms),
        }
        for asset in assets
    ]


def _asset_provenance(
    shelf: _Shelf, asset: AssetDigest, actual: Mapping[str, str], now_ms: int
) -> dict[str, Any] | None:
    subject = asset_subject(asset.path, asset.digest)
    everything = shelf.of(kinds.PROVENANCE)
    exact = [item for item in everything if subject in item.statement.subject]
    of_path = [item for item in everything if any(other.name == subject.name for other in item.statement.subject)]
    found = shelf.first(exact or of_path, provenance.parse)
    if found is None:
        return None
    item, recorded = found
    # A material that the branch no longer declares, but that went into the asset, still counts.
    stale = [
        {"name": material, "recorded": recorded.material(material), "actual": actual.get(material, "")}
        for material in sorted({*asset.materials, *recorded.materials})
        if recorded.material(material) != actual.get(material, "")
    ]
    return {
        "statement": item.digest,
        "signer_listed": item.signer == PRODUCER,
        "subject_matches": subject in item.statement.subject,
        "age_days": max(0, now_ms - item.at_ms) // DAY_MS,
        "stale_materials": stale,
    }


def _vsa(shelf: _Shelf, artifact: str) -> dict[str, Any] | None:
    found = shelf.first(shelf.of(kinds.VSA, artifact), vsa.parse) if artifact else None
    if found is None:
        return None
    item, summary = found
    return {
        "statement": item.digest,
        "passed": summary.passed,
        "subject_matches": item.is_about(artifact),
        "bundle": summary.bundle,
        "entry": item.entry,
        "signer_role": str(item.signer[0]),
        "signer": item.signer[1],
    }
