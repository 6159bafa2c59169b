# Trials of what asks a person, and of what is counted: an agent's own policy, and drafts that nobody has classified.
package bywire.agent_shadow_test

import data.bywire.fixtures

own := {"deploy-manager": {
	"deny": [],
	"approval": [{"rule": "agents.deploy-manager.approval_needed", "facts": {"tool": "github.do_it"}}],
	"debits": [{"unit": "actions", "period": "minute", "limit": 1000, "because": "agents.deploy-manager.budget"}],
}}

over := {"deploy-manager": {
	"deny": [{"rule": "agents.deploy-manager.budget", "facts": {"observed": 1000}}],
	"approval": [],
	"debits": own["deploy-manager"].debits,
}}

entry(rule, owner) := {"rule": rule, "owner": owner, "expires_at_ms": 1790000000001, "environment": "non-production", "service": "storefront"}

asking(policies, shadow, changed) := decision if {
	question := object.union(object.union(fixtures.calling("repo_write", {}), {"principal": {"owner": "person:dana"}}), changed)
	decision := data.bywire.action.decision with input as object.union(question, {"shadow": shadow}) with data.bywire.agents as policies
}

needed := "agents.deploy-manager.approval_needed"

budget := "agents.deploy-manager.budget"

test_without_a_trial_a_person_is_asked if fixtures.fires(asking(own, [], {}), "approval_needed", needed)

test_a_person_is_not_asked_on_trial_and_that_is_recorded if {
	decision := asking(own, [entry(needed, "person:oncall")], {})
	fixtures.quiet(decision, "allow", needed)
	fixtures.obliges(decision, "shadowed", {"rule": needed, "owner": "person:oncall", "facts": {"tool": "github.do_it"}})
}

test_no_owner_spares_an_agent_the_asking if fixtures.fires(asking(own, [entry(needed, "person:dana")], {}), "approval_needed", needed)

test_a_person_is_asked_when_the_trial_is_over if fixtures.fires(
	asking(own, [object.union(entry(needed, "person:oncall"), {"expires_at_ms": 1790000000000})], {}),
	"approval_needed", needed,
)

test_a_person_is_asked_in_production if fixtures.fires(
	asking(own, [object.remove(entry(needed, "person:oncall"), ["environment"])], {"action": {"environment": "production"}}),
	"approval_needed", needed,
)

test_a_budget_refuses if fixtures.fires(asking(over, [], {}), "deny", budget)

test_a_budget_on_trial_is_counted_and_refuses_nothing if {
	decision := asking(over, [entry(budget, "person:oncall")], {})
	decision.effect == "allow"
	fixtures.obliges(decision, "shadowed", {"rule": budget, "owner": "person:oncall", "facts": {"observed": 1000}})
	fixtures.obliges(decision, "debit", {"unit": "actions", "limit": 1000, "because": budget, "shadowed": true})
}

test_another_trial_leaves_the_budget if {
	decision := asking(own, [entry(needed, "person:oncall")], {})
	fixtures.obliges(decision, "debit", {"because": budget})
	not fixtures.obliges(decision, "debit", {"shadowed": true})
}

# A tool that `bywire connect` drafted: nobody has said what it does.
drafted := object.union(fixtures.calling("unknown_write", {}), {
	"principal": {"owner": "person:dana"},
	"action": {"undo": null, "connected": {"reviewed": false, "risk": "high"}},
})

both(owner) := [entry("contract.unreviewed", owner), entry("contract.unclassified", owner)]

trying(shadow, changed) := fixtures.door(drafted, object.union({"shadow": shadow}, changed))

test_fires_contract_unclassified if fixtures.fires(trying([entry("contract.unreviewed", "person:oncall")], {}), "approval_needed", "contract.unclassified")

test_quiet_contract_unclassified if fixtures.quiet(trying(both("person:oncall"), {}), "allow", "contract.unclassified")

test_fires_allow_trial if fixtures.fires(trying(both("person:oncall"), {}), "allow", "allow.trial")

test_quiet_allow_trial if fixtures.quiet(trying([entry("contract.unreviewed", "person:oncall")], {}), "approval_needed", "allow.trial")

