package bywire.break_glass_test

import data.bywire.fixtures

broken(changed, glass) := fixtures.door(fixtures.start, object.union(changed, {"break_glass": object.union(fixtures.break_glass, glass)}))

test_fires_allow_break_glass if fixtures.fires(broken({}, {}), "allow", "allow.break_glass")

test_quiet_allow_break_glass if fixtures.quiet(broken({"grant": fixtures.grant}, {}), "allow", "allow.break_glass")

test_what_was_lifted_is_an_obligation if fixtures.obliges(
	broken({"state": {"freeze_window": true}}, {}), "break_glass",
	{"id": "bg-1", "person": "person:oncall", "lifted": ["approval.required", "state.freeze_window"]},
)

test_fires_break_glass_signature_invalid if fixtures.fires(broken({}, {"signature_verified": false}), "deny", "break_glass.signature_invalid")

test_quiet_break_glass_signature_invalid if fixtures.quiet(broken({}, {}), "allow", "break_glass.signature_invalid")

test_fires_break_glass_expired if fixtures.fires(broken({}, {"expires_at_ms": 1790000000000}), "approval_needed", "break_glass.expired")

test_quiet_break_glass_expired if fixtures.quiet(broken({}, {"expires_at_ms": 1790000000001}), "allow", "break_glass.expired")

test_fires_break_glass_used_up if fixtures.fires(broken({}, {"uses_left": 0}), "approval_needed", "break_glass.used_up")

test_quiet_break_glass_used_up if fixtures.quiet(broken({}, {}), "allow", "break_glass.used_up")

test_fires_break_glass_tool_not_covered if fixtures.fires(broken({"state": {"freeze_window": true}}, {"tools": ["deploy_release"]}), "deny", "break_glass.tool_not_covered")

test_quiet_break_glass_tool_not_covered if fixtures.quiet(broken({"state": {"freeze_window": true}}, {}), "allow", "break_glass.tool_not_covered")

test_fires_break_glass_principal_not_covered if fixtures.fires(broken({}, {"principals": ["agent:coder"]}), "approval_needed", "break_glass.principal_not_covered")

test_quiet_break_glass_principal_not_covered if fixtures.quiet(broken({}, {}), "allow", "break_glass.principal_not_covered")

test_fires_break_glass_postmortem_open if fixtures.fires(broken({}, {"open_postmortem": true}), "approval_needed", "break_glass.postmortem_open")

test_quiet_break_glass_postmortem_open if fixtures.quiet(broken({}, {}), "allow", "break_glass.postmortem_open")

test_fires_break_glass_person_unfit if fixtures.fires(broken({}, {"roles": ["service-owner"]}), "approval_needed", "break_glass.person_unfit")

test_quiet_break_glass_person_unfit if fixtures.quiet(broken({}, {"roles": ["security"]}), "allow", "break_glass.person_unfit")

test_fires_break_glass_own_interest if fixtures.fires(broken({}, {"person": "person:dana"}), "approval_needed", "break_glass.own_interest")

test_quiet_break_glass_own_interest if fixtures.quiet(broken({}, {"person": "person:olga"}), "allow", "break_glass.own_interest")

test_who_wrote_the_patch_breaks_no_glass_for_it if fixtures.fires(
	broken({"change": {"patch_authors": ["person:oncall"]}}, {}),
	"approval_needed", "break_glass.own_interest",
)

test_an_agent_breaks_no_glass if fixtures.fires(broken({}, {"person": "agent:release-controller"}), "approval_needed", "break_glass.person_unfit")

test_one_hard_rule_is_enough_to_hold if fixtures.quiet(broken({"state": {"freeze_window": true, "freeze_all": true}}, {}), "deny", "allow.break_glass")

test_a_broken_glass_cuts_to_limits_first if fixtures.quiet(
	fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": [], "lease_seconds": 99}), {
		"break_glass": object.union(fixtures.break_glass, {"tools": ["set_canary_weight"]}),
	}),
	"sanitize", "allow.break_glass",
)
