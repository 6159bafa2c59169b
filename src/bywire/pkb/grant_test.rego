package bywire.grant_test

import data.bywire.fixtures

test_fires_allow_grant if fixtures.fires(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "allow.grant")

test_quiet_allow_grant if fixtures.quiet(fixtures.door(fixtures.start, {}), "approval_needed", "allow.grant")

test_fires_grant_signature_invalid if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"signature_verified": false})}), "deny", "grant.signature_invalid")

test_quiet_grant_signature_invalid if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "grant.signature_invalid")

test_fires_grant_approver_not_person if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"approver": "agent:auditor"})}), "deny", "grant.approver_not_person")

test_quiet_grant_approver_not_person if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "grant.approver_not_person")

test_fires_grant_revoked if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"revoked": true})}), "deny", "grant.revoked")

test_quiet_grant_revoked if fixtures.quiet(fixtures.door(fixtures.start, {"grant": fixtures.grant}), "allow", "grant.revoked")

test_fires_grant_expired if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"expires_at_ms": 1790000000000})}), "approval_needed", "grant.expired")

test_quiet_grant_expired if fixtures.quiet(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"expires_at_ms": 1790000000001})}), "allow", "grant.expired")

test_fires_grant_used_up if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"uses_left": 0})}), "approval_needed", "grant.used_up")

test_quiet_grant_used_up if fixtures.quiet(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"uses_left": 1})}), "allow", "grant.used_up")

test_fires_grant_bundle_changed if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"bundle_digest": fixtures.other})}), "approval_needed", "grant.bundle_changed")

test_quiet_grant_bundle_changed if fixtures.quiet(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {})}), "allow", "grant.bundle_changed")

test_fires_grant_evidence_changed if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"evidence_digest_matches": false})}), "approval_needed", "grant.evidence_changed")

test_quiet_grant_evidence_changed if fixtures.quiet(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {})}), "allow", "grant.evidence_changed")

test_fires_grant_role_not_allowed if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"approvals": [object.union(fixtures.oncall, {"role": "database-owner"})]})}), "approval_needed", "grant.role_not_allowed")

test_quiet_grant_role_not_allowed if fixtures.quiet(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"approvals": [object.union(fixtures.oncall, {"role": "service-owner"})]})}), "allow", "grant.role_not_allowed")

test_fires_grant_action_mismatch if fixtures.fires(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"action_digest": fixtures.other})}), "approval_needed", "grant.action_mismatch")

test_quiet_grant_action_mismatch if fixtures.quiet(fixtures.door(fixtures.start, {"grant": object.union(fixtures.grant, {"kind": "single"})}), "allow", "grant.action_mismatch")

test_the_operator_names_the_roles_that_approve if fixtures.fires(
	fixtures.door(fixtures.start, {"grant": fixtures.grant, "operator": {"approver_roles": ["service-owner"]}}),
	"approval_needed", "grant.role_not_allowed",
)

among(approvals, changed) := fixtures.door(fixtures.start, object.union({"grant": object.union(fixtures.grant, {"approvals": approvals})}, changed))

lowly := {"operator": {"criticality": "internal"}, "change": {"declared_tier": "low"}}

chat := object.union(fixtures.oncall, {"asserted_by": "channel"})

test_fires_grant_channel_capped if fixtures.fires(among([chat], {}), "approval_needed", "grant.channel_capped")

test_quiet_grant_channel_capped if fixtures.quiet(among([chat], lowly), "allow", "grant.channel_capped")

test_what_nobody_names_is_a_channel if fixtures.fires(among([object.remove(chat, ["asserted_by"])], {}), "approval_needed", "grant.channel_capped")

test_one_forged_approval_spoils_the_rest if fixtures.fires(
	among([fixtures.oncall, object.union(fixtures.maria, {"signature_verified": false})], {}),
	"deny", "grant.signature_invalid",
)

test_an_agent_among_people_approves_nothing if fixtures.fires(
	among([fixtures.oncall, object.union(fixtures.maria, {"approver": "agent:auditor"})], {}),
	"deny", "grant.approver_not_person",
)

test_approvals_that_are_no_list_are_none if fixtures.fires(among("everyone", {}), "deny", "grant.signature_invalid")
