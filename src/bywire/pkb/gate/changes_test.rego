package bywire.gate.changes_test

import data.bywire.fixtures

test_fires_gate_plan_missing if fixtures.fires(fixtures.gate({"facts": {"plan": null}}), "deny", "gate.plan_missing")

test_quiet_gate_plan_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.plan_missing")

test_fires_gate_change_set_missing if fixtures.fires(fixtures.gate({"facts": {"change_set": null}}), "deny", "gate.change_set_missing")

test_quiet_gate_change_set_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.change_set_missing")

test_fires_gate_intent_loosened if fixtures.fires(fixtures.gate({"change": {"loosened": ["rollout.steps"]}}), "deny", "gate.intent_loosened")

test_quiet_gate_intent_loosened if fixtures.quiet(fixtures.gate({"change": {"loosened": ["rollout.steps"]}, "action": {"environment": "non-production"}}), "allow", "gate.intent_loosened")

test_fires_gate_loosening_ignored if fixtures.fires(fixtures.gate({"change": {"loosened": ["rollout.steps"]}, "action": {"environment": "non-production"}}), "allow", "gate.loosening_ignored")

test_quiet_gate_loosening_ignored if fixtures.quiet(fixtures.gate({"change": {"loosened": ["rollout.steps"]}}), "deny", "gate.loosening_ignored")

test_fires_gate_irreversible_migration if fixtures.fires(fixtures.gate({"change": {"migrations": [{"path": "migrations/8.sql", "reversible": false}]}}), "deny", "gate.irreversible_migration")

test_quiet_gate_irreversible_migration if fixtures.quiet(fixtures.gate({}), "allow", "gate.irreversible_migration")

test_fires_gate_auditor_is_author if fixtures.fires(fixtures.gate({"change": {"patch_authors": ["agent:auditor"]}}), "deny", "gate.auditor_is_author")

test_quiet_gate_auditor_is_author if fixtures.quiet(fixtures.gate({}), "allow", "gate.auditor_is_author")

test_fires_gate_auditor_not_listed if fixtures.fires(fixtures.gate({"principal": {"id": "agent:coder"}}), "deny", "gate.auditor_not_listed")

test_quiet_gate_auditor_not_listed if fixtures.quiet(fixtures.gate({}), "allow", "gate.auditor_not_listed")

test_fires_gate_authors_missing if fixtures.fires(fixtures.gate({"change": {"authors": []}}), "deny", "gate.authors_missing")

test_quiet_gate_authors_missing if fixtures.quiet(fixtures.gate({}), "allow", "gate.authors_missing")

test_fires_gate_build_failed if fixtures.fires(fixtures.gate({"facts": {"change_set": {"build": {"exit_code": 1, "timed_out": false}}}}), "deny", "gate.build_failed")

test_quiet_gate_build_failed if fixtures.quiet(fixtures.gate({"facts": {"change_set": {"build": {"exit_code": 0, "timed_out": false}}}}), "allow", "gate.build_failed")

test_fires_gate_lint_failed if fixtures.fires(fixtures.gate({"facts": {"change_set": {"lint": {"exit_code": 0, "timed_out": true}}}}), "deny", "gate.lint_failed")

test_quiet_gate_lint_failed if fixtures.quiet(fixtures.gate({"facts": {"change_set": {"lint": {"exit_code": 0, "timed_out": false}}}}), "allow", "gate.lint_failed")

test_nothing_loosened_is_nothing_to_note if fixtures.quiet(fixtures.gate({"action": {"environment": "non-production"}}), "allow", "gate.loosening_ignored")
