# One shape for every answer, with hard rules marked from the listed set.
package bywire.verdict

document(effect, reasons, obligations, tier, required) := {
	"effect": effect,
	"reasons": [marked |
		some reason in reasons
		marked := {"rule": reason.rule, "facts": reason.facts, "hard": is_hard(reason.rule)}
	],
	"obligations": obligations,
	"tier": tier,
	"required": required,
}

is_hard(rule) := object.get(data.bywire.table.hard_rules, rule, false)
