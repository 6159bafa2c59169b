package bywire.contract_test

import data.bywire.fixtures

calling(changed) := fixtures.door(fixtures.calling("repo_write", {}), {"action": {"connected": changed}})

test_fires_contract_unreviewed if fixtures.fires(calling({"reviewed": false}), "deny", "contract.unreviewed")

test_quiet_contract_unreviewed if fixtures.quiet(calling({"reviewed": true}), "allow", "contract.unreviewed")

test_only_true_is_reviewed if fixtures.fires(calling({"reviewed": "true"}), "deny", "contract.unreviewed")

test_an_unreviewed_read_is_denied_too if fixtures.fires(
	fixtures.door(fixtures.calling("read", {}), {"action": {"connected": {"reviewed": false}}}),
	"deny", "contract.unreviewed",
)

test_fires_contract_definition_changed if fixtures.fires(calling({"definition": "changed"}), "deny", "contract.definition_changed")

test_quiet_contract_definition_changed if fixtures.quiet(calling({"definition": "none"}), "allow", "contract.definition_changed")

test_a_definition_that_nobody_knows_has_changed if fixtures.fires(calling({"definition": null}), "deny", "contract.definition_changed")

entry(rule) := {"rule": rule, "owner": "person:dana", "expires_at_ms": 1790000000001, "environment": "staging", "service": "storefront"}

trying(category, environment, rule) := fixtures.door(fixtures.calling(category, {}), {
	"shadow": [entry(rule)],
	"action": {"environment": environment, "connected": {"reviewed": false, "definition": "current"}},
})

test_an_unreviewed_write_may_be_tried_outside_production if {
	decision := trying("repo_write", "staging", "contract.unreviewed")
	decision.effect == "allow"
	fixtures.obliges(decision, "shadowed", {"rule": "contract.unreviewed", "facts": {"tool": "github.do_it"}})
}

test_not_in_production if fixtures.fires(trying("repo_write", "production", "contract.unreviewed"), "deny", "shadow.refused")

test_not_elsewhere if fixtures.fires(trying("repo_write", "non-production", "contract.unreviewed"), "deny", "contract.unreviewed")

test_not_an_unreviewed_read_in_production if fixtures.fires(trying("read", "production", "contract.unreviewed"), "deny", "contract.unreviewed")

test_a_read_outside_production_may if fixtures.quiet(trying("read", "staging", "contract.unreviewed"), "allow", "contract.unreviewed")

test_a_changed_definition_is_never_tried if fixtures.fires(
	fixtures.door(fixtures.calling("repo_write", {}), {"shadow": [entry("contract.definition_changed")], "action": {"environment": "staging", "connected": {"definition": "changed"}}}),
	"deny", "contract.definition_changed",
)

# A contract's word is about connected tools; a listed tool has the row of the table whatever is said beside it.
test_a_listed_tool_is_not_connected if fixtures.quiet(
	fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"action": {"connected": {"upstream": "get_deployment_status", "reviewed": false, "definition": "changed", "risk": "low"}}}),
	"allow", "contract.unreviewed",
)

test_a_tool_belongs_to_its_upstream if fixtures.fires(calling({"upstream": "gitlab"}), "deny", "action.unknown_tool")

test_a_category_without_a_row_is_unknown if fixtures.fires(
	fixtures.door(fixtures.calling("egress", {}), {}),
	"deny", "action.unknown_tool",
)

test_a_change_that_is_told_counts if fixtures.quiet(
	fixtures.door(fixtures.calling("repo_write", {}), {"action": {"change": "d-1"}}),
	"approval_needed", "allow.low_risk",
)

test_a_risky_tool_is_no_low_risk if fixtures.quiet(
	fixtures.door(fixtures.calling("repo_write", {}), {"action": {"connected": {"risk": "high"}}}),
	"approval_needed", "allow.low_risk",
)

test_an_unknown_risk_is_the_highest if {
	fixtures.quiet(fixtures.door(fixtures.calling("repo_write", {}), {"action": {"connected": {"risk": "tiny"}}}), "approval_needed", "allow.low_risk")
	fixtures.quiet(fixtures.door(fixtures.calling("repo_write", {}), {"action": {"connected": {"risk": null}}}), "approval_needed", "allow.low_risk")
}

test_fires_contract_evidence_missing if fixtures.fires(calling({"evidence": "missing"}), "deny", "contract.evidence_missing")

test_quiet_contract_evidence_missing if fixtures.quiet(calling({"evidence": "recorded"}), "allow", "contract.evidence_missing")

test_a_contract_without_evidence_asks_for_none if fixtures.quiet(calling({}), "allow", "contract.evidence_missing")

test_evidence_of_which_nothing_is_known_is_missing if fixtures.fires(calling({"evidence": null}), "deny", "contract.evidence_missing")

test_evidence_is_missing_whatever_is_named if {
	decision := fixtures.door(fixtures.calling("repo_write", {}), {"action": {"connected": {"evidence": "missing"}, "evidence": ["aa", "bb"]}})
	some reason in decision.reasons
	reason.rule == "contract.evidence_missing"
	reason.facts == {"tool": "github.do_it", "named": 2}
}
