"""SLSA provenance v1 for artifacts and assets, and the level it may claim (slsa.dev/spec/v1.0/provenance).

The level never comes from the document: it is what the operator grants to a verified signer and builder id together,
and L1 where nothing is granted, which is all that a build on the developer's own machine can honestly be.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bywire.evidence.timestamps import rfc3339
from bywire.model.errors import EvidenceError
from bywire.model.json_value import JsonObject

LOCAL_BUILDER = "https://bywire.dev/builder/local/v1"
ARTIFACT_BUILD = "https://bywire.dev/build-types/artifact/v1"
ASSET_BUILD = "https://bywire.dev/build-types/asset/v1"
DEFAULT_LEVEL = 1
LEVEL_MAX = 3
DEPENDENCIES_MAX = 10_000


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """An in-toto ResourceDescriptor: `digest` maps algorithm (`sha256`, `gitCommit`) to hex."""

    digest: dict[str, str]
    name: str = ""
    uri: str = ""


class _Definition(msgspec.Struct, frozen=True):
    buildType: str  # noqa: N815  the spec's own names in this and the next structs
    externalParameters: dict[str, Any]  # noqa: N815
    resolvedDependencies: list[Resource]  # noqa: N815
    internalParameters: dict[str, Any] = {}  # noqa: N815


class _Builder(msgspec.Struct, frozen=True):
    id: str


class _RunDetails(msgspec.Struct, frozen=True):
    builder: _Builder


class Provenance(msgspec.Struct, frozen=True):
    """The parts of a provenance predicate that decisions use."""

    buildDefinition: _Definition  # noqa: N815
    runDetails: _RunDetails  # noqa: N815

    @property
    def builder(self) -> str:
        """runDetails.builder.id."""
        return self.runDetails.builder.id

    @property
    def source_commit(self) -> str:
        """The one git commit among the resolved dependencies, or empty when there is none or more than one."""
        commits = {
            item.digest["gitCommit"] for item in self.buildDefinition.resolvedDependencies if "gitCommit" in item.digest
        }
        return commits.pop() if len(commits) == 1 else ""

    @property
    def materials(self) -> frozenset[str]:
        """Names of the resolved dependencies that have a sha256."""
        return frozenset(
            item.name for item in self.buildDefinition.resolvedDependencies if item.name and "sha256" in item.digest
        )

    def material(self, name: str) -> str:
        """The sha256 recorded for the resolved dependency `name`, or empty."""
        found = {
            item.digest.get("sha256", "") for item in self.buildDefinition.resolvedDependencies if item.name == name
        }
        return found.pop() if len(found) == 1 else ""


def predicate(
    build_type: str,
    external: Mapping[str, Any],
    internal: Mapping[str, Any],
    dependencies: Sequence[Resource],
    *,
    invocation_id: str,
    started_ms: int,
    finished_ms: int,
) -> dict[str, Any]:
    """The provenance predicate of one run of the local builder; times are ms since the epoch."""
    return {
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": dict(external),
            "internalParameters": dict(internal),
            "resolvedDependencies": [msgspec.to_builtins(item) for item in dependencies],
        },
        "runDetails": {
            "builder": {"id": LOCAL_BUILDER},
            "metadata": {
                "invocationId": invocation_id,
                "startedOn": rfc3339(started_ms),
                "finishedOn": rfc3339(finished_ms),
            },
        },
    }


def parse(value: JsonObject) -> Provenance:
    """Read a provenance predicate; unknown fields are allowed by the specification and ignored.

    Raises EvidenceError `provenance_malformed`.
    """
    try:
        found = msgspec.convert(value, Provenance)
    except msgspec.ValidationError as error:
        raise _malformed(str(error)) from error
    if len(found.buildDefinition.resolvedDependencies) > DEPENDENCIES_MAX or not found.builder:
        raise _malformed("no builder id, or too many dependencies")
    return found


def level_of(signer: str, builder: str, levels: Mapping[tuple[str, str], int] | None = None) -> int:
    """The SLSA build level (1..3) of a verified signer and builder id together; L1 unless `levels` grants more."""
    granted = (levels or {}).get((signer, builder), DEFAULT_LEVEL)
    return min(max(granted, DEFAULT_LEVEL), LEVEL_MAX)


def _malformed(why: str) -> EvidenceError:
    return EvidenceError(
        f"the provenance is malformed: {why}",
        code="provenance_malformed",
        next_step="ask the builder to attest again",
    )
