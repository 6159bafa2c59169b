package bywire.gate_test

import data.bywire.fixtures

test_fires_gate_passed if fixtures.fires(fixtures.gate({}), "allow", "gate.passed")

test_quiet_gate_passed if fixtures.quiet(fixtures.gate({"facts": {"subject": ""}}), "deny", "gate.passed")

test_fires_gate_undecided if fixtures.fires(gate_undecided, "deny", "gate.undecided")

test_quiet_gate_undecided if fixtures.quiet(fixtures.gate({}), "allow", "gate.undecided")

test_a_trivial_change_needs_little_outside_production if fixtures.quiet(fixtures.gate(trivial), "allow", "gate.tests_missing")

test_nor_are_its_assets_and_manifests_judged if fixtures.quiet(
	fixtures.gate(object.union(trivial, {"facts": {
		"assets": [object.union(fixtures.adapter, {"kind": "weights", "provenance": {"signer_listed": false, "subject_matches": false, "age_days": 99}}), object.union(fixtures.adapter, {"provenance": null})],
		"manifests": [object.union(fixtures.workload, {"images": [], "privileged": true, "run_as_non_root": false}), object.union(fixtures.workload, {"images": ["a:1"]}), object.union(fixtures.workload, {"kind": "Rollout"})],
	}})),
	"allow", "gate.privileged",
)

test_nor_is_its_coverage if fixtures.quiet(
	fixtures.gate(object.union(trivial, {"facts": {"tests": {"property_tests": 0, "fault_injections": 0, "coverage_changed_lines": 0.1}}})),
	"allow", "gate.coverage_below",
)

test_coverage_may_be_unknown_there if fixtures.quiet(
	fixtures.gate(object.union(trivial, {"facts": {"tests": {"coverage_changed_lines": null}}})),
	"allow", "gate.coverage_missing",
)

test_tests_that_ran_must_pass_even_there if fixtures.fires(
	fixtures.gate(object.union(trivial, {"facts": {"tests": {"failed": 1}}})),
	"deny", "gate.tests_failed",
)

gate_undecided := decision if {
	decision := data.bywire.gate.decision with input as fixtures.release with data.bywire.gate.passed as set()
}

# The least that may be asked: a trivial change to an internal service, outside staging and production.
trivial := {
	"action": {"environment": "non-production"}, "change": {"declared_tier": "trivial"},
	"operator": {"criticality": "internal", "tier_floor": "trivial"},
	"facts": {"plan": null, "tests": null, "evaluation": null, "sbom": null, "provenance": null},
}
