# Which gate a tier opens by: how many people, in which roles, in which windows (seed 002). The operator's word comes first.
package bywire.approval_gate

import data.bywire.facts

table := data.bywire.table.gates

# Where the table has no line, the strictest gate stands.
tabled := object.get(table.environments, [data.bywire.capability.environment, data.bywire.tier.level], {"kind": "multi-signer", "count": 2})

asked := object.get(input, ["operator", "gates", data.bywire.tier.level], tabled)

default gate := {}

gate := asked if is_object(asked)

kind := object.get(gate, "kind", null)

# One for a gate of one person; "automatic" never removes an approval that the capability table asks for.
need := 1 if kind in {"automatic", "single"}

else := object.get(gate, "count", 2)

deny contains {"rule": "approval.gate_invalid", "facts": {"tier": data.bywire.tier.level, "gate": asked}} if not valid

valid if {
	is_object(object.get(input, ["operator", "gates"], {}))
	kind in table.kinds
	facts.at_least(need, 1)
	is_array(named)
	every role in named {
		is_string(role)
	}
}

named := object.get(gate, "roles", [])

narrowed := [role | some role in data.bywire.capability.roles; role in named]

# A gate's roles narrow the table's. Where it names none of them, the table's stand: nobody else can approve this.
roles := narrowed if count(narrowed) > 0

else := data.bywire.capability.roles

channels_count if data.bywire.tier.level in table.channel_tiers
