# Which evidence this tier and environment ask for, as data; where nothing is known, nothing passes.
package bywire.gate.needs

import data.bywire.facts
import data.bywire.tier

environment := object.get(input, ["action", "environment"], null)

subject := object.get(input, ["facts", "subject"], "")

default kinds := []

kinds := data.bywire.table.evidence[environment][tier.level]

needed(kind) if kind in kinds

limit(name) := object.get(input, ["operator", "limits", name], null)

fact(name) := object.get(input, ["facts", name], null)

have(name) if is_object(fact(name))

sections := {"action", "change", "facts", "operator", "principal"}

object_lists := {["change", "migrations"], ["facts", "statements"], ["facts", "manifests"], ["facts", "assets"]}

string_lists := {["change", "paths"], ["change", "authors"], ["change", "patch_authors"], ["change", "loosened"]}

deny contains {"rule": "gate.input_version", "facts": {"version": version}} if {
	version := object.get(input, "version", null)
	version != 1
}

deny contains {"rule": "gate.input_incomplete", "facts": {"missing": missing}} if {
	absent := [section | some section in sections; not is_object(object.get(input, section, null))]
	records := [concat(".", path) | some path in object_lists; not facts.is_list_of_objects(path)]
	names := [concat(".", path) | some path in string_lists; not facts.is_list_of_strings(path)]
	missing := sort(array.concat(absent, array.concat(records, names)))
	count(missing) > 0
}

deny contains {"rule": "gate.environment_unknown", "facts": {"environment": environment}} if count(kinds) == 0

deny contains {"rule": "gate.subject_missing", "facts": {"environment": environment}} if {
	not has_subject
}

has_subject if {
	is_string(subject)
	subject != ""
}
