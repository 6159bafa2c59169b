package bywire.inspect_test

import data.bywire.fixtures

finding(findings) := {"action": {"findings": findings}}

writing(findings) := fixtures.door(fixtures.calling("repo_write", {}), finding(findings))

reading(findings) := fixtures.door(fixtures.calling("read", {}), finding(findings))

test_fires_inspect_secret if fixtures.fires(writing([fixtures.found("secret", true)]), "deny", "inspect.secret")

test_quiet_inspect_secret if fixtures.quiet(writing([]), "allow", "inspect.secret")

test_fires_inspect_encoded if fixtures.fires(writing([fixtures.found("encoded", true)]), "deny", "inspect.encoded")

test_quiet_inspect_encoded if fixtures.quiet(writing([]), "allow", "inspect.encoded")

test_fires_inspect_shell if fixtures.fires(writing([fixtures.found("shell", true)]), "deny", "inspect.shell")

test_quiet_inspect_shell if fixtures.quiet(writing([]), "allow", "inspect.shell")

test_fires_inspect_path if fixtures.fires(writing([fixtures.found("path", true)]), "deny", "inspect.path")

test_quiet_inspect_path if fixtures.quiet(writing([]), "allow", "inspect.path")

test_fires_inspect_host if fixtures.fires(writing([fixtures.found("host", true)]), "deny", "inspect.host")

test_quiet_inspect_host if fixtures.quiet(writing([]), "allow", "inspect.host")

test_fires_inspect_size if fixtures.fires(writing([fixtures.found("size", true)]), "deny", "inspect.size")

test_quiet_inspect_size if fixtures.quiet(writing([]), "allow", "inspect.size")

test_what_is_not_said_to_be_uncertain_is_certain if fixtures.fires(
	writing([object.remove(fixtures.found("shell", true), ["certain"])]),
	"deny", "inspect.shell",
)

test_a_read_is_looked_through_too if fixtures.fires(reading([fixtures.found("path", true)]), "deny", "inspect.path")

test_fires_inspect_uncertain if fixtures.fires(writing([fixtures.found("encoded", false)]), "approval_needed", "inspect.uncertain")

test_quiet_inspect_uncertain if fixtures.quiet(reading([fixtures.found("encoded", false)]), "allow", "inspect.uncertain")

test_uncertain_personal_data_is_left if fixtures.quiet(writing([fixtures.found("pii", false)]), "allow", "inspect.uncertain")

test_fires_inspect_masked if fixtures.fires(writing([fixtures.found("pii", true)]), "sanitize", "inspect.masked")

test_quiet_inspect_masked if fixtures.quiet(writing([fixtures.found("phi", false)]), "allow", "inspect.masked")

test_the_mask_is_an_obligation if fixtures.obliges(
	writing([fixtures.found("phi", true), fixtures.found("pii", true)]), "mask",
	{"parameter": "body", "because": "inspect.masked"},
)

test_a_secret_in_a_question_is_masked if {
	decision := reading([fixtures.found("secret", true)])
	decision.effect == "sanitize"
	fixtures.obliges(decision, "mask", {"parameter": "body", "because": "inspect.masked"})
}

test_who_approves_sees_the_masked_action if {
	decision := fixtures.door(fixtures.calling("repo_write", {}), {"action": {"environment": "production", "findings": [fixtures.found("pii", true)]}})
	decision.effect == "approval_needed"
	fixtures.obliges(decision, "mask", {"parameter": "body"})
}

test_a_denial_masks_nothing if fixtures.quiet(
	writing([fixtures.found("pii", true), fixtures.found("shell", true)]),
	"deny", "inspect.masked",
)

test_parameters_that_nobody_looked_through_are_missing if {
	every findings in [null, {}, ["x"], [{"class": "new", "kind": "x", "parameter": "p", "certain": true}], [{"class": "shell", "kind": "x", "parameter": 7}]] {
		fixtures.fires(writing(findings), "deny", "input.incomplete")
	}
}

# A built-in tool's schema is closed and typed.
test_a_listed_tool_is_not_looked_through if fixtures.quiet(
	fixtures.door(fixtures.asking("get_deployment_status", "read", {}), finding([fixtures.found("secret", true)])),
	"allow", "inspect.secret",
)
