# The Auditor's question: may this change become a release? Every fact comes from a verified statement.
package bywire.gate

default decision := {
	"effect": "deny",
	"reasons": [{"rule": "gate.undecided", "facts": {}, "hard": false}],
	"obligations": [],
	"tier": "high",
	"required": {},
}

decision := data.bywire.verdict.document("deny", denials, told, data.bywire.tier.level, required) if count(denials) > 0

else := data.bywire.verdict.document("allow", passed | data.bywire.gate.changes.notes, told, data.bywire.tier.level, {}) if count(passed) > 0

told := array.concat([data.bywire.tier.obligation], data.bywire.shadow.obligations(found))

found := union({
	data.bywire.gate.needs.deny, data.bywire.gate.changes.deny, data.bywire.gate.statements.deny,
	data.bywire.gate.tests.deny, data.bywire.gate.supply_chain.deny, data.bywire.gate.assets.deny,
	data.bywire.gate.manifests.deny,
})

denials := data.bywire.shadow.enforced(found)

passed contains {"rule": "gate.passed", "facts": {"subject": data.bywire.gate.needs.subject, "environment": data.bywire.gate.needs.environment, "tier": data.bywire.tier.level}} if {
	count(data.bywire.gate.needs.kinds) > 0
}

required := {"evidence": data.bywire.gate.needs.kinds}
