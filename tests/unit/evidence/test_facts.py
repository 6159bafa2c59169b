"""Facts: only what a verified statement about this commit and artifact says, the newest one speaking."""

import pytest
import sealed_delivery as d
from sealed_delivery import ADAPTER, ARTIFACT, COMMIT, DAY_MS, NOW_MS, PROMPT, built, delivery, produced, sealed, trust

from bywire.evidence import vsa
from bywire.evidence.facts import derive
from bywire.evidence.provenance import LOCAL_BUILDER
from bywire.evidence.subjects import artifact_subject, asset_subject, source_subject
from bywire.evidence.verification import STATEMENTS_MAX, SealedStatement
from bywire.model import statement as kinds
from bywire.model.errors import EvidenceError

SOURCE = source_subject(COMMIT)
BUILT = artifact_subject("web", ARTIFACT)
ADAPTER_SUBJECT = asset_subject("assets/a.json", ADAPTER)


def facts_of(statements, root=None, **overrides):
    arguments = {"commit": COMMIT, "artifact": ARTIFACT, "now_ms": NOW_MS, **overrides}
    return derive(statements, root or trust(), **arguments)


def test_a_whole_delivery_gives_every_fact():
    derived = facts_of(delivery())
    facts = derived.facts
    assert facts["tests"] == d.TESTS
    assert facts["evaluation"] == {"cases": 40, "passed": 39, "jailbreak_cases": 12, "jailbreak_refused": 12}
    assert facts["sbom"] == {"completeness": 1.0, "components": 1, "subject_matches": True}
    assert facts["provenance"] == {
        "level": 1,
        "builder": LOCAL_BUILDER,
        "signer": d.KEYS["workload:builder"].key_id,
        "signer_listed": True,
        "subject_matches": True,
        "source_commit": COMMIT,
        "source_matches": True,
    }
    assert facts["manifests"] == [d.MANIFEST]
    assert facts["plan"] == d.PLAN
    assert facts["change_set"]["artifact_files"] == 1
    assert facts["vsa"] is None
    assert derived.change == {
        "paths": ["web/app.py"],
        "authors": ["person:dana"],
        "patch_authors": [],
        "migrations": [{"path": "migrations/1.sql", "reversible": False}],
        "declared_tier": "medium",
        "touches_intent": False,
        "loosened": ["rollout.steps"],
    }


def test_listed_statements_are_those_that_spoke_without_asset_provenance():
    lines = facts_of(delivery()).facts["statements"]
    assert [line["entry"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["verified"] for line in lines)
    assert lines[2]["signer"] == {"keyid": d.KEYS["agent:tester"].key_id, "role": "agent", "name": "agent:tester"}


TAMPERED = delivery()[2].envelope.replace(b'"payload":"', b'"payload":"A', 1)


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (sealed(kinds.TEST_REPORT, SOURCE, d.TEST_REPORT, "agent:coder", 3).envelope, "another role"),
        (sealed(kinds.TEST_REPORT, SOURCE, d.TEST_REPORT, "workload:builder", 3).envelope, "a builder"),
        (sealed(kinds.TEST_REPORT, SOURCE, d.TEST_REPORT, "person:oncall", 3).envelope, "a person"),
        (sealed(kinds.TEST_REPORT, SOURCE, d.TEST_REPORT, "", 3, key=d.STRANGER).envelope, "a stranger"),
        (TAMPERED, "tampered"),
        (b"garbage", "not an envelope"),
    ],
)
def test_what_does_not_verify_is_named_and_says_nothing(envelope, reason):
    facts = facts_of(delivery(tests=SealedStatement(envelope, 3, NOW_MS))).facts
    assert facts["tests"] is None, reason
    (line,) = [line for line in facts["statements"] if not line["verified"]]
    assert (line["entry"], line["signer"]["name"], line["subjects"]) == (3, "", [])


def test_a_key_counts_only_where_it_was_valid_in_the_log():
    assert facts_of(delivery(), trust(tester=3)).facts["tests"] is None
    assert facts_of(delivery(), trust(tester=4)).facts["tests"] == d.TESTS


def test_a_statement_about_another_commit_says_nothing_about_this_one():
    other = sealed(kinds.TEST_REPORT, source_subject("d" * 40), d.TEST_REPORT, "agent:tester", 3)
    assert facts_of(delivery(tests=other)).facts["tests"] is None


def test_the_newest_report_speaks_even_when_it_is_worse():
    worse = {**d.TEST_REPORT, "tests": {**d.TESTS, "failed": 1}}
    statements = delivery(later=sealed(kinds.TEST_REPORT, SOURCE, worse, "agent:tester", 9))
    facts = facts_of(statements).facts
    assert facts["tests"]["failed"] == 1
    assert [line["entry"] for line in facts["statements"]] == [1, 2, 4, 5, 6, 9]


