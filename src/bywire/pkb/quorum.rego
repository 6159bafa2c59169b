# How many different people have agreed in a role that counts (RULES 19).
package bywire.quorum

import data.bywire.facts

listed if "approvals" in object.keys(input.grant)

# A grant that knows of no list is the word of its one approver.
approvals := facts.objects_at(["grant", "approvals"]) if listed

else := [{
	"approver": object.get(input, ["grant", "approver"], null),
	"role": object.get(input, ["grant", "approver_role"], null),
	"asserted_by": "key",
	"signature_verified": object.get(input, ["grant", "signature_verified"], null),
}]

approvers := [object.get(approval, "approver", null) | some approval in approvals]

is_person(id) if {
	is_string(id)
	startswith(id, "person:")
}

# A role counts when the operator's people hold it and the cell asks for it, or asked for it when a runbook was started.
holds_role(approval) if {
	role := object.get(approval, "role", null)
	role in countable
	role in facts.list_at(["operator", "approver_roles"])
}

countable := array.concat(data.bywire.approval_gate.roles, data.bywire.runbook_coverage.starting_roles) if data.bywire.runbook_coverage.claimed

else := data.bywire.approval_gate.roles

# What a channel says that lacks the person's key counts in low tiers only.
asserted(approval) if object.get(approval, "asserted_by", null) == "key"

asserted(_) if data.bywire.approval_gate.channels_count

agreed := {approval.approver |
	some approval in approvals
	is_person(approval.approver)
	approval.signature_verified == true
	holds_role(approval)
	asserted(approval)
}

have := count(agreed)

need := data.bywire.approval_gate.need

complete if have >= need

# What an incomplete quorum lacks.
misfit contains {"rule": "approval.quorum_incomplete", "facts": {"have": have, "need": need, "roles": countable}} if {
	have < need
}

misfit contains {"rule": "grant.role_not_allowed", "facts": {"approver": approver, "role": role, "allowed": countable}} if {
	some approval in approvals
	not holds_role(approval)
	approver := object.get(approval, "approver", null)
	role := object.get(approval, "role", null)
}

misfit contains {"rule": "grant.channel_capped", "facts": {"approver": approver, "tier": data.bywire.tier.level}} if {
	some approval in approvals
	not asserted(approval)
	approver := object.get(approval, "approver", null)
}
