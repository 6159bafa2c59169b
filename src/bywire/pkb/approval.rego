# Whether a person must agree, who that may be, and what lets the action pass.
package bywire.approval

import data.bywire.capability
import data.bywire.grant
import data.bywire.retreat
import data.bywire.state
import data.bywire.tier

always := {"approval", "pr_owner_approval", "human_only"}

needed if {
	not exempt
	capability.posture in always
}

needed if {
	not exempt
	capability.posture == "allow_if_low_risk"
	not low_risk
}

# Untrusted text was read in this session: its high-risk actions need a person (RULES 22).
needed if {
	not exempt
	risky_taint
}

risky_taint if {
	state.tainted
	capability.risk == "high"
}

low_risk if tier.level in data.bywire.table.tiers.low_risk

exempt if retreat.authorised

# What a recorded rollout leaves behind may be cleared away once it has ended either way.
exempt if {
	capability.row.after_retreat
	retreat.recorded
	no_exposure
}

no_exposure if object.get(input, ["state", "target", "weight"], null) == 0

no_exposure if object.get(input, ["state", "target", "canary"], null) == ""

pending contains {"rule": "approval.required", "facts": {"tool": capability.tool, "environment": capability.environment, "roles": capability.roles}} if {
	needed
	not grant.present
}

pending contains {"rule": "session.tainted", "facts": {"tool": capability.tool, "category": capability.category}} if {
	not exempt
	risky_taint
	not grant.present
}

pending contains reason if {
	needed
	some reason in grant.misfit
}

allow contains reason if {
	not needed
	not exempt
	some reason in capability.table_allows
}

allow contains {"rule": "allow.pull_request", "facts": {"tool": capability.tool, "environment": capability.environment}} if {
	not needed
	capability.posture == "pr_only"
}

allow contains {"rule": "allow.low_risk", "facts": {"tool": capability.tool, "environment": capability.environment, "tier": tier.level}} if {
	not needed
	not exempt
	capability.posture == "allow_if_low_risk"
}

allow contains {"rule": "allow.retreat", "facts": {"tool": capability.tool, "to": retreat.to}} if retreat.authorised

allow contains {"rule": "allow.settle", "facts": {"tool": capability.tool, "environment": capability.environment}} if {
	exempt
	not retreat.authorised
}

allow contains {"rule": "allow.grant", "facts": {"grant": grant.field("id"), "approver": grant.approver}} if {
	needed
	grant.fits_exactly
}

allow contains {"rule": "allow.plan", "facts": {"grant": grant.field("id"), "approver": grant.approver}} if {
	needed
	grant.fits_plan
}

required := {"roles": capability.roles, "count": 1} if needed

else := {}

obligation := {"kind": "approval", "roles": capability.roles, "count": 1}
