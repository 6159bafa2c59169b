# The capability table (seed 001, 4.1): what a tool may do in an environment, as data. Unknown means no.
package bywire.capability

import data.bywire.facts
import data.bywire.principal

tool := object.get(input, ["action", "tool"], null)

environment := object.get(input, ["action", "environment"], null)

row := data.bywire.table.capabilities[tool]

cell := row.environments[environment]

default category := "unknown"

category := row.category

default posture := "none"

posture := cell.posture

default evidence := []

evidence := row.evidence

default risk := "high"

risk := data.bywire.table.categories[category].risk

obligations := [{"kind": kind} | some kind in row.obligations]

# Who may approve; the second list is for an action that the table allows but a tainted session may not take alone.
default roles := ["service-owner", "sre-oncall"]

roles := cell.roles

default parameters := {}

parameters := asked_parameters if {
	asked_parameters := object.get(input, ["action", "parameters"], null)
	is_object(asked_parameters)
}

table_allows contains {"rule": "allow.table", "facts": {"tool": tool, "environment": environment, "row": row.row}} if {
	posture == "allow"
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

deny contains {"rule": "action.role_not_allowed", "facts": {"tool": tool, "role": principal.role, "allowed": row.principals}} if {
	count(row.principals) > 0
	not principal.is_person
	not principal.role in row.principals
}

deny contains {"rule": "action.forbidden", "facts": {"tool": tool, "environment": environment, "row": row.row}} if {
	posture == "forbidden"
}

deny contains {"rule": "action.secret_mutation", "facts": {"tool": tool, "principal": principal.id}} if {
	category == "secret_mutation"
	not principal.is_person
}

deny contains {"rule": "action.tests_disabled", "facts": {"tool": tool, "principal": principal.id}} if {
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
