# Separation of duties compares persons (RULES 19): who wrote, owns or asked never approves.
package bywire.duties

import data.bywire.facts
import data.bywire.grant
import data.bywire.principal
import data.bywire.vsa

between := {"approver": grant.approver, "principal": principal.id}

deny contains {"rule": "duties.approver_is_author", "facts": between} if {
	grant.present
	grant.approver in facts.list_at(["change", "authors"])
}

deny contains {"rule": "duties.approver_wrote_patch", "facts": between} if {
	grant.present
	grant.approver in facts.list_at(["change", "patch_authors"])
}

deny contains {"rule": "duties.approver_owns_agent", "facts": between} if {
	grant.present
	grant.approver == principal.owner
}

deny contains {"rule": "duties.approver_is_requester", "facts": between} if {
	grant.present
	grant.approver == principal.id
}

# Nobody can be kept apart from authors who are not named.
deny contains {"rule": "duties.authors_unknown", "facts": {"artifact": vsa.artifact}} if {
	vsa.needed
	count(facts.list_at(["change", "authors"])) == 0
}
