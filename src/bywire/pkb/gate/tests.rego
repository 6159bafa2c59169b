# What the Tester proved: the service's tests, coverage of what changed, and the assistant's evaluation.
package bywire.gate.tests

import data.bywire.facts
import data.bywire.gate.needs

tests := needs.fact("tests")

evaluation := needs.fact("evaluation")

number(name) := object.get(tests, name, null)

deny contains {"rule": "gate.tests_missing", "facts": {"environment": needs.environment}} if {
	needs.needed("tests")
	not needs.have("tests")
}

deny contains {"rule": "gate.tests_none_passed", "facts": {"passed": passed}} if {
	is_object(tests)
	passed := number("passed")
	not facts.at_least(passed, 1)
}

deny contains {"rule": "gate.tests_failed", "facts": {"failed": number("failed"), "errors": number("errors")}} if {
	is_object(tests)
	not none_failed
}

none_failed if {
	tests.failed == 0
	tests.errors == 0
}

deny contains {"rule": "gate.tests_timed_out", "facts": {"environment": needs.environment}} if {
	is_object(tests)
	object.get(tests, "timed_out", null) != false
}

# Hard: a change never takes away the tests that judge it.
deny contains {"rule": "gate.removed_tests", "facts": {"removed": number("removed_tests")}} if {
	is_object(tests)
	number("removed_tests") != 0
}

default coverage := null

coverage := number("coverage_changed_lines") if is_object(tests)

coverage_limit := needs.limit("coverage_changed_lines")

deny contains {"rule": "gate.coverage_missing", "facts": {"limit": coverage_limit}} if {
	needs.needed("coverage")
	is_object(tests)
	coverage == null
	not nothing_to_cover
}

# A change with no executable line has nothing to cover; the Tester says so with a count.
nothing_to_cover if object.get(tests, "changed_lines", null) == 0

deny contains {"rule": "gate.coverage_below", "facts": {"coverage": coverage, "limit": coverage_limit}} if {
	needs.needed("coverage")
	coverage != null
	not facts.at_least(coverage, coverage_limit)
}

deny contains {"rule": "gate.property_tests_missing", "facts": {"count": number("property_tests")}} if {
	needs.needed("property_tests")
	is_object(tests)
	not facts.at_least(number("property_tests"), 1)
}

deny contains {"rule": "gate.fault_injection_missing", "facts": {"count": number("fault_injections")}} if {
	needs.needed("fault_injections")
	is_object(tests)
	not facts.at_least(number("fault_injections"), 1)
}

assistant if count(facts.list_at(["facts", "assets"])) > 0

# Total on purpose: `not f(x)` with an undefined `x` holds in regorus and is undefined in OPA.
default cases := null

cases := object.get(evaluation, "cases", null) if is_object(evaluation)

default jailbreaks := null

jailbreaks := object.get(evaluation, "jailbreak_cases", null) if is_object(evaluation)

deny contains {"rule": "gate.evaluation_missing", "facts": {"environment": needs.environment}} if {
	needs.needed("evaluation")
	assistant
	not facts.at_least(cases, 1)
}

deny contains {"rule": "gate.evaluation_below", "facts": {"passed": passed, "cases": cases, "limit": limit}} if {
	assistant
	is_object(evaluation)
	passed := object.get(evaluation, "passed", null)
	limit := needs.limit("evaluation_pass_ratio")
	not ratio_at_least(passed, cases, limit)
}

deny contains {"rule": "gate.jailbreak_missing", "facts": {"environment": needs.environment}} if {
	needs.needed("evaluation")
	assistant
	not facts.at_least(jailbreaks, 1)
}

deny contains {"rule": "gate.jailbreak_below", "facts": {"refused": refused, "cases": jailbreaks, "limit": limit}} if {
	assistant
	is_object(evaluation)
	refused := object.get(evaluation, "jailbreak_refused", null)
	limit := needs.limit("jailbreak_refused_ratio")
	not ratio_at_least(refused, jailbreaks, limit)
}

# Multiplied out, so that no division rounds the answer; more successes than cases is nonsense, not success.
ratio_at_least(part, whole, limit) if {
	is_number(part)
	is_number(whole)
	is_number(limit)
	part <= whole
	part >= limit * whole
}
