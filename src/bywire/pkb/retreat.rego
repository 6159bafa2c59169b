# Going back to the last good digest that was recorded with the rollout needs nobody's leave (RULES 16).
package bywire.retreat

import data.bywire.capability
import data.bywire.facts

to := object.get(capability.parameters, "to", "")

recorded if object.get(input, ["retreat", "authorised"], null) == true

authorised if {
	capability.category == "exposure_reducing"
	recorded
	is_string(to)
	to != ""
	object.get(input, ["retreat", "last_good"], null) == to
}

deny contains {"rule": "rollback.target_missing", "facts": {"tool": capability.tool, "to": to}} if {
	capability.category == "exposure_reducing"
	not has_target
}

has_target if {
	is_string(to)
	to != ""
}

# Without a recorded retreat, a schema that cannot go back makes a rollback a decision for experts (seed 001, 11.2).
deny contains {"rule": "rollback.irreversible_migration", "facts": {"tool": capability.tool, "migrations": paths}} if {
	capability.category == "exposure_reducing"
	not authorised
	paths := sort([path |
		some migration in facts.objects_at(["change", "migrations"])
		object.get(migration, "reversible", null) != true
		path := object.get(migration, "path", "")
	])
	count(paths) > 0
}
