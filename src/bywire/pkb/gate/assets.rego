# Prompts, data sets and adapters are governed artifacts: each made asset says from what, by whom and when.
package bywire.gate.assets

import data.bywire.facts
import data.bywire.gate.needs

judged if needs.needed("assets")

all := facts.objects_at(["facts", "assets"])

max_age := needs.limit("asset_provenance_max_age_days")

value(asset, name) := object.get(asset, name, null)

deny contains {"rule": "gate.asset_kind_unknown", "facts": {"asset": value(asset, "name"), "kind": value(asset, "kind")}} if {
	judged
	some asset in all
	not value(asset, "kind") in data.bywire.table.assets.kinds
}

deny contains {"rule": "gate.asset_provenance_missing", "facts": {"asset": value(asset, "name"), "path": value(asset, "path")}} if {
	judged
	some asset in all
	value(asset, "kind") in data.bywire.table.assets.provenance_for
	not is_object(value(asset, "provenance"))
}

deny contains {"rule": "gate.asset_provenance_signer", "facts": {"asset": value(asset, "name"), "statement": object.get(asset, ["provenance", "statement"], null)}} if {
	judged
	some asset in all
	is_object(value(asset, "provenance"))
	object.get(asset, ["provenance", "signer_listed"], null) != true
}

deny contains {"rule": "gate.asset_provenance_subject", "facts": {"asset": value(asset, "name"), "digest": value(asset, "digest")}} if {
	judged
	some asset in all
	is_object(value(asset, "provenance"))
	object.get(asset, ["provenance", "subject_matches"], null) != true
}

deny contains {"rule": "gate.asset_provenance_stale", "facts": {"asset": value(asset, "name"), "path": value(asset, "path"), "materials": materials, "age_days": age, "limit_days": max_age}} if {
	judged
	some asset in all
	is_object(value(asset, "provenance"))
	materials := object.get(asset, ["provenance", "stale_materials"], null)
	age := object.get(asset, ["provenance", "age_days"], null)
	not fresh(materials, age)
}

fresh(materials, age) if {
	materials == []
	facts.at_least(max_age, age)
}
