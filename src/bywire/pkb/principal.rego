# Who asks: agents, people and workloads are three kinds that are never taken for one another (RULES 19).
package bywire.principal

id := object.get(input, ["principal", "id"], null)

kind := object.get(input, ["principal", "kind"], null)

owner := object.get(input, ["principal", "owner"], "")

role := object.get(input, ["principal", "role"], "")

prefixes := {"agent": "agent:", "person": "person:", "workload": "workload:"}

is_person if {
	kind == "person"
	is_known
}

is_known if {
	is_string(id)
	startswith(id, prefixes[kind])
}

deny contains {"rule": "principal.kind_mismatch", "facts": {"principal": id, "kind": kind}} if not is_known

deny contains {"rule": "principal.owner_missing", "facts": {"principal": id, "owner": owner}} if {
	kind == "agent"
	not has_owner
}

has_owner if {
	is_string(owner)
	startswith(owner, "person:")
}
