"""What a person must do about reasons that no patch may answer, one sentence for each rule of the gate."""

_TODO = {
    "gate.tests_failed": "correct the code or the test that fails, and deliver again",
    "gate.tests_timed_out": "find the test that hangs; the time limit is the base branch's",
    "gate.tests_missing": "declare a test command with a JUnit report on the base branch",
    "gate.tests_none_passed": "add a test that passes",
    "gate.removed_tests": "restore the tests that were removed or skipped",
    "gate.coverage_below": "add tests that reach the changed lines",
    "gate.coverage_missing": "declare a coverage report for the test command on the base branch",
    "gate.property_tests_missing": "add a test with `property` in its name that checks a property over many inputs",
    "gate.fault_injection_missing": "add a test with `fault` in its name that makes a dependency slow or failing",
    "gate.evaluation_missing": "declare an evaluate command on the base branch",
    "gate.evaluation_below": "improve the assistant until its evaluation passes",
    "gate.jailbreak_missing": "add jailbreak cases to the evaluation",
    "gate.jailbreak_below": "make the assistant refuse every jailbreak case",
    "gate.sbom_missing": "deliver again; the builder writes the SBOM",
    "gate.sbom_incomplete": "declare the project's licence and lock dependencies with hashes",
    "gate.sbom_subject": "deliver again; the SBOM must be about this artifact",
    "gate.provenance_missing": "deliver again; the builder attests what it builds",
    "gate.provenance_level": "build on a builder that the operator maps to the level asked for",
    "gate.provenance_signer": "build with a builder whose key the operator lists",
    "gate.provenance_subject": "deliver again; the provenance must be about this artifact",
    "gate.provenance_source": "deliver again; the artifact was built from another commit",
    "gate.image_not_pinned": "pin the image by digest: `image: name@sha256:...`",
    "gate.run_as_root": "set `securityContext.runAsNonRoot: true` and a user the image can run as",
    "gate.privileged": "remove `privileged: true`",
    "gate.manifest_unknown": "ask the operator to admit this kind, or ship it another way",
    "gate.asset_provenance_signer": "attest the asset with a producer key that the operator lists",
    "gate.asset_provenance_subject": "commit what the producer's command makes, then attest it",
    "gate.intent_loosened": "take the loosened fields out of bywire.yaml; the operator decides about limits",
    "gate.irreversible_migration": "split the migration so that each step can be undone, or ask the database owner",
    "gate.statement_unverified": "have the role whose statement this is sign it with its own key",
    "gate.evidence_stale": "deliver again; evidence must be fresh",
    "gate.auditor_is_author": "another Auditor must judge; nobody judges their own change",
}


def todo_for(rule: str) -> str:
    """What a person must do about `rule`."""
    return _TODO.get(rule, "a person must read the reason and correct its cause; no automatic answer exists")
