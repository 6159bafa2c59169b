# In an emergency one named person may lift what would take too long, once, and writes down why. Hard rules stand.
package bywire.break_glass

import data.bywire.facts

presented if is_object(object.get(input, "break_glass", null))

field(name) := object.get(input, ["break_glass", name], null)

id := field("id")

person := field("person")

listed(name) := facts.list_at(["break_glass", name])

# Hard: what nobody signed breaks nothing.
deny contains {"rule": "break_glass.signature_invalid", "facts": {"id": id, "person": person}} if {
	field("signature_verified") != true
}

misfit contains {"rule": "break_glass.expired", "facts": {"id": id, "expires_at_ms": expires, "now_ms": now}} if {
	expires := field("expires_at_ms")
	now := object.get(input, "now_ms", null)
	not facts.before(now, expires)
}

misfit contains {"rule": "break_glass.used_up", "facts": {"id": id, "uses_left": uses}} if {
	uses := field("uses_left")
	not facts.at_least(uses, 1)
}

misfit contains {"rule": "break_glass.postmortem_open", "facts": {"id": id, "person": person}} if {
	field("open_postmortem") != false
}

misfit contains {"rule": "break_glass.tool_not_covered", "facts": {"id": id, "tool": data.bywire.capability.tool, "tools": tools}} if {
	tools := listed("tools")
	not data.bywire.capability.tool in tools
}

misfit contains {"rule": "break_glass.principal_not_covered", "facts": {"id": id, "principal": data.bywire.principal.id, "principals": principals}} if {
	principals := listed("principals")
	not data.bywire.principal.id in principals
}

misfit contains {"rule": "break_glass.person_unfit", "facts": {"id": id, "person": person, "roles": listed("roles"), "allowed": allowed}} if {
	allowed := data.bywire.table.break_glass.roles
	not fit
}

# Nobody lifts for themselves what was meant to keep them from deciding alone (RULES 19).
misfit contains {"rule": "break_glass.own_interest", "facts": {"id": id, "person": person, "principal": data.bywire.principal.id}} if {
	person in interested
}

interested contains author if some author in facts.list_at(["change", "authors"])

interested contains author if some author in facts.list_at(["change", "patch_authors"])

interested contains owner if owner := object.get(input, ["principal", "owner"], null)

fit if {
	is_string(person)
	startswith(person, "person:")
	some role in listed("roles")
	role in data.bywire.table.break_glass.roles
}

fits if {
	field("signature_verified") == true
	count(misfit) == 0
}
