# The short way for reads: one conjunction, every part stated positively. Whatever fails it takes the long way,
# which says why; a test keeps the two in agreement.
package bywire.read

allowed if {
	input.principal.kind == "agent"
	is_string(input.principal.id)
	is_string(input.principal.owner)
	startswith(input.principal.id, "agent:")
	startswith(input.principal.owner, "person:")
	is_array(input.principal.registration.tools)
	is_array(input.principal.registration.environments)
	input.action.tool in input.principal.registration.tools
	input.action.environment in input.principal.registration.environments
	object.get(data.bywire.table.patterns, input.principal.registration.pattern, null) != null
	count([denial | some denial in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].deny]) == 0
	lasting
	open_to_all
}

allowed if {
	input.principal.kind in {"person", "workload"}
	is_string(input.principal.id)
	startswith(input.principal.id, concat("", [input.principal.kind, ":"]))
	open_to_all
}

open_to_all if {
	input.version == 1
	input.action.category == "read"
	listed.category == "read"
	listed.environments[input.action.environment].posture == "allow"
	input.action.unmet_preconditions == []
	counts_left
	within_bounds
	budget_left
}

listed := object.get(data.bywire.table.capabilities, input.action.tool, {})

lasting if input.principal.registration.expires_at_ms == null

lasting if {
	is_number(input.now_ms)
	is_number(input.principal.registration.expires_at_ms)
	input.now_ms < input.principal.registration.expires_at_ms
}

within_bounds if not listed.bounds

within_bounds if {
	every name, limit in listed.bounds {
		at_most(object.get(input, ["action", "parameters", name], 0), limit)
	}
}

at_most(value, limit) if {
	is_number(value)
	value <= limit
}

# Reads are not counted one by one, so there is seldom a list to look through.
counts_left if input.state.limits == []

counts_left if {
	is_array(input.state.limits)
	every item in input.state.limits {
		is_number(item.observed)
		is_number(item.limit)
		item.observed < item.limit
	}
}

budget_left if object.get(input, ["state", "budget"], null) == null

budget_left if {
	is_number(input.state.budget.observed)
	is_number(input.state.budget.limit)
	input.state.budget.observed < input.state.budget.limit
}

answer := {
	"effect": "allow",
	"reasons": [{
		"rule": "allow.table",
		"facts": {"tool": input.action.tool, "environment": input.action.environment, "row": listed.row},
		"hard": false,
	}],
	"obligations": [{"kind": "redact"}],
	"tier": "trivial",
	"required": {},
}
