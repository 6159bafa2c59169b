# Rules on trial (RULES 28): signed by a person, for a time, a denial is recorded instead of enforced.
# Never for writes in production, and never for what keeps the envelope itself together.
package bywire.shadow

import data.bywire.facts

table := data.bywire.table.shadow

entries := facts.objects_at(["shadow"])

tried if count(entries) > 0

default here := false

# That an unreviewed tool only reads is what its own vendor says.
here if {
	data.bywire.capability.category == "read"
	not data.bywire.contract.unreviewed
}

here if data.bywire.capability.environment in table.environments

never(rule) if data.bywire.table.hard_rules[rule]

never(rule) if {
	some prefix in table.never
	startswith(rule, prefix)
}

in_force(entry) if {
	is_string(entry.owner)
	startswith(entry.owner, "person:")
	facts.before(object.get(input, "now_ms", null), entry.expires_at_ms)
	object.get(entry, "environment", data.bywire.capability.environment) == data.bywire.capability.environment
	object.get(entry, "service", service) == service
}

service := object.get(input, ["action", "service"], null)

# Entries that take their rule out of force here and now.
lifted contains {"rule": entry.rule, "owner": entry.owner} if {
	here
	some entry in entries
	is_string(entry.rule)
	in_force(entry)
	not never(entry.rule)
}

rules := {entry.rule | some entry in lifted}

# Nobody spares an agent of their own, or themselves, the asking of another person (RULES 19).
sparing := {entry | some entry in lifted; not entry.owner in interested}

interested := {object.get(input, ["principal", "id"], null), object.get(input, ["principal", "owner"], null)}

spared := {entry.rule | some entry in sparing}

sparers(rule) := sort([entry.owner | some entry in sparing; entry.rule == rule])

# What stays denied of `denials`. Without entries there is nothing to look at.
enforced(denials) := denials if not tried

else := {reason | some reason in denials; not reason.rule in rules} | refusals(denials)

# For what of `wishes` a person is still asked.
asked(wishes) := wishes if not tried

else := {reason | some reason in wishes; not reason.rule in spared}

obligations(denials) := recorded(lifted, denials)

recorded(trials, objections) := [{"kind": "shadowed", "rule": entry.rule, "owner": entry.owner, "facts": reason.facts} |
	some entry in trials
	some reason in objections
	reason.rule == entry.rule
]

refusals(denials) := {{"rule": "shadow.refused", "facts": {"rule": reason.rule, "owner": object.get(entry, "owner", null)}} |
	some entry in entries
	some reason in denials
	reason.rule == object.get(entry, "rule", null)
	not reason.rule in rules
}
