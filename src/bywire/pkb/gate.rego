# The Auditor's question: may this change become a release? Every fact comes from a verified statement.
package bywire.gate

import data.bywire.gate.assets
import data.bywire.gate.changes
import data.bywire.gate.manifests
import data.bywire.gate.needs
import data.bywire.gate.statements
import data.bywire.gate.supply_chain
import data.bywire.gate.tests
import data.bywire.tier
import data.bywire.verdict

default decision := {
	"effect": "deny",
	"reasons": [{"rule": "gate.undecided", "facts": {}, "hard": false}],
	"obligations": [],
	"tier": "high",
	"required": {},
}

decision := verdict.document("deny", denials, [tier.obligation], tier.level, required) if count(denials) > 0

else := verdict.allowed(passed | changes.notes, [tier.obligation], tier.level) if count(passed) > 0

change_denials := (needs.deny | changes.deny) | statements.deny

proof_denials := (tests.deny | supply_chain.deny) | (assets.deny | manifests.deny)

denials := change_denials | proof_denials

passed contains {"rule": "gate.passed", "facts": {"subject": needs.subject, "environment": needs.environment, "tier": tier.level}} if {
	count(needs.kinds) > 0
}

required := {"evidence": needs.kinds}
