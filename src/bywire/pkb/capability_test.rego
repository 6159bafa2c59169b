package bywire.capability_test

import data.bywire.fixtures

test_fires_action_unknown_tool if fixtures.fires(fixtures.door(fixtures.asking("delete_everything", "read", {}), {}), "deny", "action.unknown_tool")

test_quiet_action_unknown_tool if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "action.unknown_tool")

test_fires_action_environment_unknown if fixtures.fires(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"action": {"environment": "moon"}}), "deny", "action.environment_unknown")

test_quiet_action_environment_unknown if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"action": {"environment": "staging"}}), "allow", "action.environment_unknown")

test_fires_action_category_mismatch if fixtures.fires(fixtures.door(fixtures.asking("deploy_release", "read", {"artifact": fixtures.artifact}), {}), "deny", "action.category_mismatch")

test_quiet_action_category_mismatch if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "action.category_mismatch")

test_fires_action_forbidden if fixtures.fires(fixtures.door(fixtures.asking("change_production_data", "data_mutation", {}), {"grant": fixtures.runbook_grant, "action": {"environment": "staging"}}), "deny", "action.forbidden")

test_quiet_action_forbidden if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "action.forbidden")

test_fires_action_tests_disabled if fixtures.fires(fixtures.door(fixtures.asking("disable_tests", "verification_weakening", {}), {"principal": fixtures.sam}), "deny", "action.tests_disabled")

test_quiet_action_tests_disabled if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "action.tests_disabled")

test_fires_action_pull_request_only if fixtures.fires(fixtures.door(fixtures.asking("update_workflow_config", "repo_write", {}), {"action": {"environment": "staging"}, "principal": {"role": "coder"}}), "deny", "action.pull_request_only")

test_quiet_action_pull_request_only if fixtures.quiet(fixtures.door(fixtures.asking("update_workflow_config", "repo_write", {"via": "pull_request"}), {"action": {"environment": "staging"}, "principal": {"role": "coder"}}), "allow", "action.pull_request_only")

test_fires_allow_pull_request if fixtures.fires(fixtures.door(fixtures.asking("update_workflow_config", "repo_write", {"via": "pull_request"}), {"action": {"environment": "staging"}, "principal": {"role": "coder"}}), "allow", "allow.pull_request")

test_quiet_allow_pull_request if fixtures.quiet(fixtures.door(fixtures.asking("update_workflow_config", "repo_write", {"via": "pull_request"}), {"principal": {"role": "coder"}}), "approval_needed", "allow.pull_request")

test_fires_action_auto_merge if fixtures.fires(fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "deploy/np.yaml"}], "auto_merge": true}), {"principal": {"role": "coder"}}), "deny", "action.auto_merge")

test_quiet_action_auto_merge if fixtures.quiet(fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "deploy/np.yaml"}]}), {"principal": {"role": "coder"}}), "allow", "action.auto_merge")

test_fires_action_evidence_patched if fixtures.fires(fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "reports/junit.xml"}]}), {"principal": {"role": "coder"}}), "deny", "action.evidence_patched")

test_quiet_action_evidence_patched if fixtures.quiet(fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "deploy/np.yaml"}]}), {"principal": {"role": "coder"}}), "allow", "action.evidence_patched")

test_fires_action_incident_required if fixtures.fires(fixtures.door(fixtures.asking("rollback_deployment", "exposure_reducing", {"to": fixtures.stable}), {}), "deny", "action.incident_required")

test_quiet_action_incident_required if fixtures.quiet(fixtures.door(fixtures.asking("rollback_deployment", "exposure_reducing", {"to": fixtures.stable}), fixtures.incident), "approval_needed", "action.incident_required")

test_fires_action_files_missing if fixtures.fires(fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {}), {"principal": {"role": "recourse"}}), "deny", "action.files_missing")

test_quiet_action_files_missing if fixtures.quiet(fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "deploy/np.yaml"}]}), {"principal": {"role": "recourse"}}), "allow", "action.files_missing")

test_an_asset_is_never_patched if fixtures.fires(fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "assets/adapter.json"}]}), {"principal": {"role": "recourse"}}), "deny", "action.evidence_patched")

test_parameters_of_a_read_are_no_repository_write if fixtures.quiet(
	fixtures.door(fixtures.asking("get_job_logs", "read", {"auto_merge": true, "files": [{"path": "reports/junit.xml"}]}), {"state": {"budget": {"observed": 1}}, "version": 1}),
	"allow", "action.auto_merge",
)

test_a_file_without_a_path_is_no_file if fixtures.fires(
	fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": 7}]}), {"principal": {"role": "recourse"}}),
	"deny", "action.files_missing",
)

changing_data(changed) := fixtures.door(fixtures.asking("change_production_data", "data_mutation", {"rows": 10, "table": "quotes"}), changed)

test_fires_action_runbook_required if fixtures.fires(changing_data({"grant": fixtures.grant}), "deny", "action.runbook_required")

test_quiet_action_runbook_required if fixtures.quiet(changing_data({"grant": fixtures.runbook_grant}), "allow", "action.runbook_required")

test_a_release_gate_is_rerun_with_leave if fixtures.quiet(
	fixtures.door(fixtures.asking("rerun_job", "harmless_reversible", {"release_gate": true}), {"state": {"limits": fixtures.counted}}),
	"approval_needed", "allow.table",
)

test_another_job_is_rerun_alone if fixtures.fires(
	fixtures.door(fixtures.asking("rerun_job", "harmless_reversible", {"release_gate": false}), {"state": {"limits": fixtures.counted}}),
	"allow", "allow.table",
)

test_a_cell_without_a_posture_has_its_categorys if fixtures.quiet(
	fixtures.door(fixtures.asking("toggle_feature_flag", "incident_mitigation", {}), {"action": {"environment": "staging"}}),
	"approval_needed", "allow.table",
)
