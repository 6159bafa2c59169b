# Starting a runbook: a person approves all of it at once, so it must be whole and about this very place.
package bywire.runbook

import data.bywire.facts

starts if data.bywire.capability.tool == "start_runbook"

steps := facts.list_at(["action", "parameters", "steps"])

tools := [object.get(step, "tool", null) | some step in steps; is_object(step)]

# Nothing that a table forbids becomes possible by being written into a runbook.
possible := {tool |
	some tool, listed in data.bywire.table.capabilities
	not listed.category in {"secret_mutation", "verification_weakening"}
	tool != "start_runbook"
}

# A connected tool's contract says what it does when the step is taken, and the step is decided then.
connected contains tool if {
	some tool in tools
	is_string(tool)
	regex.match("^[a-z][a-z0-9-]*[.].", tool)
}

unfit := sort([tool | some tool in tools; not tool in possible | connected])

deny contains {"rule": "runbook.steps_missing", "facts": {"service": facts.at(["action", "service"])}} if not has_steps

has_steps if {
	count(steps) > 0
	facts.is_list_of_objects(["action", "parameters", "steps"])
}

deny contains {"rule": "runbook.step_forbidden", "facts": {"tools": unfit}} if count(unfit) > 0

deny contains {"rule": "runbook.misplaced", "facts": {"runbook": written, "asked": asked}} if {
	written := [facts.at(["action", "parameters", "service"]), facts.at(["action", "parameters", "environment"])]
	asked := [facts.at(["action", "service"]), data.bywire.capability.environment]
	written != asked
}
