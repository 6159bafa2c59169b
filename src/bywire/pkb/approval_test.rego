package bywire.approval_test

import data.bywire.fixtures

test_fires_approval_required if fixtures.fires(fixtures.door(fixtures.start, {}), "approval_needed", "approval.required")

test_quiet_approval_required if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "approval.required")

test_fires_session_tainted if fixtures.fires(fixtures.door(fixtures.asking("toggle_feature_flag", "incident_mitigation", {}), {"action": {"environment": "non-production"}, "state": {"session": {"integrity": "tainted"}}}), "approval_needed", "session.tainted")

test_quiet_session_tainted if fixtures.quiet(fixtures.door(fixtures.asking("toggle_feature_flag", "incident_mitigation", {}), {"action": {"environment": "non-production"}}), "allow", "session.tainted")

test_fires_allow_low_risk if fixtures.fires(fixtures.door(fixtures.asking("deploy_release", "production_orchestration", {"artifact": fixtures.artifact}), {"action": {"environment": "non-production"}, "operator": {"criticality": "internal"}, "change": {"declared_tier": "low"}}), "allow", "allow.low_risk")

test_quiet_allow_low_risk if fixtures.quiet(fixtures.door(fixtures.asking("deploy_release", "production_orchestration", {"artifact": fixtures.artifact}), {"action": {"environment": "non-production"}, "operator": {"criticality": "internal"}}), "approval_needed", "allow.low_risk")

test_a_tainted_session_may_still_propose_a_fix if fixtures.quiet(
	fixtures.door(fixtures.asking("create_fix_branch", "repo_write", {"files": [{"path": "deploy/np.yaml"}]}), {"principal": {"role": "recourse"}, "state": {"session": {"integrity": "tainted"}}}),
	"allow", "session.tainted",
)
