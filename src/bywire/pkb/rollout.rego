# The operator's limits on exposure (RULES 1): no plan and no grant reaches beyond them.
package bywire.rollout

import data.bywire.capability
import data.bywire.facts

parameters := capability.parameters

ceiling := object.get(input, ["operator", "limits", "rollout_ceiling"], null)

first_step := object.get(input, ["operator", "limits", "rollout_first_step"], null)

serving := object.get(input, ["state", "target", "stable"], null)

weighs if capability.tool in {"set_canary_weight", "promote_canary", "promote_release"}

# What traffic share the action itself asks for, percent.
weight := 100 if capability.tool == "promote_release"

else := object.get(parameters, "target_percentage", null) if capability.tool == "promote_canary"

else := object.get(parameters, "weight", null)

deny contains {"rule": "rollout.weight_invalid", "facts": {"weight": asked}} if {
	some asked in asked_weights
	not is_percentage(asked)
}

is_percentage(value) if {
	is_number(value)
	value >= 0
	value <= 100
}

deny contains {"rule": "rollout.ceiling_exceeded", "facts": {"weight": asked, "ceiling": ceiling}} if {
	some asked in asked_weights
	not at_most(asked, ceiling)
}

asked_weights contains weight if weighs

asked_weights contains asked if {
	starts
	some asked in weights
}

asked_weights contains object.get(parameters, "ceiling", null) if starts

at_most(value, bound) if {
	is_number(value)
	is_number(bound)
	value <= bound
}

starts if capability.tool == "start_rollout"

weights := [weight_of(step) | some step in facts.list_at(["action", "parameters", "steps"])]

weight_of(step) := object.get(step, "weight", null) if is_object(step)

else := null

deny contains {"rule": "rollout.steps_missing", "facts": {"service": object.get(parameters, "service", null)}} if {
	starts
	not has_steps
}

has_steps if count(weights) > 0

deny contains {"rule": "rollout.first_step", "facts": {"weight": weights[0], "limit": first_step}} if {
	starts
	not at_most(weights[0], first_step)
	not first_release
}

# Nothing serves yet, so there is no traffic to split.
first_release if {
	serving == ""
	object.get(parameters, "last_good", null) == ""
}

deny contains {"rule": "rollout.steps_descend", "facts": {"weights": weights}} if {
	starts
	weights != sort(weights)
}

deny contains {"rule": "rollout.last_good", "facts": {"last_good": last_good, "serving": serving}} if {
	starts
	last_good := object.get(parameters, "last_good", null)
	last_good != serving
}

deny contains {"rule": "rollout.target_mismatch", "facts": {"plan": planned, "asked": asked}} if {
	starts
	planned := [object.get(parameters, "service", null), object.get(parameters, "environment", null)]
	asked := [object.get(input, ["action", "service"], null), capability.environment]
	planned != asked
}
