package bywire.shadow_test

import data.bywire.fixtures

entry(rule) := {"rule": rule, "owner": "person:dana", "expires_at_ms": 1790000000001}

# A rollout in staging that starts too steeply; nothing else is wrong with it.
steep(environment, shadow) := fixtures.door(fixtures.start, {
	"grant": fixtures.grant, "shadow": shadow, "operator": {"limits": {"rollout_first_step": 4}},
	"action": {"environment": environment, "parameters": {"environment": environment}},
})

first_step := entry("rollout.first_step")

test_a_rule_on_trial_is_recorded if {
	decision := steep("staging", [first_step])
	decision.effect == "allow"
	fixtures.obliges(decision, "shadowed", {"rule": "rollout.first_step", "owner": "person:dana"})
}

test_without_it_the_rule_denies if fixtures.fires(steep("staging", []), "deny", "rollout.first_step")

test_fires_shadow_refused if fixtures.fires(steep("production", [first_step]), "deny", "shadow.refused")

test_quiet_shadow_refused if fixtures.quiet(steep("staging", [first_step]), "allow", "shadow.refused")

test_a_trial_ends if fixtures.fires(steep("staging", [object.union(first_step, {"expires_at_ms": 1790000000000})]), "deny", "rollout.first_step")

test_a_trial_has_a_person_for_owner if fixtures.fires(steep("staging", [object.union(first_step, {"owner": "agent:coder"})]), "deny", "rollout.first_step")

test_a_trial_is_of_one_rule if fixtures.fires(steep("staging", [entry("rollout.first"), entry("rollout."), entry("*")]), "deny", "rollout.first_step")

test_a_trial_of_what_did_not_fire_says_nothing if fixtures.quiet(steep("staging", [first_step, entry("grant.revoked")]), "allow", "shadow.refused")

test_the_gate_of_other_environments_may_try_a_rule if {
	decision := fixtures.gate({"action": {"environment": "staging"}, "facts": {"sbom": null}, "shadow": [entry("gate.sbom_missing")]})
	decision.effect == "allow"
	fixtures.obliges(decision, "shadowed", {"rule": "gate.sbom_missing", "owner": "person:dana"})
}

test_the_gate_of_production_may_not if fixtures.fires(
	fixtures.gate({"facts": {"sbom": null}, "shadow": [entry("gate.sbom_missing")]}),
	"deny", "gate.sbom_missing",
)
