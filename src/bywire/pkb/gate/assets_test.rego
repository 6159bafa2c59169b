package bywire.gate.assets_test

import data.bywire.fixtures

test_fires_gate_asset_kind_unknown if fixtures.fires(fixtures.gate({"facts": {"assets": [fixtures.prompt, object.union(fixtures.adapter, {"kind": "weights"})]}}), "deny", "gate.asset_kind_unknown")

test_quiet_gate_asset_kind_unknown if fixtures.quiet(fixtures.gate({}), "allow", "gate.asset_kind_unknown")

test_fires_gate_asset_provenance_missing if fixtures.fires(fixtures.gate({"facts": {"assets": [fixtures.prompt, object.union(fixtures.adapter, {"provenance": null})]}}), "deny", "gate.asset_provenance_missing")

test_quiet_gate_asset_provenance_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.asset_provenance_missing")

test_fires_gate_asset_provenance_signer if fixtures.fires(fixtures.gate({"facts": {"assets": [fixtures.prompt, object.union(fixtures.adapter, {"provenance": {"signer_listed": false}})]}}), "deny", "gate.asset_provenance_signer")

test_quiet_gate_asset_provenance_signer if fixtures.quiet(fixtures.gate({}), "allow", "gate.asset_provenance_signer")

test_fires_gate_asset_provenance_subject if fixtures.fires(fixtures.gate({"facts": {"assets": [fixtures.prompt, object.union(fixtures.adapter, {"provenance": {"subject_matches": false}})]}}), "deny", "gate.asset_provenance_subject")

test_quiet_gate_asset_provenance_subject if fixtures.quiet(fixtures.gate({}), "allow", "gate.asset_provenance_subject")

test_fires_gate_asset_provenance_stale if fixtures.fires(fixtures.gate({"facts": {"assets": [fixtures.prompt, object.union(fixtures.adapter, {"provenance": {"age_days": 31}})]}}), "deny", "gate.asset_provenance_stale")

test_quiet_gate_asset_provenance_stale if fixtures.quiet(fixtures.gate({"facts": {"assets": [fixtures.prompt, object.union(fixtures.adapter, {"provenance": {"age_days": 30}})]}}), "allow", "gate.asset_provenance_stale")

test_stale_when_a_material_changed if fixtures.fires(
	fixtures.gate({"facts": {"assets": [object.union(fixtures.adapter, {"provenance": {"stale_materials": [{"name": "assistant-dataset", "recorded": "a", "actual": "b"}]}})]}}),
	"deny", "gate.asset_provenance_stale",
)
