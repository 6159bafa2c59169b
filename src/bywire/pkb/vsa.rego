# No evidence, no exposure: an action on an artifact needs the Auditor's passing summary for exactly that artifact.
package bywire.vsa

import data.bywire.facts

needed if "vsa" in data.bywire.capability.evidence

artifact := data.bywire.capability.artifact

vsa := object.get(input, ["facts", "vsa"], null)

present if is_object(vsa)

deny contains {"rule": "vsa.missing", "facts": {"artifact": artifact}} if not present

deny contains {"rule": "vsa.artifact_missing", "facts": {"tool": data.bywire.capability.tool}} if not names_artifact

names_artifact if {
	is_string(artifact)
	artifact != ""
}

deny contains {"rule": "vsa.failed", "facts": {"artifact": artifact, "statement": statement}} if {
	present
	not vsa.passed == true
}

# The facts were gathered for one subject; the parameters name another.
deny contains {"rule": "vsa.subject_mismatch", "facts": {"artifact": artifact, "verified": object.get(input, ["facts", "subject"], null)}} if {
	present
	not about_artifact
}

about_artifact if {
	input.facts.subject == artifact
	vsa.subject_matches == true
}

deny contains {"rule": "vsa.bundle_changed", "facts": {"verified_under": object.get(vsa, "bundle", null), "bundle": object.get(input, ["state", "bundle_digest"], null)}} if {
	present
	not under_active_bundle
}

under_active_bundle if facts.same_text(vsa.bundle, input.state.bundle_digest)

deny contains {"rule": "vsa.signer", "facts": {"signer": object.get(vsa, "signer", null), "signer_role": object.get(vsa, "signer_role", null)}} if {
	present
	not by_auditor
}

# The Auditor's own key, and never the one who asks.
by_auditor if {
	vsa.signer_role == "agent"
	data.bywire.table.auditors[vsa.signer]
	vsa.signer != data.bywire.principal.id
}

statement := object.get(vsa, "statement", "") if present

# Nobody can be kept apart from authors who are not named.
deny contains {"rule": "duties.authors_unknown", "facts": {"artifact": artifact}} if {
	count(facts.list_at(["change", "authors"])) == 0
}
