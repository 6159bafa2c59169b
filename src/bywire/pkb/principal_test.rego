package bywire.principal_test

import data.bywire.fixtures

test_fires_principal_kind_mismatch if fixtures.fires(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"principal": {"id": "person:release-controller"}}), "deny", "principal.kind_mismatch")

test_quiet_principal_kind_mismatch if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "principal.kind_mismatch")

test_fires_principal_owner_missing if fixtures.fires(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"principal": {"owner": ""}}), "deny", "principal.owner_missing")

test_quiet_principal_owner_missing if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"principal": {"id": "person:dana", "kind": "person", "owner": ""}}), "allow", "principal.owner_missing")

test_a_kind_that_nobody_knows_is_none if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "principal": {"id": "robot:x", "kind": "robot"}}), "deny", "principal.kind_mismatch")

test_an_id_is_text if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "principal": {"id": 7}}), "deny", "principal.kind_mismatch")

test_an_owner_is_text if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "principal": {"owner": 7}}), "deny", "principal.owner_missing")

test_a_workload_reads_on_the_long_way_too if fixtures.quiet(fixtures.door(fixtures.asking("get_job_logs", "read", {"max_bytes": 999999999}), {"principal": {"id": "workload:builder", "kind": "workload"}}), "sanitize", "principal.reads_only")

test_fires_principal_reads_only if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "principal": {"id": "workload:builder", "kind": "workload"}}), "deny", "principal.reads_only")

test_quiet_principal_reads_only if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"principal": {"id": "workload:builder", "kind": "workload", "registration": null}}), "allow", "principal.reads_only")

registered(changed) := {"principal": {"registration": changed}}

approved(changed) := fixtures.door(fixtures.start, object.union({"grant": fixtures.grant}, changed))

reading(changed) := fixtures.door(fixtures.asking("get_deployment_status", "read", {}), changed)

weighing := fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []})

going_back(changed) := fixtures.door(fixtures.asking("rollback_release", "exposure_reducing", {"to": fixtures.stable}), changed)

test_fires_principal_unregistered if fixtures.fires(reading(registered(null)), "deny", "principal.unregistered")

test_quiet_principal_unregistered if fixtures.quiet(reading({}), "allow", "principal.unregistered")

test_people_need_no_registration if fixtures.quiet(reading({"principal": fixtures.sam}), "allow", "principal.unregistered")

test_fires_principal_registration_expired if fixtures.fires(approved(registered({"expires_at_ms": 1790000000000})), "deny", "principal.registration_expired")

test_quiet_principal_registration_expired if fixtures.quiet(approved(registered({"expires_at_ms": 1790000000001})), "allow", "principal.registration_expired")

test_a_registration_that_runs_out_blocks_reads if fixtures.fires(reading(registered({"expires_at_ms": 1790000000000})), "deny", "principal.registration_expired")

test_but_no_retreat if fixtures.quiet(
	going_back(object.union(registered({"expires_at_ms": 1}), {"retreat": fixtures.retreat})),
	"allow", "principal.registration_expired",
)

test_fires_principal_tool_not_registered if fixtures.fires(approved(registered({"tools": ["deploy_release"]})), "deny", "principal.tool_not_registered")

test_quiet_principal_tool_not_registered if fixtures.quiet(approved(registered({"tools": ["start_rollout"]})), "allow", "principal.tool_not_registered")

test_reads_are_registered_too if fixtures.fires(reading(registered({"tools": ["start_rollout"]})), "deny", "principal.tool_not_registered")

