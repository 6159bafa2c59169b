"""Provenance: L1 unless the operator grants more; documents read strictly, levels never from the document."""

import pytest

from bywire.evidence import provenance, vsa
from bywire.evidence.timestamps import rfc3339
from bywire.model.errors import EvidenceError

PREDICATE = provenance.predicate(
    provenance.ARTIFACT_BUILD,
    {"service": "web"},
    {},
    [
        provenance.Resource(uri="git+service:web", digest={"gitCommit": "c" * 40}),
        provenance.Resource(name="prompt", digest={"sha256": "d" * 64}),
    ],
    invocation_id="run-1",
    started_ms=1_790_000_000_000,
    finished_ms=1_790_000_001_500,
)


def test_a_predicate_reads_back():
    read = provenance.parse(PREDICATE)
    assert (read.builder, read.source_commit, read.material("prompt"), read.material("x")) == (
        provenance.LOCAL_BUILDER,
        "c" * 40,
        "d" * 64,
        "",
    )
    assert PREDICATE["runDetails"]["metadata"]["finishedOn"] == "2026-09-21T14:13:21.500Z"


def test_two_source_commits_are_none():
    dependencies = [{"digest": {"gitCommit": "c" * 40}}, {"digest": {"gitCommit": "e" * 40}}]
    definition = {**PREDICATE["buildDefinition"], "resolvedDependencies": dependencies}
    assert provenance.parse({**PREDICATE, "buildDefinition": definition}).source_commit == ""


@pytest.mark.parametrize(
    ("signer", "builder", "level"),
    [
        ("workload:builder", provenance.LOCAL_BUILDER, 1),
        ("workload:hosted", "https://ci.example/b", 3),
        ("workload:builder", "https://ci.example/b", 1),
        ("workload:hosted", provenance.LOCAL_BUILDER, 1),
        ("workload:boast", "https://boast.example", 3),
    ],
)
def test_the_level_belongs_to_signer_and_builder_together(signer, builder, level):
    granted = {("workload:hosted", "https://ci.example/b"): 3, ("workload:boast", "https://boast.example"): 9}
    assert provenance.level_of(signer, builder, granted) == level


@pytest.mark.parametrize("value", [{}, {**PREDICATE, "runDetails": {"builder": {"id": ""}}}, {"buildDefinition": []}])
def test_malformed_provenance_is_refused(value):
    with pytest.raises(EvidenceError) as caught:
        provenance.parse(value)
    assert caught.value.code == "provenance_malformed"


def summary(**changes):
    arguments = {
        "resource_uri": "bywire:production/web@sha256:" + "a" * 64,
        "passed": True,
        "level": 1,
        "bundle_digest": "b" * 64,
        "decision_id": "d1",
        "inputs": ["f" * 64, "e" * 64, "f" * 64],
        "verifier_version": "0.1.0",
        "now_ms": 0,
    }
    return vsa.predicate(**{**arguments, **changes})


def test_a_summary_reads_back_and_names_levels_only_when_passed():
    assert vsa.parse(summary()).passed
    assert vsa.parse(summary()).bundle == "b" * 64
    assert summary()["verifiedLevels"] == ["SLSA_BUILD_LEVEL_1"]
    assert summary(passed=False)["verifiedLevels"] == []
    assert [item["digest"]["sha256"][0] for item in summary()["inputAttestations"]] == ["e", "f"]


def test_a_summary_with_another_result_is_refused():
    with pytest.raises(EvidenceError):
        vsa.parse({**summary(), "verificationResult": "passed"})


def test_times_are_rfc3339():
    assert rfc3339(999) == "1970-01-01T00:00:00.999Z"
