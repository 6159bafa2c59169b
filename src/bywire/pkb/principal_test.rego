package bywire.principal_test

import data.bywire.fixtures

test_fires_principal_kind_mismatch if fixtures.fires(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"principal": {"id": "person:release-controller"}}), "deny", "principal.kind_mismatch")

test_quiet_principal_kind_mismatch if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {}), "allow", "principal.kind_mismatch")

test_fires_principal_owner_missing if fixtures.fires(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"principal": {"owner": ""}}), "deny", "principal.owner_missing")

test_quiet_principal_owner_missing if fixtures.quiet(fixtures.door(fixtures.asking("get_deployment_status", "read", {}), {"principal": {"id": "person:dana", "kind": "person", "owner": ""}}), "allow", "principal.owner_missing")
