package bywire.approval_gate_test

import data.bywire.fixtures

# The operator's own gate for the tier of the fixtures is laid aside, so that the table's stands.
plain := object.union(object.remove(fixtures.start, ["operator"]), {"operator": object.remove(fixtures.operator, ["gates"])})

asked(gate, approvals, changed) := fixtures.door(fixtures.start, object.union(
	{"operator": {"gates": {"high": gate}}, "grant": object.union(fixtures.grant, {"approvals": approvals})},
	changed,
))

two := {"kind": "multi-signer", "count": 2, "roles": []}

windowed := {"kind": "scheduled", "count": 1, "roles": []}

test_fires_approval_gate_invalid if fixtures.fires(asked({"kind": "nobody"}, [fixtures.oncall], {}), "deny", "approval.gate_invalid")

test_quiet_approval_gate_invalid if fixtures.quiet(asked(two, [fixtures.oncall, fixtures.maria], {}), "allow", "approval.gate_invalid")

test_no_gate_is_opened_by_nobody if fixtures.fires(asked({"kind": "multi-signer", "count": 0}, [fixtures.oncall], {}), "deny", "approval.gate_invalid")

test_what_is_no_gate_opens_nothing if {
	fixtures.fires(asked("single", [fixtures.oncall], {}), "deny", "approval.gate_invalid")
	fixtures.fires(asked({"kind": "single", "roles": "service-owner"}, [fixtures.oncall], {}), "deny", "approval.gate_invalid")
	fixtures.fires(asked({"kind": "single", "roles": [7]}, [fixtures.oncall], {}), "deny", "approval.gate_invalid")
	fixtures.fires(asked({"kind": "multi-signer", "count": "1"}, [fixtures.oncall], {}), "deny", "approval.gate_invalid")
	fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "operator": {"gates": "single"}}), "deny", "approval.gate_invalid")
}

test_only_what_does_not_count_is_blamed if {
	fixtures.quiet(asked(two, [fixtures.oncall], {}), "approval_needed", "grant.role_not_allowed")
	fixtures.quiet(asked(two, [fixtures.oncall], {}), "approval_needed", "grant.channel_capped")
}

test_fires_approval_quorum_incomplete if fixtures.fires(asked(two, [fixtures.oncall], {}), "approval_needed", "approval.quorum_incomplete")

test_quiet_approval_quorum_incomplete if fixtures.quiet(asked(two, [fixtures.oncall, fixtures.maria], {}), "allow", "approval.quorum_incomplete")

test_one_person_is_one_however_often_they_sign if fixtures.fires(
	asked(two, [fixtures.oncall, object.union(fixtures.oncall, {"role": "service-owner"})], {}),
	"approval_needed", "approval.quorum_incomplete",
)

test_the_table_asks_two_people_in_production if fixtures.fires(
	fixtures.door(plain, {"grant": fixtures.grant}),
	"approval_needed", "approval.quorum_incomplete",
)

test_and_two_are_enough if fixtures.quiet(
	fixtures.door(plain, {"grant": object.union(fixtures.grant, {"approvals": [fixtures.oncall, fixtures.maria]})}),
	"allow", "approval.quorum_incomplete",
)

test_an_old_grant_is_the_word_of_its_one_approver if fixtures.quiet(
	fixtures.door(fixtures.start, {"grant": object.remove(fixtures.grant, ["approvals"])}),
	"allow", "approval.quorum_incomplete",
)

test_which_is_not_two if fixtures.fires(
	fixtures.door(plain, {"grant": object.remove(fixtures.grant, ["approvals"])}),
	"approval_needed", "approval.quorum_incomplete",
)

test_automatic_leaves_the_tables_approval if fixtures.quiet(
	fixtures.door(fixtures.start, {"operator": {"gates": {"high": {"kind": "automatic"}}}}),
	"approval_needed", "approval.quorum_incomplete",
)

test_a_gate_narrows_the_roles if fixtures.fires(
	asked(object.union(two, {"roles": ["service-owner"]}), [fixtures.oncall, fixtures.maria], {}),
	"approval_needed", "grant.role_not_allowed",
)

test_but_never_widens_them if fixtures.fires(
	asked({"kind": "single", "roles": ["database-owner"]}, [object.union(fixtures.oncall, {"role": "database-owner"})], {}),
	"approval_needed", "grant.role_not_allowed",
)

test_one_unfit_voice_among_enough_does_no_harm if fixtures.quiet(
	asked(two, [fixtures.oncall, fixtures.maria, {"approver": "person:x", "role": "", "asserted_by": "key", "signature_verified": true}], {}),
	"allow", "grant.role_not_allowed",
)

test_fires_approval_outside_window if fixtures.fires(asked(windowed, [fixtures.oncall], {"state": {"change_window": false}}), "approval_needed", "approval.outside_window")

test_quiet_approval_outside_window if fixtures.quiet(asked(windowed, [fixtures.oncall], {"state": {"change_window": true}}), "allow", "approval.outside_window")

test_no_windows_are_no_open_window if fixtures.fires(asked(windowed, [fixtures.oncall], {"state": {"change_window": null}}), "approval_needed", "approval.outside_window")

test_other_gates_need_no_window if fixtures.quiet(asked(two, [fixtures.oncall, fixtures.maria], {"state": {"change_window": false}}), "allow", "approval.outside_window")

scheduled := {"operator": {"gates": {"high": windowed}}, "grant": fixtures.grant, "retreat": fixtures.retreat, "state": {"change_window": false}}

test_a_retreat_waits_for_no_window if fixtures.quiet(
	fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), scheduled),
	"allow", "approval.outside_window",
)

test_exposure_that_stands_is_kept_after_the_window if fixtures.quiet(
	fixtures.door(fixtures.asking("renew_canary_lease", "production_orchestration", {"artifact": fixtures.artifact}), scheduled),
	"allow", "approval.outside_window",
)

test_fires_approval_irreversible if fixtures.fires(
	fixtures.door(fixtures.asking("cancel_workflow", "harmless_reversible", {}), {"action": {"environment": "staging", "undo": "irreversible"}, "state": {"limits": fixtures.counted}}),
	"approval_needed", "approval.irreversible",
)

test_quiet_approval_irreversible if fixtures.quiet(
	fixtures.door(fixtures.asking("cancel_workflow", "harmless_reversible", {}), {"action": {"environment": "staging", "undo": "compensatable"}, "state": {"limits": fixtures.counted}}),
	"allow", "approval.irreversible",
)

test_fires_approval_rate_unlimited if fixtures.fires(
	fixtures.door(fixtures.asking("rerun_job", "harmless_reversible", {}), {"state": {"limits": [{"name": "tool:other_rerun_job", "observed": 0, "limit": 9}]}}),
	"approval_needed", "approval.rate_unlimited",
)

test_quiet_approval_rate_unlimited if fixtures.quiet(
	fixtures.door(fixtures.asking("rerun_job", "harmless_reversible", {}), {"state": {"limits": [{"name": "principal:agent:a|tool:rerun_job", "observed": 0, "limit": 9}]}}),
	"allow", "approval.rate_unlimited",
)
