package bywire.gate_test

import data.bywire.fixtures

test_fires_gate_passed if fixtures.fires(fixtures.gate({}), "allow", "gate.passed")

test_quiet_gate_passed if fixtures.quiet(fixtures.gate({"facts": {"subject": ""}}), "deny", "gate.passed")

test_fires_gate_undecided if fixtures.fires(fixtures.gate_undecided, "deny", "gate.undecided")

test_quiet_gate_undecided if fixtures.quiet(fixtures.gate({}), "allow", "gate.undecided")
