# The door's question: may this principal take this action, now?
# Reads answer from the capability table and the state alone; everything else is weighed in full.
package bywire.action

import data.bywire.approval
import data.bywire.capability
import data.bywire.duties
import data.bywire.facts
import data.bywire.grant
import data.bywire.principal
import data.bywire.read
import data.bywire.retreat
import data.bywire.rollout
import data.bywire.state
import data.bywire.tier
import data.bywire.verdict
import data.bywire.vsa

default decision := {
	"effect": "deny",
	"reasons": [{"rule": "action.undecided", "facts": {}, "hard": false}],
	"obligations": [],
	"tier": "high",
	"required": {},
}

decision := read.answer if read.allowed

else := verdict.document("deny", first_denials, [], "trivial", {}) if {
	capability.category == "read"
	count(first_denials) > 0
}

else := verdict.document("deny", denials, [tier.obligation], tier.level, required) if count(denials) > 0

else := verdict.document("approval_needed", pending, [approval.obligation, tier.obligation], tier.level, required) if {
	count(pending) > 0
}

else := verdict.allowed(allowances, obligations, tier.level) if count(allowances) > 0

first_denials := ((principal.deny | capability.deny) | state.deny) | version_denials

later_denials := (((grant.deny | duties.deny) | vsa.deny) | rollout.deny) | retreat.deny

denials := (first_denials | shape_denials) | later_denials

pending := approval.pending

allowances := approval.allow

obligations := array.concat(capability.obligations, [tier.obligation])

required := {"approval": approval.required, "evidence": capability.evidence}

# What every effect needs to be told; a section that is absent is never read as "nothing to object to".
sections := {"action", "change", "facts", "operator", "principal", "state"}

object_lists := {["change", "migrations"], ["facts", "manifests"]}

string_lists := {["change", "paths"], ["change", "authors"], ["change", "patch_authors"]}

# An action outside every delivery has no change to speak of; one that exposes an artifact always has.
about_change if vsa.needed

about_change if object.get(input, "change", {}) != {}

version_denials contains {"rule": "input.version", "facts": {"version": version}} if {
	version := object.get(input, "version", null)
	version != 1
}

shape_denials contains {"rule": "input.incomplete", "facts": {"missing": missing}} if {
	absent := [section | some section in sections; not is_object(object.get(input, section, null))]
	records := [concat(".", path) | about_change; some path in object_lists; not facts.is_list_of_objects(path)]
	names := [concat(".", path) | about_change; some path in string_lists; not facts.is_list_of_strings(path)]
	missing := sort(array.concat(absent, array.concat(records, names)))
	count(missing) > 0
}

shape_denials contains {"rule": "input.clock", "facts": {"now_ms": now}} if {
	now := object.get(input, "now_ms", null)
	not is_number(now)
}
