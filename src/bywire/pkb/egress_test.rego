package bywire.egress_test

import data.bywire.fixtures

opening(changed) := fixtures.door(fixtures.opening, {"action": {"destination": changed}})

test_fires_egress_metadata if fixtures.fires(opening({"address_class": "metadata"}), "deny", "egress.metadata")

test_quiet_egress_metadata if fixtures.quiet(opening({}), "allow", "egress.metadata")

test_fires_egress_raw_address if fixtures.fires(opening({"host": "93.184.216.34", "address_class": "raw"}), "deny", "egress.raw_address")

test_quiet_egress_raw_address if fixtures.quiet(opening({}), "allow", "egress.raw_address")

test_fires_egress_private if fixtures.fires(opening({"address_class": "private", "listed": false}), "deny", "egress.private")

test_quiet_egress_private if fixtures.quiet(opening({"address_class": "private"}), "allow", "egress.private")

test_this_machine_is_private if fixtures.fires(opening({"address_class": "loopback", "listed": false}), "deny", "egress.private")

test_fires_egress_tunnel if fixtures.fires(opening({"port": 22, "listed": false}), "deny", "egress.tunnel")

test_quiet_egress_tunnel if fixtures.quiet(opening({"port": 22}), "allow", "egress.tunnel")

test_a_host_that_carries_others_is_a_tunnel if fixtures.fires(opening({"tunnel": true, "listed": false}), "deny", "egress.tunnel")

test_fires_egress_not_listed if fixtures.fires(opening({"listed": false}), "deny", "egress.not_listed")

test_quiet_egress_not_listed if fixtures.quiet(opening({"listed": true}), "allow", "egress.not_listed")

test_a_destination_that_is_not_told_leads_nowhere if {
	every changed in [{"host": null}, {"host": ""}, {"port": "443"}, {"address_class": "friendly"}] {
		fixtures.fires(opening(changed), "deny", "input.incomplete")
	}
	fixtures.fires(opening({"listed": "true"}), "deny", "egress.not_listed")
	fixtures.fires(fixtures.door(fixtures.opening, {"action": {"destination": null}}), "deny", "egress.not_listed")
}

# A route of a connected tool leads somewhere, too.
routing(changed) := fixtures.door(fixtures.calling("read", {}), {"action": {"destination": object.union({"host": "git.example.com", "port": 443, "address_class": "private", "listed": true}, changed)}})

test_a_listed_upstream_may_be_on_this_network if fixtures.quiet(routing({}), "allow", "egress.private")

test_a_route_to_anywhere_else_is_refused if fixtures.fires(routing({"listed": false}), "deny", "egress.not_listed")

test_a_stop_holds_connections_back if fixtures.fires(fixtures.door(fixtures.opening, {"state": {"stop": true}}), "deny", "state.stopped")

test_connections_are_registered_too if fixtures.fires(
	fixtures.door(fixtures.opening, {"principal": {"registration": {"tools": ["get_job_logs"]}}}),
	"deny", "principal.tool_not_registered",
)

test_a_session_that_read_others_words_may_go_on_talking if fixtures.quiet(
	fixtures.door(fixtures.opening, {"state": {"session": {"integrity": "tainted"}}, "operator": {"criticality": "payment"}}),
	"allow", "session.tainted",
)
