# The short way for reads: one conjunction, every part stated positively. Whatever fails it takes the long way,
# which says why; a test keeps the two in agreement.
package bywire.read

allowed if {
	input.version == 1
	is_object(input.state)
	input.action.category == "read"
	listed.category == "read"
	listed.environments[input.action.environment].posture == "allow"
	known_asker(input.principal.kind, input.principal.id, input.principal.owner)
	budget_left
}

budget_left if object.get(input, ["state", "budget"], null) == null

budget_left if within(input.state.budget.observed, input.state.budget.limit)

listed := data.bywire.table.capabilities[input.action.tool]

known_asker("agent", id, owner) if {
	is_string(id)
	is_string(owner)
	startswith(id, "agent:")
	startswith(owner, "person:")
}

known_asker("person", id, _) if {
	is_string(id)
	startswith(id, "person:")
}

known_asker("workload", id, _) if {
	is_string(id)
	startswith(id, "workload:")
}

within(observed, limit) if {
	is_number(observed)
	is_number(limit)
	observed < limit
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
