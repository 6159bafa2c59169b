# Separation of duties compares persons (RULES 19): who wrote, owns or asked never approves, alone or among others.
package bywire.duties

import data.bywire.facts

principal := data.bywire.principal.id

approvers := array.concat([data.bywire.grant.approver], data.bywire.quorum.approvers)

deny contains {"rule": "duties.approver_is_author", "facts": {"approver": approver, "principal": principal}} if {
	some approver in approvers
	approver in facts.list_at(["change", "authors"])
}

deny contains {"rule": "duties.approver_wrote_patch", "facts": {"approver": approver, "principal": principal}} if {
	some approver in approvers
	approver in facts.list_at(["change", "patch_authors"])
}

deny contains {"rule": "duties.approver_owns_agent", "facts": {"approver": approver, "principal": principal}} if {
	some approver in approvers
	approver == input.principal.owner
}

deny contains {"rule": "duties.approver_is_requester", "facts": {"approver": approver, "principal": principal}} if {
	some approver in approvers
	approver == input.principal.id
}
