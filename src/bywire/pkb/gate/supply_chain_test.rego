package bywire.gate.supply_chain_test

import data.bywire.fixtures

test_fires_gate_sbom_missing if fixtures.fires(fixtures.gate({"facts": {"sbom": null}}), "deny", "gate.sbom_missing")

test_quiet_gate_sbom_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.sbom_missing")

test_fires_gate_sbom_incomplete if fixtures.fires(fixtures.gate({"facts": {"sbom": {"completeness": 0.94}}}), "deny", "gate.sbom_incomplete")

test_quiet_gate_sbom_incomplete if fixtures.quiet(fixtures.gate({"facts": {"sbom": {"completeness": 0.95}}}), "allow", "gate.sbom_incomplete")

test_fires_gate_sbom_subject if fixtures.fires(fixtures.gate({"facts": {"sbom": {"subject_matches": false}}}), "deny", "gate.sbom_subject")

test_quiet_gate_sbom_subject if fixtures.quiet(fixtures.gate({}), "allow", "gate.sbom_subject")

test_fires_gate_provenance_missing if fixtures.fires(fixtures.gate({"facts": {"provenance": null}}), "deny", "gate.provenance_missing")

test_quiet_gate_provenance_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.provenance_missing")

test_fires_gate_provenance_level if fixtures.fires(fixtures.gate({"facts": {"provenance": {"level": 0}}}), "deny", "gate.provenance_level")

test_quiet_gate_provenance_level if fixtures.quiet(fixtures.gate({}), "allow", "gate.provenance_level")

test_fires_gate_provenance_signer if fixtures.fires(fixtures.gate({"facts": {"provenance": {"signer": "key-agent"}}}), "deny", "gate.provenance_signer")

test_quiet_gate_provenance_signer if fixtures.quiet(fixtures.gate({}), "allow", "gate.provenance_signer")

test_fires_gate_provenance_subject if fixtures.fires(fixtures.gate({"facts": {"provenance": {"subject_matches": false}}}), "deny", "gate.provenance_subject")

test_quiet_gate_provenance_subject if fixtures.quiet(fixtures.gate({}), "allow", "gate.provenance_subject")

test_fires_gate_provenance_source if fixtures.fires(fixtures.gate({"facts": {"provenance": {"source_matches": false}}}), "deny", "gate.provenance_source")

test_quiet_gate_provenance_source if fixtures.quiet(fixtures.gate({}), "allow", "gate.provenance_source")

test_an_unlisted_signer_is_no_builder if fixtures.fires(fixtures.gate({"facts": {"provenance": {"signer_listed": false}}}), "deny", "gate.provenance_signer")
