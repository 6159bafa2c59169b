package bywire.runbook_test

import data.bywire.fixtures

starting(changed) := fixtures.door(fixtures.asking("start_runbook", "incident_mitigation", object.union(fixtures.runbook, changed)), {})

step(tool) := {"tool": tool, "parameters": {}}

test_fires_runbook_steps_missing if fixtures.fires(starting({"steps": []}), "deny", "runbook.steps_missing")

test_quiet_runbook_steps_missing if fixtures.quiet(starting({}), "approval_needed", "runbook.steps_missing")

test_a_step_is_an_object if fixtures.fires(starting({"steps": ["reboot"]}), "deny", "runbook.steps_missing")

test_fires_runbook_step_forbidden if fixtures.fires(starting({"steps": [step("rotate_secret")]}), "deny", "runbook.step_forbidden")

test_quiet_runbook_step_forbidden if fixtures.quiet(starting({"steps": [step("rollback_release")]}), "approval_needed", "runbook.step_forbidden")

test_runbooks_start_no_runbooks if fixtures.fires(starting({"steps": [step("start_runbook")]}), "deny", "runbook.step_forbidden")

test_nor_tools_that_nobody_knows if fixtures.fires(starting({"steps": [step("reboot")]}), "deny", "runbook.step_forbidden")

test_fires_runbook_misplaced if fixtures.fires(starting({"service": "ledger"}), "deny", "runbook.misplaced")

test_quiet_runbook_misplaced if fixtures.quiet(starting({}), "approval_needed", "runbook.misplaced")

approved := object.union(fixtures.runbook_grant, {"action_digest": fixtures.other})

test_people_start_a_runbook if fixtures.fires(
	fixtures.door(fixtures.asking("start_runbook", "incident_mitigation", fixtures.runbook), {"grant": approved}),
	"allow", "allow.grant",
)
