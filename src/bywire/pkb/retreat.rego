# Going back to the last good digest that was recorded with the rollout needs nobody's leave (RULES 16).
package bywire.retreat

import data.bywire.facts

to := object.get(data.bywire.capability.parameters, "to", "")

# What was connected is no part of a rollout, so nothing about it was recorded or authorised.
reduces if {
	data.bywire.capability.category == "exposure_reducing"
	not data.bywire.capability.connected
}

concerned if reduces

concerned if data.bywire.capability.cell.evidence_of_return

recorded if object.get(input, ["retreat", "authorised"], null) == true

authorised if {
	reduces
	recorded
	facts.same_text(to, object.get(input, ["retreat", "last_good"], null))
}

deny contains {"rule": "rollback.target_missing", "facts": {"tool": data.bywire.capability.tool, "to": to}} if {
	reduces
	not has_target
}

has_target if {
	is_string(to)
	to != ""
}

# Without a recorded retreat, a schema that cannot go back makes a rollback a decision for experts (seed 001, 11.2).
deny contains {"rule": "rollback.irreversible_migration", "facts": {"tool": data.bywire.capability.tool, "migrations": paths}} if {
	reduces
	not authorised
	paths := sort(array.concat(changed, facts.list_at(["retreat", "irreversible_migrations"])))
	count(paths) > 0
}

changed := [path |
	some migration in facts.objects_at(["change", "migrations"])
	object.get(migration, "reversible", null) != true
	path := object.get(migration, "path", "")
]

# In an incident, any deployment may be rolled back, and that rests on evidence of its own (seed 001, 11.2).
rests_on_evidence if {
	data.bywire.capability.cell.evidence_of_return
	not authorised
}

deny contains {"rule": "rollback.artifact_missing", "facts": {"tool": data.bywire.capability.tool, "to": to}} if {
	rests_on_evidence
	object.get(input, ["retreat", "artifact_available"], null) != true
}

deny contains {"rule": "rollback.compatibility_unchecked", "facts": {"tool": data.bywire.capability.tool, "to": to}} if {
	rests_on_evidence
	object.get(input, ["retreat", "compatibility_checked"], null) != true
}

deny contains {"rule": "rollback.evidence_missing", "facts": {"tool": data.bywire.capability.tool, "missing": missing}} if {
	rests_on_evidence
	missing := sort([name | some name, value in evidence; not is_told(value)])
	count(missing) > 0
}

evidence := {
	"blast_radius_assessment": object.get(input, ["retreat", "blast_radius"], null),
	"current_version": object.get(input, ["state", "target", "stable"], null),
	"irreversible_migrations": object.get(input, ["retreat", "irreversible_migrations"], null),
	"target_previous_version": to,
}

is_told(value) if {
	is_string(value)
	value != ""
}

is_told(value) if is_array(value)
