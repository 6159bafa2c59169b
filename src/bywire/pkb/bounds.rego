# Parameters that are cut down to a limit instead of refused (RULES 6): the cut action is a new one, decided once more.
package bywire.bounds

parameters := data.bywire.capability.parameters

concerned if data.bywire.capability.row.bounds

# A limit is a number of the table, or the name of one of the operator's.
limit_of(bound) := bound if is_number(bound)

else := object.get(input, ["operator", "limits", bound], null)

# What is given and no number stands above every number; what is left out stands below.
over contains {"parameter": name, "asked": asked, "limit": limit, "named": bound} if {
	some name, bound in data.bywire.capability.row.bounds
	asked := object.get(parameters, name, null)
	limit := limit_of(bound)
	asked > limit
}

reasons contains {"rule": "bounds.capped", "facts": {"tool": data.bywire.capability.tool, "parameter": found.parameter, "asked": found.asked, "limit": found.limit}} if {
	some found in over
}

obligations := [{"kind": "replace", "parameter": found.parameter, "value": found.limit, "because": "bounds.capped"} |
	some found in over
]

# There is nothing to cut down to.
deny contains {"rule": "bounds.limit_missing", "facts": {"tool": data.bywire.capability.tool, "parameter": found.parameter, "limit": found.named}} if {
	some found in over
	not is_number(found.limit)
}
