# Stop, freezes, journal and counts (RULES 7, 16). A flag that is not plainly false counts as set.
package bywire.state

import data.bywire.facts

tool := data.bywire.capability.tool

category := data.bywire.capability.category

blocked_by := object.get(data.bywire.table.categories, [category, "blocked_by"], ["stop", "freeze_all", "freeze_window"])

deny contains {"rule": "state.stopped", "facts": {"tool": tool, "category": category}} if {
	"stop" in blocked_by
	not input.state.stop == false
	not data.bywire.retreat.authorised
}

deny contains {"rule": "state.frozen_all", "facts": {"tool": tool, "category": category}} if {
	"freeze_all" in blocked_by
	not input.state.freeze_all == false
}

deny contains {"rule": "state.freeze_window", "facts": {"tool": tool, "environment": data.bywire.capability.environment}} if {
	"freeze_window" in blocked_by
	not input.state.freeze_window == false
}

deny contains {"rule": "state.journal_missing", "facts": {"tool": tool, "category": category}} if {
	category != "read"
	object.get(input, ["state", "journal"], true) != true
}

# The intent transaction debits every count and has the last word; where the input carries it, the answer comes early.
deny contains {"rule": "state.budget_exhausted", "facts": {"observed": observed, "limit": limit, "retry_after_ms": wait(object.get(input, ["state", "budget"], null))}} if {
	object.get(input, ["state", "budget"], null) != null
	observed := object.get(input, ["state", "budget", "observed"], null)
	limit := object.get(input, ["state", "budget", "limit"], null)
	not facts.before(observed, limit)
	not data.bywire.retreat.authorised
}

limits := facts.objects_at(["state", "limits"])

deny contains {"rule": "state.limit_exhausted", "facts": {"name": object.get(item, "name", null), "observed": observed, "asked": asked, "limit": limit, "retry_after_ms": wait(item)}} if {
	some item in limits
	observed := object.get(item, "observed", null)
	limit := object.get(item, "limit", null)
	asked := object.get(item, "asked", 1)
	not leaves_room(observed, asked, limit)
	not data.bywire.retreat.authorised
}

# How long until less of it counts; null where waiting does not help.
wait(item) := item.frees_at_ms - input.now_ms if {
	is_number(item.frees_at_ms)
	is_number(input.now_ms)
}

else := null

# Nobody asks for less than nothing.
leaves_room(observed, asked, limit) if {
	facts.at_least(asked, 0)
	is_number(observed)
	facts.at_least(limit, observed + asked)
}

deny contains {"rule": "state.limits_unknown", "facts": {"tool": tool}} if {
	not facts.is_list_of_objects(["state", "limits"])
	not data.bywire.retreat.authorised
}

default tainted := true

tainted := false if {
	input.state.session.integrity == "trusted"
	input.action.integrity == "trusted"
}
