# Secrets change through people of the security team and their workflow, never through an agent (seed 001, 4.1 and 4.3).
package bywire.secrets

import data.bywire.facts

concerned if data.bywire.capability.category == "secret_mutation"

deny contains {"rule": "action.secret_mutation", "facts": {"tool": data.bywire.capability.tool, "principal": data.bywire.principal.id}} if {
	not data.bywire.principal.is_person
}

deny contains {"rule": "action.security_role_required", "facts": {"tool": data.bywire.capability.tool, "principal": data.bywire.principal.id, "roles": roles}} if {
	data.bywire.principal.is_person
	roles := facts.list_at(["principal", "roles"])
	not "security" in roles
}

deny contains {"rule": "action.security_workflow_required", "facts": {"tool": data.bywire.capability.tool, "via": via}} if {
	via := object.get(data.bywire.capability.parameters, "via", "")
	via != "security_workflow"
}
