package bywire.gate.needs_test

import data.bywire.fixtures

test_fires_gate_input_version if fixtures.fires(fixtures.gate({"version": 2}), "deny", "gate.input_version")

test_quiet_gate_input_version if fixtures.quiet(fixtures.gate({}), "allow", "gate.input_version")

test_fires_gate_input_incomplete if fixtures.fires(fixtures.gate({"change": {"paths": null}}), "deny", "gate.input_incomplete")

test_quiet_gate_input_incomplete if fixtures.quiet(fixtures.gate({}), "allow", "gate.input_incomplete")

test_fires_gate_environment_unknown if fixtures.fires(fixtures.gate({"action": {"environment": "moon"}}), "deny", "gate.environment_unknown")

test_quiet_gate_environment_unknown if fixtures.quiet(fixtures.gate({"action": {"environment": "staging"}}), "allow", "gate.environment_unknown")

test_fires_gate_subject_missing if fixtures.fires(fixtures.gate({"facts": {"subject": ""}}), "deny", "gate.subject_missing")

test_quiet_gate_subject_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.subject_missing")
