package bywire.gate.manifests_test

import data.bywire.fixtures

test_fires_gate_network_policy_missing if fixtures.fires(fixtures.gate({"facts": {"manifests": [object.union(fixtures.workload, {}), object.union(fixtures.network_policy, {"namespace": "other"})]}}), "deny", "gate.network_policy_missing")

test_quiet_gate_network_policy_missing if fixtures.quiet(fixtures.gate({"facts": {"manifests": [object.union(fixtures.workload, {"pod_labels": {"app": "storefront"}}), object.union(fixtures.network_policy, {})]}}), "allow", "gate.network_policy_missing")

test_fires_gate_image_not_pinned if fixtures.fires(fixtures.gate({"facts": {"manifests": [object.union(fixtures.workload, {"images": ["registry.example/storefront:1.4"]}), object.union(fixtures.network_policy, {})]}}), "deny", "gate.image_not_pinned")

test_quiet_gate_image_not_pinned if fixtures.quiet(fixtures.gate({}), "allow", "gate.image_not_pinned")

test_fires_gate_image_missing if fixtures.fires(fixtures.gate({"facts": {"manifests": [object.union(fixtures.workload, {"images": []}), object.union(fixtures.network_policy, {})]}}), "deny", "gate.image_missing")

test_quiet_gate_image_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.image_missing")

test_fires_gate_run_as_root if fixtures.fires(fixtures.gate({"facts": {"manifests": [object.union(fixtures.workload, {"run_as_non_root": false}), object.union(fixtures.network_policy, {})]}}), "deny", "gate.run_as_root")

test_quiet_gate_run_as_root if fixtures.quiet(fixtures.gate({}), "allow", "gate.run_as_root")

test_fires_gate_privileged if fixtures.fires(fixtures.gate({"facts": {"manifests": [object.union(fixtures.workload, {"privileged": true}), object.union(fixtures.network_policy, {})]}}), "deny", "gate.privileged")

test_quiet_gate_privileged if fixtures.quiet(fixtures.gate({}), "allow", "gate.privileged")

test_fires_gate_manifest_unknown if fixtures.fires(fixtures.gate({"facts": {"manifests": [object.union(fixtures.workload, {"kind": "Rollout"}), object.union(fixtures.network_policy, {})]}}), "deny", "gate.manifest_unknown")

test_quiet_gate_manifest_unknown if fixtures.quiet(fixtures.gate({"facts": {"manifests": [object.union(fixtures.workload, {"kind": "StatefulSet"}), object.union(fixtures.network_policy, {})]}}), "allow", "gate.manifest_unknown")

test_fires_gate_manifests_too_many if fixtures.fires(fixtures.gate({"facts": {"manifests": many_manifests}}), "deny", "gate.manifests_too_many")

test_quiet_gate_manifests_too_many if fixtures.quiet(fixtures.gate({}), "allow", "gate.manifests_too_many")

test_an_empty_selector_isolates_every_pod if fixtures.quiet(
	fixtures.gate({"facts": {"manifests": [fixtures.workload, object.union(object.remove(fixtures.network_policy, ["selector"]), {"selector": {}})]}}),
	"allow", "gate.network_policy_missing",
)

isolating(changed) := fixtures.gate({"facts": {"manifests": [fixtures.workload, object.union(fixtures.network_policy, changed)]}})

test_a_policy_for_other_labels_isolates_nothing if fixtures.fires(isolating({"selector": {"app": "ledger"}}), "deny", "gate.network_policy_missing")

test_a_policy_of_another_api_isolates_nothing if fixtures.fires(isolating({"api_version": "example.com/v1"}), "deny", "gate.network_policy_missing")

test_another_kind_isolates_nothing if fixtures.fires(isolating({"kind": "Service"}), "deny", "gate.network_policy_missing")

test_a_policy_without_selector_isolates_nothing if fixtures.fires(isolating({"selector": null}), "deny", "gate.network_policy_missing")

many_manifests := [fixtures.workload | some _ in split(concat("", [padding, padding]), "")]

padding := "................................................................................................................................................................................................................................................................................................................................"
