package bywire.retreat_test

import data.bywire.fixtures

test_fires_allow_retreat if fixtures.fires(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat}), "allow", "allow.retreat")

test_quiet_allow_retreat if fixtures.quiet(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.other}), {"retreat": fixtures.retreat}), "approval_needed", "allow.retreat")

test_fires_rollback_target_missing if fixtures.fires(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": ""}), {"retreat": {"last_good": "", "authorised": true}}), "deny", "rollback.target_missing")

test_quiet_rollback_target_missing if fixtures.quiet(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat}), "allow", "rollback.target_missing")

test_fires_rollback_irreversible_migration if fixtures.fires(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"change": {"migrations": [{"path": "migrations/8.sql", "reversible": false}]}}), "deny", "rollback.irreversible_migration")

test_quiet_rollback_irreversible_migration if fixtures.quiet(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {}), "approval_needed", "rollback.irreversible_migration")

test_fires_allow_settle if fixtures.fires(fixtures.door(fixtures.asking("settle_release", "environment_write", {"artifact": fixtures.artifact}), {"retreat": fixtures.retreat}), "allow", "allow.settle")

test_quiet_allow_settle if fixtures.quiet(fixtures.door(fixtures.asking("settle_release", "environment_write", {"artifact": fixtures.artifact}), {"retreat": fixtures.retreat, "state": {"target": {"canary": fixtures.artifact, "weight": 5}}}), "approval_needed", "allow.settle")

test_a_retreat_passes_everything_but_a_general_freeze if fixtures.quiet(
	fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {
		"retreat": fixtures.retreat, "facts": {"vsa": null},
		"state": {"stop": true, "freeze_window": true, "session": {"integrity": "tainted"}, "budget": {"observed": 100}},
	}),
	"allow", "state.stopped",
)

test_a_retreat_that_is_not_authorised_asks if fixtures.quiet(
	fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": {"last_good": fixtures.stable, "authorised": false}}),
	"approval_needed", "allow.retreat",
)

test_only_what_reduces_exposure_is_a_retreat if fixtures.quiet(
	fixtures.door(fixtures.asking("deploy_release", "production_orchestration", {"artifact": fixtures.artifact, "to": fixtures.stable}), {"retreat": fixtures.retreat}),
	"approval_needed", "allow.retreat",
)

test_the_recorded_retreat_knew_of_the_migration if fixtures.quiet(
	fixtures.door(
		fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}),
		{"retreat": fixtures.retreat, "change": {"migrations": [{"path": "migrations/8.sql", "reversible": false}]}},
	),
	"allow", "rollback.irreversible_migration",
)

test_going_forward_is_no_rollback if fixtures.quiet(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "change": {"migrations": [{"path": "migrations/8.sql", "reversible": false}]}}),
	"allow", "rollback.irreversible_migration",
)

test_settling_needs_a_recorded_rollout if fixtures.quiet(
	fixtures.door(fixtures.asking("settle_release", "environment_write", {"artifact": fixtures.artifact}), {}),
	"approval_needed", "allow.settle",
)

rolling_back(evidence) := fixtures.door(
	fixtures.asking("rollback_deployment", "exposure_reducing", {"to": fixtures.stable}),
	object.union(fixtures.incident, {"retreat": evidence}),
)

test_fires_rollback_artifact_missing if fixtures.fires(rolling_back({"artifact_available": false}), "deny", "rollback.artifact_missing")

test_quiet_rollback_artifact_missing if fixtures.quiet(rolling_back({}), "approval_needed", "rollback.artifact_missing")

test_fires_rollback_compatibility_unchecked if fixtures.fires(rolling_back({"compatibility_checked": false}), "deny", "rollback.compatibility_unchecked")

test_quiet_rollback_compatibility_unchecked if fixtures.quiet(rolling_back({}), "approval_needed", "rollback.compatibility_unchecked")

test_fires_rollback_evidence_missing if fixtures.fires(rolling_back({"blast_radius": ""}), "deny", "rollback.evidence_missing")

test_quiet_rollback_evidence_missing if fixtures.quiet(rolling_back({}), "approval_needed", "rollback.evidence_missing")

test_nobody_who_looked_for_migrations_is_missing_too if fixtures.fires(rolling_back({"irreversible_migrations": null}), "deny", "rollback.evidence_missing")

test_a_migration_found_on_the_way_back_stops_it if fixtures.fires(rolling_back({"irreversible_migrations": ["migrations/8.sql"]}), "deny", "rollback.irreversible_migration")

test_a_recorded_retreat_brought_its_evidence if fixtures.quiet(
	fixtures.door(fixtures.asking("rollback_deployment", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat, "state": {"incident_mode": true}}),
	"allow", "rollback.evidence_missing",
)
