# The operator's limits on exposure (RULES 1): no plan and no grant reaches beyond them.
package bywire.rollout

import data.bywire.facts

parameters := data.bywire.capability.parameters

ceiling := object.get(input, ["operator", "limits", "rollout_ceiling"], null)

first_step := object.get(input, ["operator", "limits", "rollout_first_step"], null)

serving := object.get(input, ["state", "target", "stable"], null)

starts if data.bywire.capability.tool == "start_rollout"

concerned if starts

concerned if data.bywire.capability.weighed

deny contains {"rule": "rollout.weight_invalid", "facts": {"weight": asked}} if some asked in asked_weights - shares

# Percentages; what is none is not compared any further.
shares := {asked |
	some asked in asked_weights
	is_number(asked)
	asked >= 0
	asked <= 100
}

deny contains {"rule": "rollout.ceiling_exceeded", "facts": {"weight": asked, "ceiling": ceiling}} if some asked in asked_weights - allowed

allowed := {asked |
	is_number(ceiling)
	some asked in asked_weights
	is_number(asked)
	asked <= ceiling
}

# Every share of traffic that the action or its plan asks for.
default asked_weights := set()

asked_weights := {data.bywire.capability.weight} if data.bywire.capability.weighed

else := {asked | some asked in array.concat(weights, [object.get(parameters, "ceiling", null)])} if starts

weights := [weight_of(step) | some step in facts.list_at(["action", "parameters", "steps"])]

weight_of(step) := object.get(step, "weight", null) if is_object(step)

else := null

deny contains {"rule": "rollout.steps_missing", "facts": {"service": object.get(parameters, "service", null)}} if {
	starts
	count(weights) == 0
}

deny contains {"rule": "rollout.first_step", "facts": {"weight": weights[0], "limit": first_step}} if {
	starts
	not facts.at_least(first_step, weights[0])
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
	asked := [object.get(input, ["action", "service"], null), data.bywire.capability.environment]
	planned != asked
}
