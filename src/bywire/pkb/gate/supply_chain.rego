# What the artifact is made of (CycloneDX SBOM) and where it came from (SLSA provenance v1).
package bywire.gate.supply_chain

import data.bywire.facts
import data.bywire.gate.needs

sbom := needs.fact("sbom")

provenance := needs.fact("provenance")

deny contains {"rule": "gate.sbom_missing", "facts": {"environment": needs.environment}} if {
	needs.needed("sbom")
	not needs.have("sbom")
}

deny contains {"rule": "gate.sbom_incomplete", "facts": {"completeness": completeness, "limit": limit}} if {
	is_object(sbom)
	completeness := object.get(sbom, "completeness", null)
	limit := needs.limit("sbom_completeness")
	not facts.at_least(completeness, limit)
}

deny contains {"rule": "gate.sbom_subject", "facts": {"subject": needs.subject}} if {
	is_object(sbom)
	object.get(sbom, "subject_matches", null) != true
}

deny contains {"rule": "gate.provenance_missing", "facts": {"environment": needs.environment}} if {
	needs.needed("provenance")
	not needs.have("provenance")
}

deny contains {"rule": "gate.provenance_level", "facts": {"level": level, "limit": limit}} if {
	is_object(provenance)
	level := object.get(provenance, "level", null)
	limit := needs.limit("provenance_level")
	not facts.at_least(level, limit)
}

deny contains {"rule": "gate.provenance_signer", "facts": {"signer": signer}} if {
	is_object(provenance)
	signer := object.get(provenance, "signer", null)
	not signed_by_builder(signer)
}

signed_by_builder(signer) if {
	provenance.signer_listed == true
	input.operator.signers[signer].role == "builder"
}

deny contains {"rule": "gate.provenance_subject", "facts": {"subject": needs.subject}} if {
	is_object(provenance)
	object.get(provenance, "subject_matches", null) != true
}

deny contains {"rule": "gate.provenance_source", "facts": {"recorded": recorded, "commit": commit}} if {
	is_object(provenance)
	object.get(provenance, "source_matches", null) != true
	recorded := object.get(provenance, "source_commit", null)
	commit := needs.fact("commit")
}