test_what_it_would_have_asked_is_recorded if {
	decision := trying(both("person:oncall"), {})
	fixtures.obliges(decision, "shadowed", {"rule": "contract.unclassified", "owner": "person:oncall"})
	fixtures.obliges(decision, "shadowed", {"rule": "contract.unreviewed", "owner": "person:oncall"})
}

in_staging := [object.union(trial, {"environment": "staging"}) | some trial in both("person:oncall")]

test_in_staging_too if fixtures.fires(trying(in_staging, {"action": {"environment": "staging"}}), "allow", "allow.trial")

test_never_in_production if fixtures.fires(
	trying([object.remove(trial, ["environment"]) | some trial in both("person:oncall")], {"action": {"environment": "production"}}),
	"deny", "contract.unreviewed",
)

test_never_in_production_once_reviewed if fixtures.fires(
	trying([object.remove(trial, ["environment"]) | some trial in both("person:oncall")], {"action": {"environment": "production", "connected": {"reviewed": true}}}),
	"approval_needed", "approval.required",
)

test_reviewed_it_is_no_draft_any_more if fixtures.fires(
	trying(both("person:oncall"), {"action": {"connected": {"reviewed": true}}}),
	"approval_needed", "approval.irreversible",
)

test_no_owner_tries_an_agent_of_their_own if fixtures.fires(trying(both("person:dana"), {}), "approval_needed", "contract.unclassified")

test_nobody_tries_it_on_their_own_word if fixtures.fires(
	trying(both("person:oncall"), {"principal": {"id": "person:oncall", "kind": "person", "owner": ""}}),
	"approval_needed", "contract.unclassified",
)

test_a_classified_write_is_asked_about if fixtures.fires(
	trying(both("person:oncall"), {"action": {"category": "environment_write"}}),
	"approval_needed", "approval.irreversible",
)

test_a_tainted_session_is_asked_about if fixtures.fires(
	trying(both("person:oncall"), {"state": {"session": {"integrity": "tainted"}}}),
	"approval_needed", "session.tainted",
)

tainted := {"state": {"session": {"integrity": "tainted"}}}

all_three := array.concat(both("person:oncall"), [entry("contract.tainted", "person:oncall")])

test_fires_contract_tainted if fixtures.fires(trying(both("person:oncall"), tainted), "approval_needed", "contract.tainted")

test_quiet_contract_tainted if fixtures.quiet(trying(all_three, tainted), "allow", "contract.tainted")

test_what_untrusted_text_may_have_asked_for_is_recorded if fixtures.obliges(
	trying(all_three, tainted),
	"shadowed", {"rule": "contract.tainted", "owner": "person:oncall"},
)

test_untrusted_text_alone_is_on_trial_for_nobody if fixtures.fires(
	trying([entry("contract.unreviewed", "person:oncall"), entry("contract.tainted", "person:oncall")], tainted),
	"approval_needed", "session.tainted",
)

test_what_is_classified_is_asked_about_after_untrusted_text if fixtures.fires(
	trying(all_three, object.union(tainted, {"action": {"category": "environment_write"}})),
	"approval_needed", "session.tainted",
)

test_who_is_asked_all_the_same_is_told_everything if fixtures.fires(
	trying(both("person:oncall"), {"state": {"session": {"integrity": "tainted"}}}),
	"approval_needed", "approval.irreversible",
)

test_what_may_be_a_payload_is_asked_about if fixtures.fires(
	trying(both("person:oncall"), {"action": {"findings": [fixtures.found("shell", false)]}}),
	"approval_needed", "inspect.uncertain",
)

test_a_payload_is_refused if fixtures.fires(
	trying(both("person:oncall"), {"action": {"findings": [fixtures.found("secret", true)]}}),
	"deny", "inspect.secret",
)

test_a_changed_definition_is_refused if fixtures.fires(
	trying(both("person:oncall"), {"action": {"connected": {"definition": "changed"}}}),
	"deny", "contract.definition_changed",
)

test_a_budget_is_kept if fixtures.fires(trying(both("person:oncall"), {"state": {"budget": {"observed": 100}}}), "deny", "state.budget_exhausted")

test_what_its_agents_policy_asks_is_asked if {
	question := object.union(drafted, {"shadow": both("person:oncall")})
	decision := data.bywire.action.decision with input as question with data.bywire.agents as own
	fixtures.fires(decision, "approval_needed", needed)
}
