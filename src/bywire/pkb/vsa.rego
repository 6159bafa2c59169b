# No evidence, no exposure: an action on an artifact needs the Auditor's passing summary for exactly that artifact.
package bywire.vsa

import data.bywire.capability
import data.bywire.facts
import data.bywire.principal

needed if "vsa" in capability.evidence

artifact := object.get(capability.parameters, "artifact", null)

vsa := object.get(input, ["facts", "vsa"], null)

present if is_object(vsa)

deny contains {"rule": "vsa.missing", "facts": {"artifact": artifact}} if {
	needed
	not present
}

deny contains {"rule": "vsa.artifact_missing", "facts": {"tool": capability.tool}} if {
	needed
	not names_artifact
}

names_artifact if {
	is_string(artifact)
	artifact != ""
}

deny contains {"rule": "vsa.failed", "facts": {"artifact": artifact, "statement": statement}} if {
	needed
	present
	object.get(vsa, "passed", null) != true
}

# The facts were gathered for one subject; the parameters name another.
deny contains {"rule": "vsa.subject_mismatch", "facts": {"artifact": artifact, "verified": subject}} if {
	needed
	present
	subject := object.get(input, ["facts", "subject"], null)
	not about(subject)
}

about(subject) if {
	subject == artifact
	vsa.subject_matches == true
}

deny contains {"rule": "vsa.bundle_changed", "facts": {"verified_under": bundle, "bundle": active}} if {
	needed
	present
	bundle := object.get(vsa, "bundle", null)
	active := object.get(input, ["state", "bundle_digest"], null)
	not facts.same_text(bundle, active)
}

deny contains {"rule": "vsa.signer", "facts": {"signer": signer, "signer_role": role}} if {
	needed
	present
	signer := object.get(vsa, "signer", null)
	role := object.get(vsa, "signer_role", null)
	not auditor(signer, role)
}

# The Auditor's own key, and never the one who asks.
auditor(signer, role) if {
	role == "agent"
	data.bywire.table.auditors[signer]
	signer != principal.id
}

statement := object.get(vsa, "statement", "") if present
