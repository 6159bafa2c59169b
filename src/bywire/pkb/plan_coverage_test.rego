package bywire.plan_coverage_test

import data.bywire.fixtures

test_fires_allow_plan if fixtures.fires(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {"grant": fixtures.grant}), "allow", "allow.plan")

test_quiet_allow_plan if fixtures.quiet(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {}), "approval_needed", "allow.plan")

test_fires_plan_digest_mismatch if fixtures.fires(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {"grant": fixtures.grant, "action": {"plan": fixtures.other}}), "approval_needed", "plan.digest_mismatch")

test_quiet_plan_digest_mismatch if fixtures.quiet(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {"grant": fixtures.grant}), "allow", "plan.digest_mismatch")

test_fires_plan_target_mismatch if fixtures.fires(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {"grant": fixtures.grant, "action": {"service": "ledger"}}), "approval_needed", "plan.target_mismatch")

test_quiet_plan_target_mismatch if fixtures.quiet(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {"grant": fixtures.grant}), "allow", "plan.target_mismatch")

test_fires_plan_artifact_mismatch if fixtures.fires(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {"grant": object.union(fixtures.grant, {"plan": {"artifact": fixtures.other}})}), "approval_needed", "plan.artifact_mismatch")

test_quiet_plan_artifact_mismatch if fixtures.quiet(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {"grant": fixtures.grant}), "allow", "plan.artifact_mismatch")

test_fires_plan_warm_not_approved if fixtures.fires(fixtures.door(fixtures.asking("warm_release", "production_orchestration", {"artifact": fixtures.artifact}), {"grant": object.union(fixtures.grant, {"plan": {"warm": false}})}), "approval_needed", "plan.warm_not_approved")

test_quiet_plan_warm_not_approved if fixtures.quiet(fixtures.door(fixtures.asking("warm_release", "production_orchestration", {"artifact": fixtures.artifact}), {"grant": fixtures.grant}), "allow", "plan.warm_not_approved")

test_fires_plan_weight_outside if fixtures.fires(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 50, "segments": []}), {"grant": fixtures.grant}), "approval_needed", "plan.weight_outside")

test_quiet_plan_weight_outside if fixtures.quiet(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 5, "segments": []}), {"grant": fixtures.grant}), "allow", "plan.weight_outside")

test_fires_plan_ceiling_exceeded if fixtures.fires(fixtures.door(fixtures.asking("promote_release", "production_orchestration", {"artifact": fixtures.artifact}), {"grant": object.union(fixtures.grant, {"plan": {"ceiling": 99}})}), "approval_needed", "plan.ceiling_exceeded")

test_quiet_plan_ceiling_exceeded if fixtures.quiet(fixtures.door(fixtures.asking("promote_release", "production_orchestration", {"artifact": fixtures.artifact}), {"grant": fixtures.grant}), "allow", "plan.ceiling_exceeded")

test_fires_plan_segments_outside if fixtures.fires(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 25, "segments": []}), {"grant": fixtures.grant}), "approval_needed", "plan.segments_outside")

test_quiet_plan_segments_outside if fixtures.quiet(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 25, "segments": ["desktop"]}), {"grant": fixtures.grant}), "allow", "plan.segments_outside")

# The packet's form: weights, and the segments of each in a list beside them.
listed := object.union(object.remove(fixtures.grant, ["plan"]), {"plan": object.union(object.remove(fixtures.rollout_plan, ["steps"]), {"steps": [5, 25], "segments": [[], ["desktop"]]})})

test_segments_listed_beside_the_steps_bind if fixtures.fires(
	fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 25, "segments": []}), {"grant": listed}),
	"approval_needed", "plan.segments_outside",
)

test_segments_listed_beside_the_steps_allow if fixtures.quiet(
	fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 25, "segments": ["desktop"]}), {"grant": listed}),
	"allow", "plan.segments_outside",
)

weighing(parameters, changed) := fixtures.door(
	fixtures.asking("set_canary_weight", "production_orchestration", object.union({"artifact": fixtures.artifact}, parameters)),
	{"grant": object.union(fixtures.grant, changed)},
)

test_a_single_grant_covers_no_plan if fixtures.fires(weighing({"weight": 5}, {"kind": "single"}), "approval_needed", "grant.action_mismatch")

test_a_plan_binds_its_environment if fixtures.fires(weighing({"weight": 5}, {"plan": {"environment": "staging"}}), "approval_needed", "plan.target_mismatch")

test_a_plan_without_warming_may_still_weigh if fixtures.quiet(weighing({"weight": 5}, {"plan": {"warm": false}}), "allow", "plan.warm_not_approved")

renewing(parameters) := fixtures.door(
	fixtures.asking("renew_canary_lease", "production_orchestration", object.union({"artifact": fixtures.artifact}, parameters)),
	{"grant": fixtures.grant},
)

test_a_renewal_keeps_the_weight if fixtures.quiet(renewing({}), "allow", "plan.weight_outside")

test_a_renewal_raises_no_weight if fixtures.fires(renewing({"weight": 50}), "approval_needed", "plan.weight_outside")

promoting(parameters, changed) := fixtures.door(
	fixtures.asking("promote_canary", "production_orchestration", object.union({"deployment_id": fixtures.artifact}, parameters)),
	{"grant": object.union(fixtures.grant, changed)},
)

test_a_canary_is_promoted_by_the_steps_of_its_plan if fixtures.fires(promoting({"target_percentage": 5}, {}), "allow", "allow.plan")

test_and_not_beside_them if fixtures.fires(promoting({"target_percentage": 50}, {}), "approval_needed", "plan.weight_outside")

test_nor_is_another_one if fixtures.fires(promoting({"target_percentage": 5}, {"plan": {"artifact": fixtures.stable}}), "approval_needed", "plan.artifact_mismatch")
