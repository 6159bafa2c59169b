# Who asks: agents, people and workloads are three kinds that are never taken for one another (RULES 19). An agent has an
# owner and a registration: its tools, its environments and one of five operating patterns (seed 002).
package bywire.principal

import data.bywire.facts

id := object.get(input, ["principal", "id"], null)

kind := object.get(input, ["principal", "kind"], null)

is_person if {
	input.principal.kind == "person"
	is_known
}

is_known if {
	input.principal.kind in {"agent", "person", "workload"}
	is_string(input.principal.id)
	startswith(input.principal.id, concat("", [input.principal.kind, ":"]))
}

deny contains {"rule": "principal.kind_mismatch", "facts": {"principal": id, "kind": kind}} if not is_known

deny contains {"rule": "principal.owner_missing", "facts": {"principal": id, "owner": object.get(input, ["principal", "owner"], "")}} if {
	input.principal.kind == "agent"
	not has_owner
}

has_owner if {
	is_string(input.principal.owner)
	startswith(input.principal.owner, "person:")
}

# Builders and the like hand over what they made; they have no registration under which to act.
deny contains {"rule": "principal.reads_only", "facts": {"principal": id, "kind": kind, "tool": data.bywire.capability.tool}} if {
	input.principal.kind == "workload"
	data.bywire.capability.category != "read"
}

registered if {
	input.principal.kind == "agent"
	is_object(input.principal.registration)
}

pattern_name := object.get(input, ["principal", "registration", "pattern"], null)

# A pattern that nobody has given a meaning is none.
pattern := data.bywire.table.patterns[pattern_name]

deny contains {"rule": "principal.unregistered", "facts": {"principal": id}} if {
	input.principal.kind == "agent"
	not registered
}

# What runs out never blocks a retreat; what was never given does.
deny contains {"rule": "principal.registration_expired", "facts": {"principal": id, "expires_at_ms": object.get(input, ["principal", "registration", "expires_at_ms"], 0), "now_ms": object.get(input, "now_ms", null)}} if {
	registered
	not current
	not data.bywire.retreat.authorised
}

current if input.principal.registration.expires_at_ms == null

current if facts.before(input.now_ms, input.principal.registration.expires_at_ms)

deny contains {"rule": "principal.tool_not_registered", "facts": {"principal": id, "tool": data.bywire.capability.tool, "tools": facts.list_at(["principal", "registration", "tools"])}} if {
	registered
	not tool_listed
}

tool_listed if {
	is_array(input.principal.registration.tools)
	data.bywire.capability.tool in input.principal.registration.tools
}

deny contains {"rule": "principal.environment_not_registered", "facts": {"principal": id, "environment": data.bywire.capability.environment, "environments": facts.list_at(["principal", "registration", "environments"])}} if {
	registered
	not environment_listed
}

environment_listed if {
	is_array(input.principal.registration.environments)
	data.bywire.capability.environment in input.principal.registration.environments
}

deny contains {"rule": "principal.pattern_forbids", "facts": {"principal": id, "pattern": pattern_name, "tool": data.bywire.capability.tool, "category": data.bywire.capability.category}} if {
	registered
	not permitted
}

permitted if pattern.writes == "registered"

permitted if data.bywire.capability.tool in pattern.tools

permitted if {
	pattern
	data.bywire.capability.category in {"read", "egress"}
}

permitted if {
	pattern.writes == "dry_run"
	input.action.dry_run == true
}

permitted if {
	pattern.writes == "runbook"
	input.grant.kind == "runbook"
}

permitted if {
	pattern.writes in {"listed", "runbook"}
	data.bywire.retreat.authorised
}

# Categories in which this pattern waits for a person, whatever the table says.
gated if {
	registered
	data.bywire.capability.category in pattern.gated
}
