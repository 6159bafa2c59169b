# The door's question: may this principal take this action, now?
# Reads answer from the capability table and the state alone; everything else is weighed in full.
package bywire.action

import data.bywire.facts

default decision := {
	"effect": "deny",
	"reasons": [{"rule": "action.undecided", "facts": {}, "hard": false}],
	"obligations": [],
	"tier": "high",
	"required": {},
}

decision := data.bywire.read.answer if data.bywire.read.allowed

else := data.bywire.verdict.document("deny", denials | glass_notes, told, tier, required) if {
	count(denials) > 0
	not lifted
}

else := data.bywire.verdict.document("approval_needed", pending | glass_notes, asked, tier, required) if {
	count(pending) > 0
	not lifted
}

else := data.bywire.verdict.document("sanitize", replaced, cut, tier, {}) if count(replaced) > 0

else := data.bywire.verdict.document("allow", {broken}, array.concat(passed, [broken_obligation]), tier, {}) if lifted

else := data.bywire.verdict.document("allow", data.bywire.approval.allow, passed, tier, {}) if count(data.bywire.approval.allow) > 0

joined(lists) := [item | some list in lists; some item in list]

# Obligations accumulate: the tier and its causes, rules on trial, cuts, what the table asks for.
told := joined([graded, data.bywire.shadow.obligations(found), unasked]) if data.bywire.shadow.tried

else := graded

# What nobody was asked for, by a trial.
unasked := data.bywire.shadow.recorded(data.bywire.shadow.sparing, data.bywire.approval.wishes)

default bound_reasons := set()

bound_reasons := data.bywire.bounds.reasons if data.bywire.bounds.concerned

default masked := set()

masked := data.bywire.inspect.reasons if data.bywire.inspect.concerned

replaced := bound_reasons | masked

cut := joined([told, data.bywire.bounds.obligations, data.bywire.inspect.obligations, due])

asked := array.concat([data.bywire.approval.obligation], cut)

passed := joined([data.bywire.capability.obligations, told, due])

# What an agent's own policy has counted; a retreat counts for nothing.
default due := []

due := [counted(debit) | some debit in owed] if not data.bywire.retreat.authorised

# On trial it is counted as before and refuses nothing.
counted(debit) := object.union(debit, {"kind": "debit", "shadowed": true}) if debit.because in data.bywire.shadow.rules

else := object.union(debit, {"kind": "debit"})

owed contains debit if {
	is_string(input.principal.id)
	some debit in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].debits
}

required := {} if reads

else := {"approval": data.bywire.approval.required, "evidence": data.bywire.capability.evidence}

# A read exposes nothing, so its change has no tier.
tier := "trivial" if reads

else := data.bywire.tier.level

graded := [] if reads

else := [data.bywire.tier.obligation]

# A connection carries what the listed host's own rules let through; as an action of its own it exposes nothing.
reads if data.bywire.capability.category in {"read", "egress"}

# Who asks, for what, in which state: enough to refuse a read.
first_denials := union({
	data.bywire.principal.deny, data.bywire.capability.deny, data.bywire.state.deny, question_denials,
	connected_denials, egress_denials,
})

later_denials := union({
	shape_denials, granted_denials, gate_denials, bound_denials, glass_denials, exposure_denials, weight_denials,
	return_denials, secret_denials, runbook_denials,
})

# A package that is not concerned by an action is not evaluated.
default connected_denials := set()

connected_denials := data.bywire.contract.deny | data.bywire.inspect.deny if data.bywire.capability.connected

default egress_denials := set()

egress_denials := data.bywire.egress.deny if data.bywire.egress.concerned

default granted_denials := set()

granted_denials := data.bywire.grant.deny | data.bywire.duties.deny if data.bywire.grant.present

default gate_denials := set()

gate_denials := data.bywire.approval_gate.deny if data.bywire.approval.needed

default bound_denials := set()

bound_denials := data.bywire.bounds.deny if data.bywire.bounds.concerned

