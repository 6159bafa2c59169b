# Does the grant at hand fit this action? A forged or revoked one is refused; one that no longer fits asks again (RULES 18, 20).
package bywire.grant

import data.bywire.facts

present if is_object(object.get(input, "grant", null))

field(name) := object.get(input, ["grant", name], null)

id := field("id")

approver := field("approver")

# Hard: no signature, no grant. One forged approval spoils the others.
deny contains {"rule": "grant.signature_invalid", "facts": {"grant": id, "approver": approver}} if {
	not input.grant.signature_verified == true
}

deny contains {"rule": "grant.signature_invalid", "facts": {"grant": id, "approver": by}} if {
	some approval in data.bywire.quorum.approvals
	object.get(approval, "signature_verified", null) != true
	by := object.get(approval, "approver", null)
}

deny contains {"rule": "grant.signature_invalid", "facts": {"grant": id, "approver": approver}} if {
	data.bywire.quorum.listed
	not facts.is_list_of_objects(["grant", "approvals"])
}

# Hard: an agent never approves.
deny contains {"rule": "grant.approver_not_person", "facts": {"grant": id, "approver": by}} if {
	some by in array.concat([approver], data.bywire.quorum.approvers)
	not data.bywire.quorum.is_person(by)
}

deny contains {"rule": "grant.revoked", "facts": {"grant": id}} if {
	not input.grant.revoked == false
}

misfit contains {"rule": "grant.expired", "facts": {"grant": id, "expires_at_ms": field("expires_at_ms"), "now_ms": object.get(input, "now_ms", null)}} if {
	not current
}

current if facts.before(input.now_ms, input.grant.expires_at_ms)

misfit contains {"rule": "grant.used_up", "facts": {"grant": id, "uses_left": field("uses_left")}} if not usable

usable if facts.at_least(input.grant.uses_left, 1)

misfit contains {"rule": "grant.bundle_changed", "facts": {"approved_under": field("bundle_digest"), "bundle": object.get(input, ["state", "bundle_digest"], null)}} if {
	not same_bundle
}

same_bundle if facts.same_text(input.grant.bundle_digest, input.state.bundle_digest)

misfit contains {"rule": "grant.evidence_changed", "facts": {"grant": id}} if {
	not input.grant.evidence_digest_matches == true
}

misfit contains reason if {
	not data.bywire.quorum.complete
	some reason in data.bywire.quorum.misfit
}

exact if facts.same_text(input.grant.action_digest, input.action.digest)

misfit contains {"rule": "grant.action_mismatch", "facts": {"approved": field("action_digest"), "asked": asked}} if {
	not exact
	not data.bywire.plan_coverage.claimed
	not data.bywire.runbook_coverage.claimed
	asked := object.get(input, ["action", "digest"], null)
}

misfit contains reason if {
	not exact
	data.bywire.plan_coverage.claimed
	some reason in data.bywire.plan_coverage.misfit
}

misfit contains reason if {
	not exact
	data.bywire.runbook_coverage.claimed
	some reason in data.bywire.runbook_coverage.misfit
}

sound if {
	present
	count(misfit) == 0
	count(deny) == 0
}

# A runbook is for its steps: data is changed by what it foresees, never by a signature on one action.
fits_exactly if {
	exact
	sound
	data.bywire.capability.posture != "runbook"
}

fits_plan if {
	not exact
	sound
	data.bywire.plan_coverage.covers
}

fits_runbook if {
	not exact
	sound
	data.bywire.runbook_coverage.covers
}
