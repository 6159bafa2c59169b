package bywire.vsa_test

import data.bywire.fixtures

test_fires_vsa_missing if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "facts": {"vsa": null}}), "deny", "vsa.missing")

test_quiet_vsa_missing if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "vsa.missing")

test_fires_vsa_artifact_missing if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"parameters": {"artifact": ""}}}), "deny", "vsa.artifact_missing")

test_quiet_vsa_artifact_missing if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "vsa.artifact_missing")

test_fires_vsa_failed if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "facts": {"vsa": {"passed": false}}}), "deny", "vsa.failed")

test_quiet_vsa_failed if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "vsa.failed")

test_fires_vsa_subject_mismatch if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"parameters": {"artifact": fixtures.other}}}), "deny", "vsa.subject_mismatch")

test_quiet_vsa_subject_mismatch if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "vsa.subject_mismatch")

test_fires_vsa_bundle_changed if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "facts": {"vsa": {"bundle": fixtures.other}}}), "deny", "vsa.bundle_changed")

test_quiet_vsa_bundle_changed if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "vsa.bundle_changed")

test_fires_vsa_signer if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "facts": {"vsa": {"signer": "agent:release-controller"}}}), "deny", "vsa.signer")

test_quiet_vsa_signer if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "vsa.signer")

test_the_summary_must_say_its_subject_matches if fixtures.fires(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "facts": {"vsa": {"subject_matches": false}}}),
	"deny", "vsa.subject_mismatch",
)

test_the_auditor_signs_as_an_agent if fixtures.fires(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "facts": {"vsa": {"signer_role": "approver"}}}),
	"deny", "vsa.signer",
)

test_going_back_needs_no_summary if fixtures.quiet(
	fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"facts": {"vsa": {"passed": false, "bundle": fixtures.other}}}),
	"approval_needed", "vsa.failed",
)
