"""The tools of the delivery flow, one contract each."""

from bywire.gateway.condition import Comparison, Condition
from bywire.gateway.contract import DIGEST_OR_NONE, SEGMENTS, SHA256, Contract, Idempotency, parameters

_TEXT = {"type": "string", "maxLength": 512}
_WEIGHT = {"type": "integer", "minimum": 0, "maximum": 100}
_LEASE = {"type": "integer", "minimum": 1, "maximum": 600}
_STEP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["segments", "weight"],
    "properties": {"weight": _WEIGHT, "segments": SEGMENTS},
}
_FILES = {
    "type": "array",
    "minItems": 1,
    "maxItems": 64,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["path", "sha256"],
        "properties": {"path": _TEXT, "sha256": SHA256},
    },
}
_IS_CANARY = Condition("artifact_is_canary", "canary", Comparison.EQUALS, parameter=("artifact",))
_IS_STABLE = Condition("artifact_is_stable", "stable", Comparison.EQUALS, parameter=("artifact",))
_WITHIN_WEIGHT = Condition("weight_not_above", "weight", Comparison.AT_MOST, parameter=("weight",))
_PLAN = parameters(
    {
        "service": _TEXT,
        "environment": _TEXT,
        "artifact": SHA256,
        "last_good": DIGEST_OR_NONE,
        "steps": {"type": "array", "maxItems": 32, "items": _STEP},
        "ceiling": _WEIGHT,
        "warm": {"type": "boolean"},
        "origin": _TEXT,
    }
)

CONTRACTS: tuple[Contract, ...] = (
    Contract("get_deployment_status", "read", "target", parameters({}), read=True),
    Contract(
        "read_telemetry",
        "read",
        "target",
        parameters({"since_interval": {"type": "integer", "minimum": 0}}),
        read=True,
    ),
    Contract(
        "create_fix_branch",
        "repo_write",
        "repository",
        parameters({"branch": _TEXT, "base": {"type": "string", "pattern": "^[0-9a-f]{40,64}$"}, "files": _FILES}),
        idempotency=Idempotency.QUERYABLE,
        fenced=False,
        undo="delete the branch",
        expected="a new branch; nothing is deployed",
    ),
    Contract(
        "start_rollout",
        "production_orchestration",
        "target",
        _PLAN,
        undo="bywire rollback",
        expected="no exposure by itself; the steps of the plan become possible",
    ),
    Contract(
        "deploy_release",
        "production_orchestration",
        "target",
        parameters({"artifact": SHA256}),
        deadline_seconds=120,
        undo="bywire rollback",
        expected="a new instance without traffic",
    ),
    Contract(
        "warm_release",
        "production_orchestration",
        "target",
        parameters({"artifact": SHA256}),
        deadline_seconds=120,
        undo="none needed",
        expected="the release's own warm-up has run",
        preconditions=(_IS_CANARY,),
    ),
    Contract(
        "set_canary_weight",
        "production_orchestration",
        "target",
        parameters({"artifact": SHA256, "weight": _WEIGHT, "segments": SEGMENTS, "lease_seconds": _LEASE}),
        undo="bywire rollback, or let the lease run out",
        expected="traffic share of the canary changes",
        preconditions=(_IS_CANARY,),
        postconditions=(_IS_CANARY, _WITHIN_WEIGHT),
    ),
    Contract(
        "renew_canary_lease",
        "production_orchestration",
        "target",
        parameters({"artifact": SHA256, "lease_seconds": _LEASE}),
        uses_grant=False,
        undo="let the lease run out",
        expected="the canary keeps its share",
        preconditions=(_IS_CANARY,),
    ),
    Contract(
        "promote_release",
        "production_orchestration",
        "target",
        parameters({"artifact": SHA256}),
        undo="bywire rollback",
        expected="the canary becomes stable",
        preconditions=(_IS_CANARY,),
        postconditions=(_IS_STABLE,),
    ),
    Contract(
        "rollback_release",
        "exposure_reducing",
        "target",
        parameters({"to": SHA256}),
        exposure_reducing=True,
        undo="deliver again",
        expected="all traffic on the last good release",
        postconditions=(
            Condition("to_is_stable", "stable", Comparison.EQUALS, parameter=("to",)),
            Condition("no_canary", "canary", Comparison.EQUALS, value=""),
        ),
    ),
    Contract(
        "settle_release",
        "environment_write",
        "target",
        parameters({"artifact": SHA256}),
        undo="none needed",
        expected="superseded instances stop",
    ),
)