def test_a_malformed_newest_report_does_not_revive_an_older_one():
    broken = sealed(kinds.TEST_REPORT, SOURCE, {**d.TEST_REPORT, "extra": 1}, "agent:tester", 9)
    derived = facts_of(delivery(later=broken))
    assert derived.facts["tests"] is None
    (line,) = [line for line in derived.facts["statements"] if not line["verified"]]
    assert derived.malformed == (line["digest"],)


def test_supply_chain_facts_show_another_subject_or_commit():
    stale = sealed(kinds.PROVENANCE, BUILT, built("d" * 40), "workload:builder", 6)
    assert not facts_of(delivery(provenance=stale)).facts["provenance"]["source_matches"]
    facts = facts_of(delivery(), artifact="9" * 64).facts
    assert not facts["sbom"]["subject_matches"]
    assert not facts["provenance"]["subject_matches"]


def test_a_producer_cannot_vouch_for_an_artifact_nor_a_builder_for_an_asset():
    swapped = delivery(
        provenance=sealed(kinds.PROVENANCE, BUILT, built(), "workload:producer", 6),
        adapter=sealed(kinds.PROVENANCE, ADAPTER_SUBJECT, produced(prompt=PROMPT), "workload:builder", 0),
    )
    facts = facts_of(swapped).facts
    assert not facts["provenance"]["signer_listed"]
    assert not facts["assets"][0]["provenance"]["signer_listed"]


def test_an_operator_may_grant_a_level_to_a_builder():
    levels = {("workload:builder", LOCAL_BUILDER): 2}
    assert facts_of(delivery(), levels=levels).facts["provenance"]["level"] == 2


def asset(statements):
    return facts_of(statements).facts["assets"][0]["provenance"]


def test_fresh_asset_provenance_has_its_age_from_the_log():
    found = asset(delivery())
    assert (found["subject_matches"], found["age_days"], found["stale_materials"]) == (True, 3, [])


@pytest.mark.parametrize(
    ("materials", "stale"),
    [
        ({"prompt": "1" * 64}, [{"name": "prompt", "recorded": "1" * 64, "actual": PROMPT}]),
        ({}, [{"name": "prompt", "recorded": "", "actual": PROMPT}]),
        (
            {"prompt": PROMPT, "dataset": "2" * 64},
            [{"name": "dataset", "recorded": "2" * 64, "actual": ""}],
        ),
    ],
)
def test_an_asset_is_stale_when_a_material_changed_vanished_or_was_never_recorded(materials, stale):
    statement = sealed(kinds.PROVENANCE, ADAPTER_SUBJECT, produced(**materials), "workload:producer", 0)
    assert asset(delivery(adapter=statement))["stale_materials"] == stale


def test_provenance_of_other_bytes_does_not_match():
    other = asset_subject("assets/a.json", "3" * 64)
    statement = sealed(kinds.PROVENANCE, other, produced(prompt=PROMPT), "workload:producer", 0, age_ms=DAY_MS)
    assert asset(delivery(adapter=statement))["subject_matches"] is False
    assert asset(delivery(adapter=None)) is None


def test_a_summary_counts_only_from_the_auditor_about_this_artifact():
    predicate = vsa.predicate(
        resource_uri="u",
        passed=True,
        level=1,
        bundle_digest="b" * 64,
        decision_id="d",
        inputs=[],
        verifier_version="0",
        now_ms=NOW_MS,
    )
    by_auditor = sealed(kinds.VSA, BUILT, predicate, "agent:auditor", 7)
    found = facts_of(delivery(vsa=by_auditor)).facts["vsa"]
    assert (found["passed"], found["bundle"], found["signer"], found["entry"]) == (True, "b" * 64, "agent:auditor", 7)
    assert facts_of(delivery(vsa=sealed(kinds.VSA, BUILT, predicate, "agent:coder", 7))).facts["vsa"] is None
    assert facts_of(delivery(vsa=by_auditor), artifact="9" * 64).facts["vsa"] is None


def test_without_statements_there_are_no_facts():
    derived = facts_of([])
    assert {name for name, value in derived.facts.items() if value} == {"subject", "commit"}
    assert derived.change["declared_tier"] == ""


def test_too_many_statements_are_refused():
    with pytest.raises(EvidenceError) as caught:
        facts_of(delivery() * STATEMENTS_MAX)
    assert caught.value.code == "too_many_statements"


def test_statements_of_kinds_without_facts_are_not_held_against_the_change():
    verdict = sealed(kinds.VERDICT, BUILT, {"decision": "promote"}, "agent:auditor", 8)
    assert facts_of(delivery(verdict=verdict)) == facts_of(delivery())
