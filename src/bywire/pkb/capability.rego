# The capability table (seed 001, 4.1): what a tool may do in an environment, as data. Unknown means no.
#
# Modules name each other's rules by their full path: regorus evaluates a whole package when one rule of it is read
# through an import alias.
package bywire.capability

import data.bywire.facts

tool := object.get(input, ["action", "tool"], null)

environment := object.get(input, ["action", "environment"], null)

listed := data.bywire.table.capabilities[tool]

# A tool that somebody connected has the row of its contract's category, and never the name of a listed one.
default connected := false

connected if {
	not listed
	is_string(tool)
	is_string(input.action.connected.upstream)
	startswith(tool, concat("", [input.action.connected.upstream, "."]))
}

row := listed if listed

else := data.bywire.table.connected[input.action.category] if connected

cell := row.environments[environment]

default category := "unknown"

category := row.category

class := data.bywire.table.categories[category]

# A cell that names no posture, or no roles, has those of its category (seed 001, 4.3).
default posture := "none"

posture := object.get(cell, "posture", class.posture)

default roles := []

roles := object.get(cell, "roles", class.roles)

default evidence := []

evidence := row.evidence

default risk := "very-high"

risk := row.risk if row.risk

else := told_risk if {
	told_risk := input.action.connected.risk
	data.bywire.table.tiers.risk[told_risk]
}

obligations := [{"kind": kind} | some kind in row.obligations]

default parameters := {}

parameters := asked_parameters if {
	asked_parameters := object.get(input, ["action", "parameters"], null)
	is_object(asked_parameters)
}

# The parameter that names the artifact, where it is not called so.
artifact := object.get(parameters, object.get(row, "artifact", "artifact"), null)

# The share of traffic that this action leaves on the canary, percent. A lease renewal may leave it out.
default weight := null

weight := 100 if row.full_exposure

else := object.get(parameters, row.weight, null)

weighed if row.full_exposure

weighed if {
	row.weight
	not row.keeps_exposure
}

weighed if {
	row.keeps_exposure
	weight != null
}

deny contains {"rule": "action.unknown_tool", "facts": {"tool": tool}} if not row

deny contains {"rule": "action.environment_unknown", "facts": {"tool": tool, "environment": environment}} if {
	row
	not cell
}

deny contains {"rule": "action.category_mismatch", "facts": {"tool": tool, "asked": asked, "listed": category}} if {
	row
	asked := object.get(input, ["action", "category"], null)
	asked != category
}

deny contains {"rule": "action.forbidden", "facts": {"tool": tool, "environment": environment, "row": row.row}} if {
	posture == "forbidden"
}

deny contains {"rule": "action.tests_disabled", "facts": {"tool": tool, "principal": object.get(input, ["principal", "id"], null)}} if {
	category == "verification_weakening"
}

deny contains {"rule": "action.pull_request_only", "facts": {"tool": tool, "environment": environment, "via": via}} if {
	posture in {"pr_only", "pr_owner_approval"}
	via := object.get(parameters, "via", "")
	via != "pull_request"
}

deny contains {"rule": "action.auto_merge", "facts": {"tool": tool}} if {
	category == "repo_write"
	object.get(parameters, "auto_merge", false) != false
}

# A fix edits desired state only; evidence is made again by its producer, never patched (RULES 21).
deny contains {"rule": "action.evidence_patched", "facts": {"tool": tool, "touched": touched}} if {
	row.desired_state_only
	touched := sort([path | some path in evidence_touched])
	count(touched) > 0
}

deny contains {"rule": "action.files_missing", "facts": {"tool": tool}} if {
	row.desired_state_only
	not names_files
}

names_files if {
	facts.is_list_of_objects(["action", "parameters", "files"])
	count(written) > 0
	every path in written {
		is_string(path)
	}
}

written := [object.get(file, "path", null) | some file in facts.objects_at(["action", "parameters", "files"])]

evidence_touched contains path if {
	some path in written
	is_string(path)
	regex.match(data.bywire.table.assets.evidence_paths, path)
}

evidence_touched contains path if {
	some asset in facts.objects_at(["facts", "assets"])
	path := object.get(asset, "path", null)
	path in written
}

evidence_touched contains path if some path in facts.list_at(["action", "parameters", "evidence_paths_touched"])

deny contains {"rule": "action.incident_required", "facts": {"tool": tool, "environment": environment}} if {
	cell.incident_only
	object.get(input, ["state", "incident_mode"], null) != true
}

# Forbidden unless an approved runbook foresees it.
deny contains {"rule": "action.runbook_required", "facts": {"tool": tool, "environment": environment, "row": row.row}} if {
	posture == "runbook"
	object.get(input, ["grant", "kind"], null) != "runbook"
}
