# One approval for a runbook (RULES 20): each step under it uses a listed tool, with parameters inside signed bounds.
package bywire.runbook_coverage

import data.bywire.facts

field(name) := object.get(input, ["grant", "runbook", name], null)

tool := data.bywire.capability.tool

parameters := data.bywire.capability.parameters

claimed if object.get(input, ["grant", "kind"], null) == "runbook"

covers if {
	claimed
	is_object(object.get(input, ["grant", "runbook"], null))
	count(misfit) == 0
}

# The action names the runbook by its digest, or by that of the packet's plan, as steps of a rollout do.
same_runbook if facts.same_text(field("digest"), facts.at(["action", "plan"]))

same_runbook if facts.same_text(facts.at(["grant", "plan_digest"]), facts.at(["action", "plan"]))

misfit contains {"rule": "runbook.digest_mismatch", "facts": {"approved": field("digest"), "asked": facts.at(["action", "plan"])}} if {
	not same_runbook
}

misfit contains {"rule": "runbook.target_mismatch", "facts": {"approved": approved, "asked": asked}} if {
	approved := [field("service"), field("environment")]
	asked := [facts.at(["action", "service"]), data.bywire.capability.environment]
	not same_target(approved, asked)
}

same_target(approved, asked) if {
	is_string(approved[0])
	is_string(approved[1])
	approved == asked
}

starting_roles := data.bywire.table.capabilities.start_runbook.environments[data.bywire.capability.environment].roles

# Enough people approved the runbook; one of them at least must be whom this very step asks for.
misfit contains {"rule": "runbook.role_missing", "facts": {"tool": tool, "roles": data.bywire.approval_gate.roles}} if not spoken_for

spoken_for if {
	some approval in data.bywire.quorum.approvals
	approval.approver in data.bywire.quorum.agreed
	approval.role in data.bywire.approval_gate.roles
}

steps := [step |
	some step in facts.objects_at(["grant", "runbook", "steps"])
	object.get(step, "tool", null) == tool
	is_object(object.get(step, "parameters", null))
]

misfit contains {"rule": "runbook.tool_not_listed", "facts": {"tool": tool}} if count(steps) == 0

# Several steps may use one tool; one of them must allow the whole call.
foreseen if {
	some step in steps
	count(beyond(step)) == 0
	count(outside(step)) == 0
}

beyond(step) := [name | some name in object.keys(parameters); not step.parameters[name]]

outside(step) := [name |
	some name, bound in step.parameters
	not within(bound, name)
]

# A parameter that the runbook bounds and the call leaves out is outside: its default was not signed.
within(bound, name) if bound == {"equals": parameters[name]}

within(bound, name) if {
	is_object(bound)
	count(bound) == 2
	facts.at_least(parameters[name], bound.min)
	facts.at_least(bound.max, parameters[name])
}

within(bound, name) if {
	is_object(bound)
	count(bound) == 1
	is_array(bound.one_of)
	parameters[name] in bound.one_of
}

misfit contains {"rule": "runbook.parameter_unlisted", "facts": {"tool": tool, "parameter": name}} if {
	not foreseen
	some step in steps
	some name in beyond(step)
}

misfit contains {"rule": "runbook.parameter_outside", "facts": {"tool": tool, "parameter": name, "bound": bound}} if {
	not foreseen
	some step in steps
	some name in outside(step)
	bound := step.parameters[name]
}
