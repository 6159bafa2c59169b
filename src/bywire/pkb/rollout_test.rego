package bywire.rollout_test

import data.bywire.fixtures

test_fires_rollout_weight_invalid if fixtures.fires(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 101, "segments": []}), {"grant": fixtures.grant}), "deny", "rollout.weight_invalid")

test_quiet_rollout_weight_invalid if fixtures.quiet(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 100, "segments": []}), {"grant": fixtures.grant}), "allow", "rollout.weight_invalid")

test_fires_rollout_ceiling_exceeded if fixtures.fires(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 25, "segments": ["desktop"]}), {"grant": fixtures.grant, "operator": {"limits": {"rollout_ceiling": 24}}}), "deny", "rollout.ceiling_exceeded")

test_quiet_rollout_ceiling_exceeded if fixtures.quiet(fixtures.door(fixtures.asking("set_canary_weight", "production_orchestration", {"artifact": fixtures.artifact, "weight": 25, "segments": ["desktop"]}), {"grant": fixtures.grant, "operator": {"limits": {"rollout_ceiling": 25}}}), "allow", "rollout.ceiling_exceeded")

test_fires_rollout_steps_missing if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"parameters": {"steps": []}}}), "deny", "rollout.steps_missing")

test_quiet_rollout_steps_missing if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "rollout.steps_missing")

test_fires_rollout_first_step if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "operator": {"limits": {"rollout_first_step": 4}}}), "deny", "rollout.first_step")

test_quiet_rollout_first_step if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant, "operator": {"limits": {"rollout_first_step": 4}}, "action": {"parameters": {"last_good": ""}}, "state": {"target": {"stable": ""}}}), "allow", "rollout.first_step")

test_fires_rollout_steps_descend if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"parameters": {"steps": [{"weight": 5}, {"weight": 3}]}}}), "deny", "rollout.steps_descend")

test_quiet_rollout_steps_descend if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"parameters": {"steps": [{"weight": 5}, {"weight": 5}]}}}), "allow", "rollout.steps_descend")

test_fires_rollout_last_good if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "state": {"target": {"stable": fixtures.other}}}), "deny", "rollout.last_good")

test_quiet_rollout_last_good if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "rollout.last_good")

test_fires_rollout_target_mismatch if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"service": "ledger"}}), "deny", "rollout.target_mismatch")

test_quiet_rollout_target_mismatch if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "rollout.target_mismatch")

test_no_weight_is_negative if fixtures.fires(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"parameters": {"steps": [{"weight": -1}]}}}),
	"deny", "rollout.weight_invalid",
)

test_a_first_release_is_one_where_nothing_serves if fixtures.fires(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "action": {"parameters": {"last_good": "", "steps": [{"weight": 100}]}}}),
	"deny", "rollout.first_step",
)

test_and_one_that_knows_no_last_good if fixtures.fires(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "state": {"target": {"stable": ""}}, "action": {"parameters": {"steps": [{"weight": 100}]}}}),
	"deny", "rollout.first_step",
)
