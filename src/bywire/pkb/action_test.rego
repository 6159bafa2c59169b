package bywire.action_test

import data.bywire.fixtures

test_fires_input_version if fixtures.fires(fixtures.door(fixtures.start, {"version": 2}), "deny", "input.version")

test_quiet_input_version if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "input.version")

test_fires_input_incomplete if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "operator": null}), "deny", "input.incomplete")

test_quiet_input_incomplete if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "input.incomplete")

test_fires_input_clock if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "now_ms": null}), "deny", "input.clock")

test_quiet_input_clock if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "input.clock")

test_fires_action_undecided if fixtures.fires(undecided, "deny", "action.undecided")

test_quiet_action_undecided if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "action.undecided")

test_fires_allow_table if fixtures.fires(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "allow.table")

test_quiet_allow_table if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"state": {"budget": {"observed": 100}}}), "deny", "allow.table")

test_fires_action_precondition_unmet if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"unmet_preconditions": ["canary_exists", "weight_not_above"]}}), "deny", "action.precondition_unmet")

test_quiet_action_precondition_unmet if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "action.precondition_unmet")

test_every_unmet_precondition_is_named if {
	decision := fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"unmet_preconditions": ["canary_exists", "weight_not_above"]}})
	{reason.facts.precondition | some reason in decision.reasons} == {"canary_exists", "weight_not_above"}
}

test_a_target_that_does_not_answer_blocks_no_retreat if fixtures.quiet(
	fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), {"retreat": fixtures.retreat, "action": {"unmet_preconditions": ["canary_exists"]}}),
	"allow", "action.precondition_unmet",
)

test_preconditions_that_nobody_looked_at_are_missing if fixtures.fires(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"unmet_preconditions": null}}),
	"deny", "input.incomplete",
)

# A table that names a posture nobody has given a meaning: nothing objects, nothing allows.
odd_table := {"odd_tool": {
	"row": "Odd", "category": "read", "obligations": [],
	"environments": {"production": {"posture": "odd"}},
}}

undecided := decision if {
	odd := object.union(fixtures.asking("odd_tool", "read", {}), {"principal": {"registration": {"tools": ["odd_tool"]}}})
	decision := data.bywire.action.decision with input as odd
		with data.bywire.table.capabilities as odd_table
}