default glass_denials := set()

glass_denials := data.bywire.break_glass.deny if data.bywire.break_glass.presented

default exposure_denials := set()

exposure_denials := data.bywire.vsa.deny if data.bywire.vsa.needed

default weight_denials := set()

weight_denials := data.bywire.rollout.deny if data.bywire.rollout.concerned

default return_denials := set()

return_denials := data.bywire.retreat.deny if data.bywire.retreat.concerned

default secret_denials := set()

secret_denials := data.bywire.secrets.deny if data.bywire.secrets.concerned

default runbook_denials := set()

runbook_denials := data.bywire.runbook.deny if data.bywire.runbook.starts

found := first_denials if {
	reads
	count(data.bywire.shadow.enforced(first_denials)) > 0
}

else := first_denials | later_denials

denials := data.bywire.shadow.enforced(found)

pending := data.bywire.approval.pending

# A broken glass lifts what is soft, and only where something stands in the way.
lifted if {
	data.bywire.break_glass.fits
	count(overruled) > 0
	every rule in overruled {
		not data.bywire.verdict.is_hard(rule)
	}
}

overruled := {reason.rule | some reason in denials | pending}

broken := {"rule": "allow.break_glass", "facts": {"id": data.bywire.break_glass.id, "person": data.bywire.break_glass.person, "tool": data.bywire.capability.tool}}

broken_obligation := {
	"kind": "break_glass", "id": data.bywire.break_glass.id, "person": data.bywire.break_glass.person,
	"lifted": sort([rule | some rule in overruled]),
}

# One that does not fit changes nothing, and says why.
default glass_notes := set()

glass_notes := data.bywire.break_glass.misfit if data.bywire.break_glass.presented

# What every effect needs to be told; a section that is absent is never read as "nothing to object to".
sections := {"action", "change", "facts", "operator", "principal", "state"}

# An action outside every delivery has no change to speak of; one that exposes an artifact always has.
about_change if data.bywire.vsa.needed

about_change if object.get(input, "change", {}) != {}

question_denials contains {"rule": "input.version", "facts": {"version": object.get(input, "version", null)}} if {
	not input.version == 1
}

question_denials contains {"rule": "action.precondition_unmet", "facts": {"tool": data.bywire.capability.tool, "precondition": name}} if {
	some name in facts.list_at(["action", "unmet_preconditions"])
	not data.bywire.retreat.authorised
}

# An agent's own policy (agents/NAME.rego of the bundle) can forbid it more, and nothing else.
question_denials contains denial if {
	is_string(input.principal.id)
	some denial in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].deny
}

shape_denials contains {"rule": "input.incomplete", "facts": {"missing": missing}} if {
	absent := [section | some section in sections; not is_object(object.get(input, section, null))]
	missing := sort(joined([absent, unobserved, untold, uninspected, nowhere]))
	count(missing) > 0
}

untold := [part | some part, told_of in parts; not told_of] if about_change

else := []

parts := {
	"change.authors": facts.authors_told, "change.migrations": facts.migrations_told,
	"change.patch_authors": facts.patch_authors_told, "change.paths": facts.paths_told,
	"facts.manifests": facts.manifests_told,
}

# A connected tool's parameters were looked through, and a connection leads somewhere.
default uninspected := []

uninspected := ["action.findings"] if {
	data.bywire.capability.connected
	not data.bywire.inspect.told
}

default nowhere := []

nowhere := ["action.destination"] if {
	data.bywire.egress.concerned
	not data.bywire.egress.told
}

# Whether the target meets the contract's preconditions is asked before every effect.
default unobserved := []

unobserved := ["action.unmet_preconditions"] if not facts.is_list_of_strings(["action", "unmet_preconditions"])

shape_denials contains {"rule": "input.clock", "facts": {"now_ms": object.get(input, "now_ms", null)}} if {
	not timed
}

timed if is_number(input.now_ms)
