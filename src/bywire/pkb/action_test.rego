package bywire.action_test

import data.bywire.fixtures

test_fires_input_version if fixtures.fires(fixtures.door(fixtures.start, {"version": 2}), "deny", "input.version")

test_quiet_input_version if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "input.version")

test_fires_input_incomplete if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "operator": null}), "deny", "input.incomplete")

test_quiet_input_incomplete if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "input.incomplete")

test_fires_input_clock if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "now_ms": null}), "deny", "input.clock")

test_quiet_input_clock if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "input.clock")

test_fires_action_undecided if fixtures.fires(fixtures.undecided, "deny", "action.undecided")

test_quiet_action_undecided if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "action.undecided")

test_fires_allow_table if fixtures.fires(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "allow.table")

test_quiet_allow_table if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"state": {"budget": {"observed": 100}}}), "deny", "allow.table")
