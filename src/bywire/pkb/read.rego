# The short way for the reads of registered agents: one conjunction, every part stated positively. Whatever fails it
# takes the long way, which says why; a test keeps the two in agreement. Each reference costs, so the patterns, all of
# which may read, are named here again.
package bywire.read

allowed if {
	input.version == 1
	input.action.category == "read"
	listed.category == "read"
	listed.environments[input.action.environment].posture == "allow"
	input.action.unmet_preconditions == []
	input.principal.kind == "agent"
	is_string(input.principal.id)
	is_string(input.principal.owner)
	startswith(input.principal.id, "agent:")
	startswith(input.principal.owner, "person:")
	is_array(input.principal.registration.tools)
	is_array(input.principal.registration.environments)
	input.action.tool in input.principal.registration.tools
	input.action.environment in input.principal.registration.environments
	input.principal.registration.pattern in {"advisor", "canary-manager", "constrained-executor", "orchestrator", "runbook-executor"}
	input.state.limits == []
	is_number(input.state.budget.observed)
	is_number(input.state.budget.limit)
	input.state.budget.observed < input.state.budget.limit
	count([name | some name, limit in listed.bounds; object.get(input, ["action", "parameters", name], null) > limit]) == 0
	lasting
	count([denial | some denial in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].deny]) == 0
	count([reason | some reason in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].approval]) == 0
	count([debit | some debit in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].debits]) == 0
}

# A connected tool's read: reviewed, unchanged, nothing found in its parameters, and leading where it may.
listed := data.bywire.table.capabilities[input.action.tool] if data.bywire.table.capabilities[input.action.tool]

else := data.bywire.table.connected.read if {
	is_string(input.action.tool)
	is_string(input.action.connected.upstream)
	startswith(input.action.tool, concat("", [input.action.connected.upstream, "."]))
	input.action.connected.reviewed == true
	input.action.connected.definition in {"current", "none"}
	input.action.findings == []
	near
}

near if object.get(input, ["action", "destination"], {}) == {}

near if {
	input.action.destination.listed == true
	input.action.destination.address_class in {"loopback", "private", "public"}
	object.get(input.action.destination, "tunnel", false) == false
	is_number(input.action.destination.port)
	is_string(input.action.destination.host)
	input.action.destination.host != ""
}

lasting if input.principal.registration.expires_at_ms == null

lasting if {
	is_number(input.now_ms)
	is_number(input.principal.registration.expires_at_ms)
	input.now_ms < input.principal.registration.expires_at_ms
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
