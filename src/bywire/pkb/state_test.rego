package bywire.state_test

import data.bywire.fixtures

test_fires_state_stopped if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "state": {"stop": true}}), "deny", "state.stopped")

test_quiet_state_stopped if fixtures.quiet(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat, "state": {"stop": true}}), "allow", "state.stopped")

test_fires_state_frozen_all if fixtures.fires(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat, "state": {"freeze_all": true}}), "deny", "state.frozen_all")

test_quiet_state_frozen_all if fixtures.quiet(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat}), "allow", "state.frozen_all")

test_fires_state_freeze_window if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "state": {"freeze_window": true}}), "deny", "state.freeze_window")

test_quiet_state_freeze_window if fixtures.quiet(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat, "state": {"freeze_window": true}}), "allow", "state.freeze_window")

test_fires_state_journal_missing if fixtures.fires(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat, "state": {"journal": false}}), "deny", "state.journal_missing")

test_quiet_state_journal_missing if fixtures.quiet(fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat, "state": {"journal": true}}), "allow", "state.journal_missing")

test_fires_state_budget_exhausted if fixtures.fires(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"state": {"budget": {"observed": 100}}}), "deny", "state.budget_exhausted")

test_quiet_state_budget_exhausted if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"state": {"budget": {"observed": 99}}}), "allow", "state.budget_exhausted")

test_reading_needs_no_journal if fixtures.quiet(
	fixtures.door(fixtures.asking("get_job_logs", "read", {}), {"state": {"journal": false}}),
	"allow", "state.journal_missing",
)

test_a_budget_that_is_not_told_is_left_to_the_intent_transaction if fixtures.quiet(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "state": {"budget": null}}),
	"allow", "state.budget_exhausted",
)

test_fires_state_limit_exhausted if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "state": {"limits": [{"name": "principal:agent:x", "observed": 3, "limit": 600}, {"name": "tool:start_rollout", "observed": 2, "limit": 2}]}}), "deny", "state.limit_exhausted")

test_quiet_state_limit_exhausted if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant, "state": {"limits": [{"name": "tool:start_rollout", "observed": 1, "limit": 2}]}}), "allow", "state.limit_exhausted")

test_a_count_that_is_no_number_is_exhausted if fixtures.fires(fixtures.door(fixtures.asking("get_job_logs", "read", {}), {"state": {"limits": [{"name": "tool:get_job_logs", "observed": null, "limit": 2}]}}), "deny", "state.limit_exhausted")

waits(decision, rule) := [reason.facts.retry_after_ms | some reason in decision.reasons; reason.rule == rule]

reading(state) := fixtures.door(fixtures.asking("get_job_logs", "read", {}), {"now_ms": 1000, "state": state})

test_a_count_says_when_waiting_helps if {
	waits(reading({"limits": [{"name": "x", "observed": 2, "limit": 2, "frees_at_ms": 1250}]}), "state.limit_exhausted") == [250]
	waits(reading({"budget": {"observed": 100, "limit": 100, "frees_at_ms": 3600000}}), "state.budget_exhausted") == [3599000]
}

test_a_count_that_waiting_does_not_help_says_nothing_of_it if {
	waits(reading({"limits": [{"name": "x", "observed": 0, "asked": 3, "limit": 2}]}), "state.limit_exhausted") == [null]
	waits(reading({"limits": [{"name": "x", "observed": 2, "limit": 2, "frees_at_ms": "1250"}]}), "state.limit_exhausted") == [null]
	fixtures.fires(reading({"limits": [{"name": "x", "observed": 2, "limit": 2, "frees_at_ms": "1250"}]}), "deny", "state.limit_exhausted")
}

test_fires_state_limits_unknown if fixtures.fires(fixtures.door(fixtures.asking("get_job_logs", "read", {}), {"state": {"limits": null}}), "deny", "state.limits_unknown")

test_quiet_state_limits_unknown if fixtures.quiet(fixtures.door(fixtures.asking("get_job_logs", "read", {}), {"state": {"limits": []}}), "allow", "state.limits_unknown")

test_no_count_holds_back_a_retreat if fixtures.quiet(
	fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat, "state": {"limits": [{"name": "x", "observed": 2, "limit": 2}, 7]}}),
	"allow", "state.limit_exhausted",
)

test_what_the_action_carries_taints_it if fixtures.fires(
	fixtures.door(fixtures.asking("toggle_feature_flag", "incident_mitigation", {}), {"action": {"environment": "non-production", "integrity": "tainted"}}),
	"approval_needed", "session.tainted",
)

asking_for(asked) := fixtures.door(fixtures.calling("repo_write", {}), {"state": {"limits": [{"name": "cost:replica_hours", "observed": 90000, "asked": asked, "limit": 100000}]}})

test_what_is_asked_counts if fixtures.fires(asking_for(10001), "deny", "state.limit_exhausted")

test_up_to_the_limit if fixtures.quiet(asking_for(10000), "allow", "state.limit_exhausted")

test_asking_for_less_than_nothing_is_refused if {
	fixtures.fires(asking_for(-1), "deny", "state.limit_exhausted")
	fixtures.fires(asking_for("1"), "deny", "state.limit_exhausted")
	fixtures.fires(asking_for(null), "deny", "state.limit_exhausted")
}
