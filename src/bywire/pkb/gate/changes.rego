# What the change itself may not do: go without a plan, weaken its own judgement, or burn the way back.
package bywire.gate.changes

import data.bywire.facts
import data.bywire.gate.needs

deny contains {"rule": "gate.plan_missing", "facts": {"environment": needs.environment}} if {
	needs.needed("plan")
	not needs.have("plan")
}

deny contains {"rule": "gate.change_set_missing", "facts": {"environment": needs.environment}} if {
	needs.needed("change_set")
	not needs.have("change_set")
}

deny contains {"rule": "gate.build_failed", "facts": {"exit_code": object.get(outcome, "exit_code", null)}} if {
	outcome := object.get(input, ["facts", "change_set", "build"], null)
	is_object(outcome)
	not succeeded(outcome)
}

deny contains {"rule": "gate.lint_failed", "facts": {"exit_code": object.get(outcome, "exit_code", null)}} if {
	outcome := object.get(input, ["facts", "change_set", "lint"], null)
	is_object(outcome)
	not succeeded(outcome)
}

succeeded(outcome) if {
	outcome.exit_code == 0
	outcome.timed_out == false
}

loosened := facts.list_at(["change", "loosened"])

deny contains {"rule": "gate.intent_loosened", "facts": {"fields": loosened}} if {
	count(loosened) > 0
	needs.environment != "non-production"
}

# Outside staging and production the base revision's values still rule; the attempt is recorded.
notes contains {"rule": "gate.loosening_ignored", "facts": {"fields": loosened}} if {
	count(loosened) > 0
	needs.environment == "non-production"
}

deny contains {"rule": "gate.irreversible_migration", "facts": {"path": path}} if {
	some migration in facts.objects_at(["change", "migrations"])
	object.get(migration, "reversible", null) != true
	path := object.get(migration, "path", null)
}

deny contains {"rule": "gate.auditor_is_author", "facts": {"auditor": auditor}} if {
	auditor := object.get(input, ["principal", "id"], null)
	auditor in authors
}

authors := array.concat(facts.list_at(["change", "authors"]), facts.list_at(["change", "patch_authors"]))

deny contains {"rule": "gate.authors_missing", "facts": {"auditor": auditor}} if {
	auditor := object.get(input, ["principal", "id"], null)
	count(facts.list_at(["change", "authors"])) == 0
}

deny contains {"rule": "gate.auditor_not_listed", "facts": {"principal": auditor}} if {
	auditor := object.get(input, ["principal", "id"], null)
	not data.bywire.table.auditors[auditor]
}
