package bywire.runbook_coverage_test

import data.bywire.fixtures

in_incident(changed) := object.union({"state": {"incident_mode": true}, "grant": fixtures.runbook_grant}, changed)

off := {"flag": "quotes", "state": "off", "incident_id": "i-1"}

toggling(parameters, changed) := fixtures.door(fixtures.asking("toggle_feature_flag", "incident_mitigation", parameters), in_incident(changed))

filling(parameters, changed) := fixtures.door(fixtures.asking("change_production_data", "data_mutation", parameters), in_incident(changed))

test_fires_allow_runbook if fixtures.fires(toggling(off, {}), "allow", "allow.runbook")

test_quiet_allow_runbook if fixtures.quiet(toggling(off, {"grant": null}), "approval_needed", "allow.runbook")

test_fires_runbook_tool_not_listed if fixtures.fires(
	fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), in_incident({})),
	"approval_needed", "runbook.tool_not_listed",
)

test_quiet_runbook_tool_not_listed if fixtures.quiet(toggling(off, {}), "allow", "runbook.tool_not_listed")

test_fires_runbook_parameter_outside if fixtures.fires(filling({"rows": 101, "table": "quotes"}, {}), "approval_needed", "runbook.parameter_outside")

test_quiet_runbook_parameter_outside if fixtures.quiet(filling({"rows": 100, "table": "quotes"}, {}), "allow", "runbook.parameter_outside")

test_every_kind_of_bound_binds if {
	fixtures.fires(filling({"rows": 0, "table": "quotes"}, {}), "approval_needed", "runbook.parameter_outside")
	fixtures.fires(filling({"rows": "many", "table": "quotes"}, {}), "approval_needed", "runbook.parameter_outside")
	fixtures.fires(filling({"rows": 1, "table": "orders"}, {}), "approval_needed", "runbook.parameter_outside")
	fixtures.fires(toggling(object.union(off, {"state": "on"}), {}), "approval_needed", "runbook.parameter_outside")
}

test_a_parameter_left_out_is_outside if fixtures.fires(filling({"rows": 1}, {}), "approval_needed", "runbook.parameter_outside")

test_fires_runbook_parameter_unlisted if fixtures.fires(filling({"rows": 1, "table": "quotes", "force": true}, {}), "approval_needed", "runbook.parameter_unlisted")

test_quiet_runbook_parameter_unlisted if fixtures.quiet(filling({"rows": 1, "table": "quotes"}, {}), "allow", "runbook.parameter_unlisted")

test_fires_runbook_target_mismatch if fixtures.fires(toggling(off, {"action": {"service": "ledger"}}), "approval_needed", "runbook.target_mismatch")

test_quiet_runbook_target_mismatch if fixtures.quiet(toggling(off, {}), "allow", "runbook.target_mismatch")

test_a_runbook_binds_its_environment if fixtures.fires(toggling(off, {"grant": {"runbook": {"environment": "staging"}}}), "approval_needed", "runbook.target_mismatch")

test_fires_runbook_digest_mismatch if fixtures.fires(toggling(off, {"action": {"plan": fixtures.stable}}), "approval_needed", "runbook.digest_mismatch")

test_quiet_runbook_digest_mismatch if fixtures.quiet(toggling(off, {}), "allow", "runbook.digest_mismatch")

# A bound in a form that nobody has given a meaning bounds nothing.
bounded(bound) := {"grant": {"runbook": {"steps": [{"tool": "change_production_data", "parameters": {"rows": bound}}]}}}

test_a_bound_has_one_known_form if {
	fixtures.quiet(filling({"rows": 5}, bounded({"one_of": [4, 5]})), "allow", "runbook.parameter_outside")
	fixtures.fires(filling({"rows": 5}, bounded({"min": 1})), "approval_needed", "runbook.parameter_outside")
	fixtures.fires(filling({"rows": 5}, bounded({"min": 1, "max": 9, "one_of": [5]})), "approval_needed", "runbook.parameter_outside")
	fixtures.fires(filling({"rows": 5}, bounded({"matches": 5})), "approval_needed", "runbook.parameter_outside")
	fixtures.fires(filling({"rows": 5}, bounded(5)), "approval_needed", "runbook.parameter_outside")
	fixtures.fires(filling({"rows": 5}, bounded(null)), "approval_needed", "runbook.parameter_outside")
}

twice := {"grant": {"runbook": {"steps": [
	{"tool": "change_production_data", "parameters": {"rows": {"max": 10, "min": 1}, "table": {"equals": "quotes"}}},
	{"tool": "change_production_data", "parameters": {"rows": {"max": 500, "min": 1}, "table": {"equals": "drafts"}}},
]}}}

test_one_step_allows_the_whole_call if {
	fixtures.quiet(filling({"rows": 400, "table": "drafts"}, twice), "allow", "runbook.parameter_outside")
	fixtures.fires(filling({"rows": 400, "table": "quotes"}, twice), "approval_needed", "runbook.parameter_outside")
}

commander := {"grant": {"approvals": [fixtures.runbook_grant.approvals[0]]}}

test_fires_runbook_role_missing if fixtures.fires(filling({"rows": 1, "table": "quotes"}, commander), "approval_needed", "runbook.role_missing")

test_quiet_runbook_role_missing if fixtures.quiet(toggling(off, commander), "allow", "runbook.role_missing")

# Two people for the runbook, one of them for each kind of step.
two := {"operator": {"gates": {"high": {"kind": "multi-signer", "count": 2}}}}

test_people_for_different_steps_make_one_quorum if {
	fixtures.fires(filling({"rows": 1, "table": "quotes"}, two), "allow", "allow.runbook")
	fixtures.fires(toggling(off, two), "allow", "allow.runbook")
	fixtures.fires(toggling(off, object.union(two, commander)), "approval_needed", "approval.quorum_incomplete")
}

test_a_role_that_starts_runbooks_counts_for_runbooks_alone if fixtures.fires(
	fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"approvals": [object.union(fixtures.oncall, {"role": "database-owner"})]})}),
	"approval_needed", "approval.quorum_incomplete",
)

test_a_voice_that_does_not_count_speaks_for_no_step if fixtures.fires(
	filling({"rows": 1, "table": "quotes"}, {"grant": {"approvals": [fixtures.runbook_grant.approvals[0], object.union(fixtures.runbook_grant.approvals[1], {"asserted_by": "channel"})]}}),
	"approval_needed", "runbook.role_missing",
)

test_a_signature_on_one_action_changes_no_data if fixtures.quiet(
	filling({"rows": 1, "table": "quotes"}, {"grant": {"action_digest": fixtures.other}}),
	"deny", "allow.grant",
)
