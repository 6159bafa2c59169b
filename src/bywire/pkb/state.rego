# Stop, freezes, journal and budget (RULES 7, 16). A flag that is not plainly false counts as set.
package bywire.state

import data.bywire.capability
import data.bywire.retreat

flag(name) := object.get(input, ["state", name], null)

blocked_by := object.get(data.bywire.table.categories, [capability.category, "blocked_by"], ["stop", "freeze_all", "freeze_window"])

blocks(name) if {
	name in blocked_by
	flag(name) != false
}

facts := {"tool": capability.tool, "category": capability.category}

deny contains {"rule": "state.stopped", "facts": facts} if {
	blocks("stop")
	not retreat.authorised
}

deny contains {"rule": "state.frozen_all", "facts": facts} if blocks("freeze_all")

deny contains {"rule": "state.freeze_window", "facts": {"tool": capability.tool, "environment": capability.environment}} if {
	blocks("freeze_window")
}

deny contains {"rule": "state.journal_missing", "facts": facts} if {
	capability.category != "read"
	object.get(input, ["state", "journal"], true) != true
}

# The intent transaction debits the budget and has the last word; where the input carries it, the answer comes early.
deny contains {"rule": "state.budget_exhausted", "facts": {"observed": observed, "limit": limit}} if {
	not retreat.authorised
	flag("budget") != null
	observed := object.get(input, ["state", "budget", "observed"], null)
	limit := object.get(input, ["state", "budget", "limit"], null)
	not within(observed, limit)
}

within(observed, limit) if {
	is_number(observed)
	is_number(limit)
	observed < limit
}

default tainted := true

tainted := false if object.get(input, ["state", "session", "integrity"], null) == "trusted"
