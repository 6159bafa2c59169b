# The questions that the tests start from: a rollout about to be approved, and a release that passes the gate.
package bywire.fixtures

artifact := "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"

stable := "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2"

bundle := "c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3"

other := "d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4"

start_digest := "e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5"

plan_digest := "f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6"

operator := {
	"criticality": "payment", "tier_floor": "low",
	"limits": {
		"coverage_changed_lines": 0.8, "sbom_completeness": 0.95, "provenance_level": 1, "evaluation_pass_ratio": 0.9,
		"jailbreak_refused_ratio": 1, "asset_provenance_max_age_days": 30, "evidence_max_age_seconds": 86400,
		"rollout_ceiling": 100, "rollout_first_step": 5, "canary_lease_seconds": 30,
	},
	"environments": {"production": {"freeze": []}},
	"approver_roles": ["service-owner", "sre-oncall", "incident-commander", "database-owner", "security"],
	"gates": {"high": {"kind": "single", "count": 1, "roles": []}}, "tool_rates": {"rerun_job": 6},
	"signers": {"key-builder": {"role": "builder", "name": "workload:builder"}, "key-agent": {"role": "agent", "name": "agent:tester"}},
}

change := {
	"paths": ["storefront/quote.py", "tests/test_quote.py"], "authors": ["person:dana"], "patch_authors": ["agent:recourse"],
	"migrations": [{"path": "migrations/7.sql", "reversible": true}], "declared_tier": "medium", "touches_intent": false, "loosened": [],
}

statement(predicate_type, role, name) := {
	"digest": other, "predicate_type": predicate_type, "signer": {"keyid": "key-agent", "role": role, "name": name},
	"verified": true, "subjects": [artifact], "entry": 12, "age_seconds": 30,
}

statements := [
	statement("https://bywire.dev/plan/v1", "agent", "agent:planner"),
	statement("https://bywire.dev/change-set/v1", "agent", "agent:coder"),
	statement("https://bywire.dev/test-report/v1", "agent", "agent:tester"),
	statement("https://bywire.dev/evaluation-report/v1", "agent", "agent:tester"),
	statement("https://cyclonedx.org/bom", "builder", "workload:builder"),
	statement("https://slsa.dev/provenance/v1", "builder", "workload:builder"),
]

workload := {
	"path": "deploy/app.yaml", "api_version": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "storefront",
	"pod_labels": {"app": "storefront", "tier": "web"}, "selector": {}, "run_as_non_root": true, "privileged": false,
	"images": [concat("@sha256:", ["registry.example/storefront", artifact])],
}

network_policy := {
	"path": "deploy/policy.yaml", "api_version": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": "shop", "name": "storefront",
	"pod_labels": {}, "selector": {"app": "storefront"}, "run_as_non_root": false, "privileged": false, "images": [],
}

adapter := {
	"name": "assistant-adapter", "kind": "adapter", "path": "assets/adapter.json", "digest": other,
	"provenance": {"statement": other, "signer_listed": true, "subject_matches": true, "age_days": 3, "stale_materials": []},
}

prompt := {"name": "assistant-prompt", "kind": "prompt", "path": "assets/prompt.txt", "digest": stable, "provenance": null}

known := {
	"subject": artifact, "commit": "77", "statements": statements, "plan": {"tier": "high"}, "change_set": {"files": 2},
	"tests": {
		"passed": 41, "failed": 0, "errors": 0, "skipped": 0, "timed_out": false, "property_tests": 3, "fault_injections": 1,
		"coverage_changed_lines": 0.93, "removed_tests": 0, "isolation": "uid",
	},
	"evaluation": {"cases": 40, "passed": 39, "jailbreak_cases": 12, "jailbreak_refused": 12},
	"sbom": {"completeness": 0.98, "components": 12, "subject_matches": true},
	"provenance": {
		"level": 1, "builder": "https://bywire.dev/builder/local/v1", "signer": "key-builder", "signer_listed": true,
		"subject_matches": true, "source_commit": "77", "source_matches": true,
	},
	"manifests": [workload, network_policy], "assets": [prompt, adapter],
	"vsa": {
		"statement": other, "passed": true, "subject_matches": true, "bundle": bundle, "entry": 77,
		"signer_role": "agent", "signer": "agent:auditor",
	},
}

# Registered for everything, so that a test asks about one thing at a time.
registration := {
	"pattern": "constrained-executor", "tools": [tool | some tool, _ in data.bywire.table.capabilities],
	"environments": ["non-production", "production", "staging"], "expires_at_ms": null,
}

controller := {
	"id": "agent:release-controller", "kind": "agent", "owner": "person:dana", "role": "release-controller", "roles": [],
	"registration": registration,
}

# A person who is no agent's owner and holds no role.
sam := {"id": "person:sam", "kind": "person", "owner": "", "registration": null}

security := object.union(sam, {"roles": ["security"]})

rollout_plan := {
	"service": "storefront", "environment": "production", "artifact": artifact, "last_good": stable,
	"steps": [{"weight": 5, "segments": []}, {"weight": 25, "segments": ["desktop"]}, {"weight": 100, "segments": []}],
	"ceiling": 100, "warm": true, "origin": "built-in",
}

# start_rollout in production, nobody asked yet.
start := {
	"version": 1, "now_ms": 1790000000000, "principal": controller, "operator": operator, "change": change, "facts": known,
	"action": {
		"tool": "start_rollout", "category": "production_orchestration", "environment": "production", "service": "storefront",
		"digest": start_digest, "parameters": rollout_plan, "plan": "", "change": "d-1", "dry_run": false, "unmet_preconditions": [], "undo": "reversible", "integrity": "trusted",
	},
	"grant": null, "retreat": null, "break_glass": null, "shadow": [],
	"state": {
		"stop": false, "freeze_all": false, "freeze_window": false, "incident_mode": false, "bundle_digest": bundle,
		"change_window": null, "limits": [],
		"session": {"integrity": "trusted"}, "budget": {"observed": 3, "limit": 100},
		"target": {"stable": stable, "canary": "", "weight": 0},
	},
}

