"""The tools of a DevOps agent (seed 001, 10.1), one contract each, with the idempotency keys of its section 20.2.

A contract says what may be asked. Whether anything here can carry it out depends on the executors that are connected:
`ci`, `forge`, `flags` and `secrets` are names of executors that a workspace may lack, and then the door refuses.
"""

from bywire.gateway.condition import Comparison, Condition
from bywire.gateway.contract import SHA256, Contract, Idempotency, Reversibility, parameters

# No colon: parts of a key must not be able to imitate one another.
_NAME = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._/@-]{0,127}$"}
_TEXT = {"type": "string", "maxLength": 512}
_PERCENT = {"type": "integer", "minimum": 0, "maximum": 100}
_BYTES = {"type": "integer", "minimum": 1, "maximum": 67_108_864}
_BOUND = {
    "type": "object",
    "maxProperties": 2,
    "additionalProperties": False,
    "properties": {"equals": {}, "min": {"type": "number"}, "max": {"type": "number"}, "one_of": {"type": "array"}},
}
_RUNBOOK_STEP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["tool", "parameters"],
    "properties": {
        "tool": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
        "parameters": {"type": "object", "maxProperties": 32, "additionalProperties": _BOUND},
    },
}
_RUN = {"run_id": _NAME}
_JOB = {**_RUN, "job_id": _NAME}
_HAS_CANARY = Condition("canary_exists", "canary", Comparison.PRESENT)
_NO_CANARY = Condition("no_canary", "canary", Comparison.EQUALS, value="")

DEVOPS_CONTRACTS: tuple[Contract, ...] = (
    Contract("get_ci_run", "read", "ci", parameters(_RUN), read=True, untrusted_output=True, credential="ci"),
    Contract(
        "get_job_logs",
        "read",
        "ci",
        parameters(_JOB, {"max_bytes": _BYTES}),
        read=True,
        untrusted_output=True,
        credential="ci",
    ),
    Contract(
        "rerun_job",
        "harmless_reversible",
        "ci",
        parameters({**_JOB, "failure_fingerprint": _NAME}, {"release_gate": {"type": "boolean"}}),
        idempotency=Idempotency.QUERYABLE,
        fenced=False,
        undo="cancel the run",
        expected="one more attempt of the job; a rerun is an experiment, not a fix",
        key_template="ci-rerun:{run_id}:{job_id}:{failure_fingerprint}",
        credential="ci",
        rate_per_hour=6,
    ),
    Contract(
        "cancel_workflow",
        "harmless_reversible",
        "ci",
        parameters(_RUN),
        idempotency=Idempotency.QUERYABLE,
        fenced=False,
        undo="run it again",
        expected="the run ends",
        reversibility=Reversibility.COMPENSATABLE,
        key_template="ci-cancel:{run_id}",
        credential="ci",
        rate_per_hour=20,
    ),
    Contract(
        "create_fix_pr",
        "repo_write",
        "forge",
        parameters(
            {
                "branch": _NAME,
                "title": _TEXT,
                "failure_fingerprint": _NAME,
                "files": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 64,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["path", "sha256"],
                        "properties": {"path": _TEXT, "sha256": SHA256},
                    },
                },
            }
        ),
        idempotency=Idempotency.QUERYABLE,
        fenced=False,
        undo="close the pull request",
        expected="one open pull request; nothing is merged",
        key_template="fix-pr:{failure_fingerprint}",
        credential="forge",
        rate_per_hour=10,
    ),
    Contract(
        "promote_canary",
        "production_orchestration",
        "target",
        parameters({"deployment_id": SHA256, "target_percentage": _PERCENT, "evidence_hash": SHA256}),
        undo="abort_canary",
        expected="traffic split of the running canary changes by one configured step",
        preconditions=(
            _HAS_CANARY,
            Condition("deployment_is_canary", "canary", Comparison.EQUALS, parameter=("deployment_id",)),
        ),
        postconditions=(Condition("weight_not_above", "weight", Comparison.AT_MOST, parameter=("target_percentage",)),),
        key_template="promote-canary:{deployment_id}:{target_percentage}:{evidence_hash}",
    ),
    Contract(
        "abort_canary",
        "exposure_reducing",
        "target",
        parameters({"deployment_id": SHA256, "to": SHA256}),
        exposure_reducing=True,
        undo="deliver again",
        expected="all traffic on the stable release",
        postconditions=(_NO_CANARY,),
        key_template="abort-canary:{deployment_id}:{to}",
    ),
    Contract(
        "rollback_deployment",
        "exposure_reducing",
        "target",
        parameters({"deployment_id": SHA256, "to": SHA256, "incident_id": _NAME}),
        exposure_reducing=True,
        undo="deliver again",
        expected="all traffic on the named earlier release",
        reversibility=Reversibility.COMPENSATABLE,
        postconditions=(Condition("to_is_stable", "stable", Comparison.EQUALS, parameter=("to",)),),
        key_template="rollback-request:{deployment_id}:{to}:{incident_id}",
    ),
    Contract(
        "toggle_feature_flag",
        "incident_mitigation",
        "flags",
        parameters({"flag": _NAME, "state": {"enum": ["on", "off"]}, "incident_id": _NAME}),
        idempotency=Idempotency.QUERYABLE,
        fenced=False,
        undo="toggle it back; what was written while it was on stays written",
        expected="the flag has the named state",
        reversibility=Reversibility.COMPENSATABLE,
        key_template="flag:{flag}:{state}:{incident_id}",
        credential="flags",
    ),
    Contract(
        "start_runbook",
        "incident_mitigation",
        "envelope",
        parameters(
            {
                "service": _NAME,
                "environment": _NAME,
                "steps": {"type": "array", "minItems": 1, "maxItems": 32, "items": _RUNBOOK_STEP},
                "uses": {"type": "integer", "minimum": 1, "maximum": 100},
                "valid_seconds": {"type": "integer", "minimum": 60, "maximum": 2_592_000},
            }
        ),
        undo="bywire approvals revoke",
        expected="no effect by itself; the runbook's steps become possible within their bounds",
    ),
    Contract(
        "rotate_secret",
        "secret_mutation",
        "secrets",
        parameters({"secret_name": _NAME, "via": _NAME}),
        idempotency=Idempotency.NONE,
        fenced=False,
        undo="none; the old value is gone",
        expected="a new value; the old one is refused",
        reversibility=Reversibility.IRREVERSIBLE,
        credential="secrets",
    ),
)
