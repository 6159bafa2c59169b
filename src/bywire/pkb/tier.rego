# The risk tier, recomputed (RULES 1): the highest of what was declared, what the operator set and what was touched.
package bywire.tier

import data.bywire.facts

ranks := data.bywire.table.tiers.rank

order := data.bywire.table.tiers.order

# A word that names no tier counts as the highest.
raises contains {"by": "declared", "value": declared, "rank": object.get(ranks, declared, 3)} if {
	declared := object.get(input, ["change", "declared_tier"], null)
	not outside
}

raises contains {"by": "tier_floor", "value": minimum, "rank": object.get(ranks, minimum, 3)} if {
	minimum := object.get(input, ["operator", "tier_floor"], null)
}

raises contains {"by": "criticality", "value": criticality, "rank": object.get(ranks, minimum, 3)} if {
	criticality := object.get(input, ["operator", "criticality"], null)
	minimum := object.get(data.bywire.table.tiers.criticality, criticality, "high")
}

raises contains {"by": "touches_intent", "value": "bywire.yaml", "rank": 3} if {
	not input.change.touches_intent == false
	not outside
}

# What a connected tool does outside every delivery is about no change; a delivery that tells nothing still counts.
outside if {
	data.bywire.capability.connected
	input.change == {}
	input.action.change == ""
}

raises contains {"by": class, "value": path, "rank": 3} if {
	paths != ""
	some class, pattern in data.bywire.table.path_classes
	some path in regex.find_n(pattern, paths, 1)
}

raises contains {"by": "deployment_manifests", "value": path, "rank": 3} if {
	some manifest in facts.objects_at(["facts", "manifests"])
	path := object.get(manifest, "path", null)
	path in changed
}

raises contains {"by": "irreversible_migration", "value": path, "rank": 3} if {
	some migration in facts.objects_at(["change", "migrations"])
	object.get(migration, "reversible", null) != true
	path := object.get(migration, "path", null)
}

raises contains {"by": signal, "value": path, "rank": object.get(ranks, listed.tier, 3)} if {
	paths != ""
	some signal, listed in data.bywire.table.risk_signals
	some path in regex.find_n(listed.pattern, paths, 1)
}

# Autonomy falls as undoing gets harder (seed 001, 4.3). What nobody says how to undo counts as irreversible.
raises contains {"by": "undo", "value": undo, "rank": object.get(ranks, minimum, 3)} if {
	acts
	undo := object.get(input, ["action", "undo"], null)
	minimum := object.get(data.bywire.table.tiers.undo, undo, "high")
}

# A connected tool's risk is its contract's word.
raises contains {"by": "risk", "value": risk, "rank": object.get(ranks, minimum, 3)} if {
	data.bywire.capability.connected
	risk := data.bywire.capability.risk
	minimum := object.get(data.bywire.table.tiers.risk, risk, "high")
}

# The release gate's question is about a change; only an action is undone.
acts if {
	data.bywire.capability.row
	data.bywire.capability.category != "read"
}

# One subject for every pattern: a class costs one match, however many paths the change has.
paths := concat("\n", [path | some path in changed; is_string(path)])

changed := facts.list_at(["change", "paths"])

raises contains {"by": "malformed_paths", "value": null, "rank": 3} if {
	not facts.paths_told
	not outside
}

rank := max([raise.rank | some raise in raises])

default level := "high"

level := order[rank]

default because := []

because := [{"by": raise.by, "value": raise.value} | some raise in raises; raise.rank == rank; rank > 0]

obligation := {"kind": "tier", "tier": level, "because": because}
