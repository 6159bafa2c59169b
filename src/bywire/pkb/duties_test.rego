package bywire.duties_test

import data.bywire.fixtures

test_fires_duties_approver_is_author if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "change": {"authors": ["person:dana", "person:oncall"]}}), "deny", "duties.approver_is_author")

test_quiet_duties_approver_is_author if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "duties.approver_is_author")

test_fires_duties_approver_wrote_patch if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "change": {"patch_authors": ["person:oncall"]}}), "deny", "duties.approver_wrote_patch")

test_quiet_duties_approver_wrote_patch if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "duties.approver_wrote_patch")

test_fires_duties_approver_owns_agent if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "principal": {"owner": "person:oncall"}}), "deny", "duties.approver_owns_agent")

test_quiet_duties_approver_owns_agent if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "duties.approver_owns_agent")

test_fires_duties_approver_is_requester if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "principal": {"id": "person:oncall", "kind": "person", "owner": ""}}), "deny", "duties.approver_is_requester")

test_quiet_duties_approver_is_requester if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "duties.approver_is_requester")

test_fires_duties_authors_unknown if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant, "change": {"authors": []}}), "deny", "duties.authors_unknown")

test_quiet_duties_authors_unknown if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "duties.authors_unknown")

# The first of several approvers is as good as alone; the others are looked at as closely.
beside(changed) := fixtures.door(fixtures.start, object.union({"grant": object.union(fixtures.grant, {"approvals": [fixtures.oncall, fixtures.maria]})}, changed))

test_duties_hold_for_every_approver if {
	fixtures.fires(beside({"change": {"authors": ["person:maria"]}}), "deny", "duties.approver_is_author")
	fixtures.fires(beside({"change": {"patch_authors": ["person:maria"]}}), "deny", "duties.approver_wrote_patch")
	fixtures.fires(beside({"principal": {"owner": "person:maria"}}), "deny", "duties.approver_owns_agent")
	fixtures.fires(beside({"principal": object.union(fixtures.sam, {"id": "person:maria"})}), "deny", "duties.approver_is_requester")
	fixtures.quiet(beside({}), "allow", "duties.approver_is_author")
}
