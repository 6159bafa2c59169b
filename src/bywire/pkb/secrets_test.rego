package bywire.secrets_test

import data.bywire.fixtures

rotating(parameters, changed) := fixtures.door(fixtures.asking("rotate_secret", "secret_mutation", parameters), changed)

workflow := {"secret_name": "quotes", "via": "security_workflow"}

test_fires_action_secret_mutation if fixtures.fires(rotating(workflow, {}), "deny", "action.secret_mutation")

test_quiet_action_secret_mutation if fixtures.quiet(rotating(workflow, {"principal": fixtures.security}), "approval_needed", "action.secret_mutation")

test_fires_action_security_role_required if fixtures.fires(rotating(workflow, {"principal": object.union(fixtures.sam, {"roles": ["sre-oncall"]})}), "deny", "action.security_role_required")

test_quiet_action_security_role_required if fixtures.quiet(rotating(workflow, {"principal": fixtures.security}), "approval_needed", "action.security_role_required")

test_fires_action_security_workflow_required if fixtures.fires(rotating({"secret_name": "quotes", "via": "shell"}, {"principal": fixtures.security}), "deny", "action.security_workflow_required")

test_quiet_action_security_workflow_required if fixtures.quiet(rotating(workflow, {"principal": fixtures.security}), "approval_needed", "action.security_workflow_required")

colleague := object.union(object.remove(fixtures.grant, ["plan"]), {
	"kind": "single", "action_digest": fixtures.other,
	"approvals": [{"approver": "person:kim", "role": "security", "asserted_by": "key", "signature_verified": true}],
})

test_a_colleague_of_the_security_team_agrees if fixtures.fires(rotating(workflow, {"principal": fixtures.security, "grant": colleague}), "allow", "allow.grant")

test_nobody_agrees_with_themselves if fixtures.fires(
	rotating(workflow, {"principal": object.union(fixtures.security, {"id": "person:kim"}), "grant": colleague}),
	"deny", "duties.approver_is_requester",
)

test_no_agreement_lets_an_agent_in if fixtures.fires(rotating(workflow, {"grant": colleague}), "deny", "action.secret_mutation")
