# Facts are believed only when a verified, fresh statement by the right kind of key stands behind them.
package bywire.gate.statements

import data.bywire.facts
import data.bywire.gate.changes
import data.bywire.gate.needs

all := facts.objects_at(["facts", "statements"])

max_age := needs.limit("evidence_max_age_seconds")

deny contains {"rule": "gate.statement_unverified", "facts": {"statement": digest, "predicate_type": type}} if {
	some statement in all
	object.get(statement, "verified", null) != true
	digest := object.get(statement, "digest", null)
	type := object.get(statement, "predicate_type", null)
}

deny contains {"rule": "gate.evidence_stale", "facts": {"statement": digest, "predicate_type": type, "age_seconds": age, "limit_seconds": max_age}} if {
	some statement in all
	age := object.get(statement, "age_seconds", null)
	not facts.at_least(max_age, age)
	digest := object.get(statement, "digest", null)
	type := object.get(statement, "predicate_type", null)
}

deny contains {"rule": "gate.statement_missing", "facts": {"fact": name, "predicate_type": expected.predicate_type}} if {
	some name, expected in data.bywire.table.statements
	needs.have(name)
	not stated(expected.predicate_type)
}

stated(type) if {
	some statement in all
	statement.predicate_type == type
	statement.verified == true
}

deny contains {"rule": "gate.statement_signer", "facts": {"predicate_type": expected.predicate_type, "role": role, "allowed": expected.signers}} if {
	some expected in data.bywire.table.statements
	some statement in all
	statement.predicate_type == expected.predicate_type
	role := object.get(statement, ["signer", "role"], null)
	not role in expected.signers
}

# Who wrote the change does not also vouch for it.
deny contains {"rule": "gate.author_vouches", "facts": {"signer": name, "predicate_type": statement.predicate_type}} if {
	some kind in {"tests", "evaluation", "sbom", "provenance"}
	some statement in all
	statement.predicate_type == data.bywire.table.statements[kind].predicate_type
	name := object.get(statement, ["signer", "name"], null)
	vouches_for_own(name)
}

vouches_for_own(name) if name in changes.authors

vouches_for_own(name) if not is_string(name)
