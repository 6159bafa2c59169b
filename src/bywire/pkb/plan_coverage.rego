# One approval for a bounded plan (RULES 20): each action under it must stay inside what the person signed.
package bywire.plan_coverage

import data.bywire.facts

field(name) := object.get(input, ["grant", "plan", name], null)

# The grant is for a plan and the tool is one that runs under plans.
claimed if {
	object.get(input, ["grant", "kind"], null) == "plan"
	data.bywire.capability.row.coverage == "plan"
}

covers if {
	claimed
	is_object(object.get(input, ["grant", "plan"], null))
	count(misfit) == 0
}

same_plan if {
	facts.same_text(facts.at(["grant", "plan_digest"]), facts.at(["action", "plan"]))
}

same_target if {
	is_string(field("service"))
	field("service") == object.get(input, ["action", "service"], null)
	field("environment") == data.bywire.capability.environment
}

same_artifact if {
	facts.same_text(field("artifact"), data.bywire.capability.artifact)
}

misfit contains {"rule": "plan.digest_mismatch", "facts": {"approved": approved, "asked": asked}} if {
	approved := object.get(input, ["grant", "plan_digest"], null)
	asked := object.get(input, ["action", "plan"], null)
	not same_plan
}

misfit contains {"rule": "plan.target_mismatch", "facts": {"approved": approved, "asked": asked}} if {
	approved := [field("service"), field("environment")]
	asked := [object.get(input, ["action", "service"], null), data.bywire.capability.environment]
	not same_target
}

misfit contains {"rule": "plan.artifact_mismatch", "facts": {"approved": field("artifact"), "asked": data.bywire.capability.artifact}} if {
	not same_artifact
}

misfit contains {"rule": "plan.warm_not_approved", "facts": {"tool": data.bywire.capability.tool}} if {
	data.bywire.capability.row.needs_warm
	field("warm") != true
}

misfit contains {"rule": "plan.weight_outside", "facts": {"weight": weight, "steps": weights}} if {
	data.bywire.capability.weighed
	not weight in weights
}

misfit contains {"rule": "plan.ceiling_exceeded", "facts": {"weight": weight, "ceiling": field("ceiling")}} if {
	data.bywire.capability.weighed
	not facts.at_least(field("ceiling"), weight)
}

misfit contains {"rule": "plan.segments_outside", "facts": {"weight": weight, "segments": segments}} if {
	data.bywire.capability.weighed
	weight in weights
	not segments_within
}

weight := data.bywire.capability.weight

steps := facts.list_at(["grant", "plan", "steps"])

weights := [weight_of(step) | some step in steps]

weight_of(step) := step if is_number(step)

else := object.get(step, "weight", null) if is_object(step)

else := null

# A step says its own segments, or the plan lists them beside the steps; a plan without either opens every segment.
segments_of(index, step) := object.get(step, "segments", []) if is_object(step)

else := [] if field("segments") == null

else := object.get(input, ["grant", "plan", "segments", index], null)

segments := object.get(data.bywire.capability.parameters, "segments", [])

# No segment named means every segment, in a step as in an action.
segments_within if {
	some index, step in steps
	weight_of(step) == weight
	segments_fit(segments_of(index, step), segments)
}

segments_fit(approved, _) if approved == []

segments_fit(approved, asked) if {
	is_array(approved)
	is_array(asked)
	count(asked) > 0
	every segment in asked {
		segment in approved
	}
}