test_a_list_is_a_list if {
	fixtures.fires(approved(registered({"tools": "start_rollout"})), "deny", "principal.tool_not_registered")
	fixtures.fires(fixtures.door(object.remove(fixtures.start, ["principal"]), {"grant": fixtures.grant, "principal": object.union(object.remove(fixtures.controller, ["registration"]), {"registration": object.union(object.remove(fixtures.registration, ["tools"]), {"tools": {"a": "start_rollout"}})})}), "deny", "principal.tool_not_registered")
	fixtures.fires(fixtures.door(object.remove(fixtures.start, ["principal"]), {"grant": fixtures.grant, "principal": object.union(object.remove(fixtures.controller, ["registration"]), {"registration": object.union(object.remove(fixtures.registration, ["environments"]), {"environments": {"a": "production"}})})}), "deny", "principal.environment_not_registered")
}

test_other_patterns_gain_nothing_by_a_dry_run if fixtures.fires(
	fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "deploy/np.yaml"}]}), object.union(registered({"pattern": "canary-manager"}), {"action": {"dry_run": true}})),
	"deny", "principal.pattern_forbids",
)

test_nor_by_a_runbook if fixtures.fires(
	fixtures.door(fixtures.asking("toggle_feature_flag", "incident_mitigation", {}), object.union(registered({"pattern": "canary-manager"}), {"grant": fixtures.runbook_grant, "state": {"incident_mode": true}})),
	"deny", "principal.pattern_forbids",
)

test_a_star_is_no_tool if fixtures.fires(approved(registered({"tools": ["*"]})), "deny", "principal.tool_not_registered")

test_fires_principal_environment_not_registered if fixtures.fires(approved(registered({"environments": ["staging"]})), "deny", "principal.environment_not_registered")

test_quiet_principal_environment_not_registered if fixtures.quiet(approved(registered({"environments": ["production"]})), "allow", "principal.environment_not_registered")

test_fires_principal_pattern_forbids if fixtures.fires(approved(registered({"pattern": "advisor"})), "deny", "principal.pattern_forbids")

test_quiet_principal_pattern_forbids if fixtures.quiet(approved(registered({"pattern": "canary-manager"})), "allow", "principal.pattern_forbids")

test_a_pattern_without_a_meaning_reads_nothing if fixtures.fires(reading(registered({"pattern": "autopilot"})), "deny", "principal.pattern_forbids")

test_an_advisor_reads if fixtures.quiet(reading(registered({"pattern": "advisor"})), "allow", "principal.pattern_forbids")

test_an_advisor_may_try_without_effect if fixtures.quiet(approved(object.union(registered({"pattern": "advisor"}), {"action": {"dry_run": true}})), "allow", "principal.pattern_forbids")

test_an_advisor_does_not_even_retreat if fixtures.fires(
	going_back(object.union(registered({"pattern": "advisor"}), {"retreat": fixtures.retreat})),
	"deny", "principal.pattern_forbids",
)

test_a_canary_manager_touches_rollouts_alone if fixtures.fires(
	fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "deploy/np.yaml"}]}), registered({"pattern": "canary-manager"})),
	"deny", "principal.pattern_forbids",
)

test_a_runbook_executor_writes_under_a_runbook_alone if fixtures.fires(approved(registered({"pattern": "runbook-executor"})), "deny", "principal.pattern_forbids")

test_a_runbook_executor_may_ask_for_one if fixtures.quiet(
	fixtures.door(fixtures.asking("start_runbook", "incident_mitigation", fixtures.runbook), registered({"pattern": "runbook-executor"})),
	"approval_needed", "principal.pattern_forbids",
)

test_a_runbook_executor_retreats if fixtures.quiet(
	going_back(object.union(registered({"pattern": "runbook-executor"}), {"retreat": fixtures.retreat})),
	"allow", "principal.pattern_forbids",
)

low := {"action": {"environment": "non-production"}, "operator": {"criticality": "internal"}, "change": {"declared_tier": "low"}}

test_fires_approval_pattern_gate if fixtures.fires(
	fixtures.door(weighing, object.union(low, registered({"pattern": "orchestrator"}))),
	"approval_needed", "approval.pattern_gate",
)

test_quiet_approval_pattern_gate if fixtures.quiet(fixtures.door(weighing, low), "allow", "approval.pattern_gate")
