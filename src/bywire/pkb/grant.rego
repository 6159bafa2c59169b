# Does the grant at hand fit this action? A forged or revoked one is refused; one that no longer fits asks again (RULES 18, 20).
package bywire.grant

import data.bywire.capability
import data.bywire.facts
import data.bywire.plan_coverage

present if is_object(object.get(input, "grant", null))

field(name) := object.get(input, ["grant", name], null)

approver := field("approver")

# Hard: no signature, no grant.
deny contains {"rule": "grant.signature_invalid", "facts": {"grant": field("id"), "approver": approver}} if {
	present
	field("signature_verified") != true
}

# Hard: an agent never approves.
deny contains {"rule": "grant.approver_not_person", "facts": {"grant": field("id"), "approver": approver}} if {
	present
	not by_person
}

by_person if {
	is_string(approver)
	startswith(approver, "person:")
}

deny contains {"rule": "grant.revoked", "facts": {"grant": field("id")}} if {
	present
	field("revoked") != false
}

misfit contains {"rule": "grant.expired", "facts": {"grant": field("id"), "expires_at_ms": expires, "now_ms": now}} if {
	present
	expires := field("expires_at_ms")
	now := object.get(input, "now_ms", null)
	not before(now, expires)
}

before(now, expires) if {
	is_number(now)
	is_number(expires)
	now < expires
}

misfit contains {"rule": "grant.used_up", "facts": {"grant": field("id"), "uses_left": uses}} if {
	present
	uses := field("uses_left")
	not facts.at_least(uses, 1)
}

misfit contains {"rule": "grant.bundle_changed", "facts": {"approved_under": bundle, "bundle": active}} if {
	present
	bundle := field("bundle_digest")
	active := object.get(input, ["state", "bundle_digest"], null)
	not facts.same_text(bundle, active)
}

misfit contains {"rule": "grant.evidence_changed", "facts": {"grant": field("id")}} if {
	present
	field("evidence_digest_matches") != true
}

misfit contains {"rule": "grant.role_not_allowed", "facts": {"approver": approver, "role": role, "allowed": capability.roles}} if {
	present
	role := field("approver_role")
	not role_allowed(role)
}

role_allowed(role) if {
	role in capability.roles
	role in facts.list_at(["operator", "approver_roles"])
}

exact if {
	present
	facts.same_text(field("action_digest"), object.get(input, ["action", "digest"], null))
}

misfit contains {"rule": "grant.action_mismatch", "facts": {"approved": field("action_digest"), "asked": asked}} if {
	present
	not exact
	not plan_coverage.claimed
	asked := object.get(input, ["action", "digest"], null)
}

misfit contains reason if {
	present
	not exact
	plan_coverage.claimed
	some reason in plan_coverage.misfit
}

fits_exactly if {
	exact
	count(misfit) == 0
	count(deny) == 0
}

fits_plan if {
	present
	not exact
	plan_coverage.covers
	count(misfit) == 0
	count(deny) == 0
}
