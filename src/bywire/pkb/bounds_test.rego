package bywire.bounds_test

import data.bywire.fixtures

fetching(parameters) := fixtures.door(fixtures.asking("get_job_logs", "read", parameters), {})

weighing(lease, changed) := fixtures.door(
	fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": [], "lease_seconds": lease}),
	object.union({"grant": fixtures.grant}, changed),
)

test_fires_bounds_capped if fixtures.fires(fetching({"max_bytes": 262145}), "sanitize", "bounds.capped")

test_quiet_bounds_capped if fixtures.quiet(fetching({"max_bytes": 262144}), "allow", "bounds.capped")

test_the_cut_is_an_obligation if fixtures.obliges(
	fetching({"max_bytes": 67108864}), "replace",
	{"parameter": "max_bytes", "value": 262144, "because": "bounds.capped"},
)

test_nonsense_is_cut_too if fixtures.fires(fetching({"max_bytes": "all"}), "sanitize", "bounds.capped")

test_what_is_left_out_is_left_to_the_contract if fixtures.quiet(fetching({}), "allow", "bounds.capped")

test_windows_are_cut if fixtures.fires(fixtures.door(fixtures.asking("read_telemetry", "read", {"window_seconds": 21601}), {}), "sanitize", "bounds.capped")

test_a_lease_is_cut_to_the_operators if fixtures.obliges(weighing(31, {}), "replace", {"parameter": "lease_seconds", "value": 30, "because": "bounds.capped"})

test_the_operators_lease_passes if fixtures.quiet(weighing(30, {}), "allow", "bounds.capped")

test_an_approval_comes_first_and_binds_the_cut if {
	decision := weighing(31, {"grant": null})
	decision.effect == "approval_needed"
	fixtures.obliges(decision, "replace", {"parameter": "lease_seconds", "value": 30})
}

test_a_denial_cuts_nothing if fixtures.quiet(weighing(31, {"grant": fixtures.grant, "state": {"freeze_window": true}}), "deny", "bounds.capped")

test_fires_bounds_limit_missing if fixtures.fires(weighing(5, {"operator": {"limits": {"canary_lease_seconds": null}}}), "deny", "bounds.limit_missing")

test_quiet_bounds_limit_missing if fixtures.quiet(weighing(5, {}), "allow", "bounds.limit_missing")
