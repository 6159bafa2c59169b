# Whether a person must agree, who that may be, and what lets the action pass.
package bywire.approval

tool := data.bywire.capability.tool

environment := data.bywire.capability.environment

posture := data.bywire.capability.posture

always := {"approval", "pr_owner_approval", "runbook", "security_workflow"}

default needed := false

needed if {
	not exempt
	asked_for
}

asked_for if {
	asked_of_row
	not on_trial
}

asked_for if {
	risky_taint
	not on_trial
}

asked_for if data.bywire.principal.gated

asked_for if unlimited

asked_for if count(data.bywire.shadow.asked(own)) > 0

asked_for if data.bywire.inspect.doubtful

# What the tool's row and its contract ask, whoever calls it.
asked_of_row if posture in always

# Low risk passes alone where its tier's gate is automatic, too.
asked_of_row if {
	posture == "allow_if_low_risk"
	not alone
}

asked_of_row if {
	posture == "approval_if_release_gate"
	object.get(data.bywire.capability.parameters, "release_gate", false) != false
}

asked_of_row if irreversible

# Somebody signed that a draft is called for a while without asking each time (RULES 28).
on_trial if {
	asked_of_row
	count(data.bywire.contract.approval) > 0
	count(data.bywire.shadow.asked(data.bywire.contract.approval)) == 0
}

# Everything that a trial may spare, to be recorded where it does.
wishes := own | data.bywire.contract.approval if on_trial

else := own

# An agent's own policy (agents/NAME.rego of the bundle) can ask for a person, too.
own contains reason if {
	is_string(input.principal.id)
	some reason in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].approval
}

alone if {
	data.bywire.tier.level in data.bywire.table.tiers.low_risk
	data.bywire.approval_gate.kind == "automatic"
}

writes if not data.bywire.capability.category in {"read", "egress"}

# Untrusted text was read in this session: its high-risk actions need a person (RULES 22).
risky_taint if {
	writes
	data.bywire.state.tainted
	data.bywire.capability.risk in data.bywire.table.tiers.risky
}

# What cannot be undone, or nobody says how to undo, is not done alone.
irreversible if {
	writes
	not object.get(input, ["action", "undo"], null) in {"reversible", "compensatable"}
}

# A category that goes alone within a rate needs one to be counted.
unlimited if {
	data.bywire.capability.class.rate_limited
	not counted
}

counted if {
	some item in data.bywire.state.limits
	counts_tool(object.get(item, "name", null), concat("", ["tool:", tool]))
}

counts_tool(name, scope) if name == scope

counts_tool(name, scope) if {
	is_string(name)
	endswith(name, concat("", ["|", scope]))
}

exempt if data.bywire.retreat.authorised

# What a recorded rollout leaves behind may be cleared away once it has ended either way.
exempt if {
	data.bywire.capability.row.after_retreat
	data.bywire.retreat.recorded
	no_exposure
}

no_exposure if object.get(input, ["state", "target", "weight"], null) == 0

no_exposure if object.get(input, ["state", "target", "canary"], null) == ""

# Nobody has agreed yet, or not enough, or not to this.
pending contains {"rule": "approval.required", "facts": {"tool": tool, "environment": environment, "roles": data.bywire.approval_gate.roles, "count": data.bywire.approval_gate.need}} if {
	needed
	not data.bywire.grant.present
}

pending contains reason if {
	needed
	not data.bywire.grant.present
	some reason in notes
}

pending contains reason if {
	needed
	data.bywire.grant.present
	some reason in data.bywire.grant.misfit
}

pending contains {"rule": "approval.outside_window", "facts": {"tool": tool, "tier": data.bywire.tier.level, "change_window": window}} if {
	needed
	data.bywire.approval_gate.kind == "scheduled"
	not data.bywire.capability.row.keeps_exposure
	window := object.get(input, ["state", "change_window"], null)
	window != true
}

# Why a person is asked where the table alone would not.
notes contains {"rule": "session.tainted", "facts": {"tool": tool, "category": data.bywire.capability.category}} if risky_taint

notes contains {"rule": "approval.irreversible", "facts": {"tool": tool, "undo": object.get(input, ["action", "undo"], null)}} if irreversible

notes contains {"rule": "approval.pattern_gate", "facts": {"principal": data.bywire.principal.id, "pattern": data.bywire.principal.pattern_name, "tool": tool}} if {
	data.bywire.principal.gated
}

notes contains {"rule": "approval.rate_unlimited", "facts": {"tool": tool}} if unlimited

notes contains reason if some reason in data.bywire.shadow.asked(own)

notes contains reason if some reason in data.bywire.shadow.asked(data.bywire.contract.approval)

notes contains reason if some reason in data.bywire.inspect.notes

free if {
	not needed
	not on_trial
}

allow contains {"rule": "allow.table", "facts": {"tool": tool, "environment": environment, "row": data.bywire.capability.row.row}} if {
	free
	not exempt
	posture in {"allow", "approval_if_release_gate"}
}

allow contains {"rule": "allow.pull_request", "facts": {"tool": tool, "environment": environment}} if {
	free
	posture == "pr_only"
}

allow contains {"rule": "allow.low_risk", "facts": {"tool": tool, "environment": environment, "tier": data.bywire.tier.level}} if {
	free
	not exempt
	posture == "allow_if_low_risk"
}

allow contains {"rule": "allow.trial", "facts": {"tool": tool, "environment": environment, "owners": data.bywire.shadow.sparers("contract.unclassified")}} if {
	not needed
	on_trial
}

allow contains {"rule": "allow.retreat", "facts": {"tool": tool, "to": data.bywire.retreat.to}} if data.bywire.retreat.authorised

allow contains {"rule": "allow.settle", "facts": {"tool": tool, "environment": environment}} if {
	exempt
	not data.bywire.retreat.authorised
}

allow contains {"rule": "allow.grant", "facts": {"grant": data.bywire.grant.id, "approver": data.bywire.grant.approver}} if {
	needed
	data.bywire.grant.fits_exactly
}

allow contains {"rule": "allow.plan", "facts": {"grant": data.bywire.grant.id, "approver": data.bywire.grant.approver}} if {
	needed
	data.bywire.grant.fits_plan
}

allow contains {"rule": "allow.runbook", "facts": {"grant": data.bywire.grant.id, "approver": data.bywire.grant.approver, "tool": tool}} if {
	needed
	data.bywire.grant.fits_runbook
}

required := {"roles": data.bywire.approval_gate.roles, "count": data.bywire.approval_gate.need, "gate": data.bywire.approval_gate.kind} if needed

else := {}

obligation := {
	"kind": "approval", "roles": data.bywire.approval_gate.roles, "count": data.bywire.approval_gate.need,
	"gate": data.bywire.approval_gate.kind, "tier": data.bywire.tier.level,
}
