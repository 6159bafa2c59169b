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
