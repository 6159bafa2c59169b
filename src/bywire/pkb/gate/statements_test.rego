package bywire.gate.statements_test

import data.bywire.fixtures

test_fires_gate_statement_unverified if fixtures.fires(fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [object.union(fixtures.statements[2], {"verified": false})])}}), "deny", "gate.statement_unverified")

test_quiet_gate_statement_unverified if fixtures.quiet(fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [object.union(fixtures.statements[2], {})])}}), "allow", "gate.statement_unverified")

test_fires_gate_evidence_stale if fixtures.fires(fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [object.union(fixtures.statements[2], {"age_seconds": 86401})])}}), "deny", "gate.evidence_stale")

test_quiet_gate_evidence_stale if fixtures.quiet(fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [object.union(fixtures.statements[2], {"age_seconds": 86400})])}}), "allow", "gate.evidence_stale")

test_fires_gate_statement_missing if fixtures.fires(fixtures.gate({"facts": {"statements": array.slice(fixtures.statements, 1, 6)}}), "deny", "gate.statement_missing")

test_quiet_gate_statement_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.statement_missing")

test_fires_gate_statement_signer if fixtures.fires(fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [object.union(fixtures.statements[2], {"signer": {"role": "approver"}})])}}), "deny", "gate.statement_signer")

test_quiet_gate_statement_signer if fixtures.quiet(fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [object.union(fixtures.statements[2], {"signer": {"role": "builder"}})])}}), "allow", "gate.statement_signer")

test_fires_gate_author_vouches if fixtures.fires(fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [object.union(fixtures.statements[2], {"signer": {"name": "person:dana"}})])}}), "deny", "gate.author_vouches")

test_quiet_gate_author_vouches if fixtures.quiet(fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [object.union(fixtures.statements[2], {"signer": {"name": "person:lee"}})])}}), "allow", "gate.author_vouches")

test_an_author_may_sign_a_plan if fixtures.quiet(
	fixtures.gate({"facts": {"statements": array.concat(fixtures.statements, [fixtures.statement("https://bywire.dev/plan/v1", "agent", "person:dana")])}}),
	"allow", "gate.author_vouches",
)