grant := {
	"id": "g-1", "kind": "plan", "approver": "person:oncall", "approver_role": "sre-oncall", "signature_verified": true,
	"action_digest": start_digest, "plan_digest": plan_digest, "evidence_digest_matches": true, "bundle_digest": bundle,
	"expires_at_ms": 1790000600000, "uses_left": 9, "revoked": false, "plan": rollout_plan, "approvals": [oncall],
}

oncall := {"approver": "person:oncall", "role": "sre-oncall", "asserted_by": "key", "signature_verified": true}

maria := {"approver": "person:maria", "role": "service-owner", "asserted_by": "key", "signature_verified": true}

retreat := {"last_good": stable, "authorised": true}

# What speaks for rolling back a deployment that bywire did not start, in an incident.
return_evidence := {
	"last_good": "", "authorised": false, "artifact_available": true, "irreversible_migrations": [],
	"compatibility_checked": true, "blast_radius": "one region, reads only",
}

counted := [{"name": "tool:rerun_job", "observed": 1, "limit": 6}, {"name": "tool:cancel_workflow", "observed": 0, "limit": 20}]

incident := {"state": {"incident_mode": true}, "retreat": return_evidence}

runbook := {
	"digest": plan_digest, "service": "storefront", "environment": "production",
	"steps": [
		{"tool": "toggle_feature_flag", "parameters": {"flag": {"equals": "quotes"}, "state": {"one_of": ["off"]}, "incident_id": {"equals": "i-1"}}},
		{"tool": "change_production_data", "parameters": {"rows": {"min": 1, "max": 100}, "table": {"equals": "quotes"}}},
	],
}

# A database owner's word reaches the data step; the incident commander's reaches the flag.
runbook_grant := object.union(object.remove(grant, ["plan"]), {
	"kind": "runbook", "runbook": runbook, "approvals": [
		{"approver": "person:oncall", "role": "incident-commander", "asserted_by": "key", "signature_verified": true},
		{"approver": "person:data", "role": "database-owner", "asserted_by": "key", "signature_verified": true},
	],
})

break_glass := {
	"id": "bg-1", "person": "person:oncall", "roles": ["sre-oncall"], "tools": ["start_rollout", "deploy_release"],
	"principals": ["agent:release-controller"], "expires_at_ms": 1790000600000, "uses_left": 1,
	"signature_verified": true, "open_postmortem": false,
}

# The same question about another tool. The parameters are laid anew: `object.union` cannot take keys away.
asking(tool, category, parameters) := object.union(object.remove(start, ["action"]), {"action": {
	"tool": tool, "category": category, "environment": "production", "service": "storefront", "digest": other,
	"parameters": parameters, "plan": plan_digest, "change": "d-1", "dry_run": false,
	"unmet_preconditions": [], "undo": "reversible", "integrity": "trusted",
}})

contract := {"upstream": "github", "risk": "low", "reviewed": true, "definition": "current"}

# An agent asks for a tool that somebody connected, and everything about it is as good as it can be.
calling(category, parameters) := object.union(object.remove(asking("github.do_it", category, parameters), ["change", "operator"]), {
	"principal": {"id": "agent:deploy-manager", "registration": {"tools": ["github.do_it"], "pattern": "constrained-executor"}},
	"operator": {"criticality": "internal", "tier_floor": "trivial", "gates": {}, "approver_roles": operator.approver_roles},
	"change": {}, "facts": {"manifests": []},
	"action": {"environment": "non-production", "change": "", "connected": contract, "findings": [], "meaning": {"environment": "non-production"}, "cost": []},
	"state": {"limits": [{"name": "tool:github.do_it", "observed": 0, "limit": 9}], "usage": []},
})

# The same as a value, for tests that are not written in Rego.
called := calling("repo_write", {})

found(class, certain) := {"kind": class, "class": class, "parameter": "body", "certain": certain}

# An agent opens a connection to a host that is listed for it.
opening := object.union(asking("open_connection", "egress", {"host": "api.example.com", "port": 443}), {
	"principal": {"registration": {"tools": ["open_connection"], "pattern": "advisor"}},
	"action": {"destination": {"host": "api.example.com", "port": 443, "address_class": "public", "listed": true, "tunnel": false}},
})

# The door's answer to a question with some parts changed.
door(question, changed) := decision if {
	decision := data.bywire.action.decision with input as object.union(question, changed)
}

# The gate's question about a release, and its answer with some parts changed.
release := object.union(start, {"principal": {"id": "agent:auditor", "role": "auditor"}, "action": {"tool": "verify_release"}})

gate(changed) := decision if {
	decision := data.bywire.gate.decision with input as object.union(release, changed)
}

fires(decision, effect, rule) if {
	decision.effect == effect
	some reason in decision.reasons
	reason.rule == rule
	reason.hard == object.get(data.bywire.table.hard_rules, rule, false)
}

# What an answer asks of whoever carries it out.
obliges(decision, kind, wanted) if {
	some obligation in decision.obligations
	obligation.kind == kind
	object.subset(obligation, wanted)
}

# Everything else about the answer is as good as it can be.
quiet(decision, effect, rule) if {
	decision.effect == effect
	count(decision.reasons) > 0
	every reason in decision.reasons {
		reason.rule != rule
	}
}
