"""The contracts of a DevOps agent in rows: what each is, the last value it takes, its key, what must hold around it."""

import pytest

from bywire.gateway.condition import unmet
from bywire.gateway.contract import Catalogue, ContractError, Idempotency, Reversibility
from bywire.gateway.devops_contracts import DEVOPS_CONTRACTS

CATALOGUE = Catalogue(DEVOPS_CONTRACTS)
A, B, C = "a" * 64, "b" * 64, "c" * 64
NATIVE, QUERYABLE, NONE = Idempotency.NATIVE, Idempotency.QUERYABLE, Idempotency.NONE
REVERSIBLE, COMPENSATABLE = Reversibility.REVERSIBLE, Reversibility.COMPENSATABLE
# tool: category, executor, how an interrupted call is settled, what undoing takes, credential, effects an hour, fenced
KINDS = {
    "get_ci_run": ("read", "ci", NATIVE, REVERSIBLE, "ci", 0, True),
    "get_job_logs": ("read", "ci", NATIVE, REVERSIBLE, "ci", 0, True),
    "rerun_job": ("harmless_reversible", "ci", QUERYABLE, REVERSIBLE, "ci", 6, False),
    "cancel_workflow": ("harmless_reversible", "ci", QUERYABLE, COMPENSATABLE, "ci", 20, False),
    "create_fix_pr": ("repo_write", "forge", QUERYABLE, REVERSIBLE, "forge", 10, False),
    "promote_canary": ("production_orchestration", "target", NATIVE, REVERSIBLE, "", 0, True),
    "abort_canary": ("exposure_reducing", "target", NATIVE, REVERSIBLE, "", 0, True),
    "rollback_deployment": ("exposure_reducing", "target", NATIVE, COMPENSATABLE, "", 0, True),
    "toggle_feature_flag": ("incident_mitigation", "flags", QUERYABLE, COMPENSATABLE, "flags", 0, False),
    "start_runbook": ("incident_mitigation", "envelope", NATIVE, REVERSIBLE, "", 0, True),
    "rotate_secret": ("secret_mutation", "secrets", NONE, Reversibility.IRREVERSIBLE, "secrets", 0, False),
}
FILE = {"path": "src/app.py", "sha256": A}
RUNBOOK_STEP = {"tool": "set_canary_weight", "parameters": {"weight": {"min": 0, "max": 25}}}
GOOD = {
    "get_ci_run": {"run_id": "77"},
    "get_job_logs": {"run_id": "77", "job_id": "tests"},
    "rerun_job": {"run_id": "77", "job_id": "tests", "failure_fingerprint": "f00"},
    "cancel_workflow": {"run_id": "77"},
    "create_fix_pr": {"branch": "fix/1", "title": "Fix it", "failure_fingerprint": "f00", "files": [FILE]},
    "promote_canary": {"deployment_id": A, "target_percentage": 25, "evidence_hash": B},
    "abort_canary": {"deployment_id": A, "to": B},
    "rollback_deployment": {"deployment_id": A, "to": B, "incident_id": "inc-1"},
    "toggle_feature_flag": {"flag": "quotes", "state": "off", "incident_id": "inc-1"},
    "start_runbook": {
        "service": "storefront",
        "environment": "production",
        "steps": [RUNBOOK_STEP],
        "uses": 5,
        "valid_seconds": 3_600,
    },
    "rotate_secret": {"secret_name": "db", "via": "vault"},
}
KEYS = {
    "rerun_job": "ci-rerun:77:tests:f00",
    "cancel_workflow": "ci-cancel:77",
    "create_fix_pr": "fix-pr:f00",
    "promote_canary": f"promote-canary:{A}:25:{B}",
    "abort_canary": f"abort-canary:{A}:{B}",
    "rollback_deployment": f"rollback-request:{A}:{B}:inc-1",
    "toggle_feature_flag": "flag:quotes:off:inc-1",
}
NAMES = {"run_id", "job_id", "failure_fingerprint", "branch", "incident_id", "flag", "secret_name", "via"}


def takes(tool, **changes):
    try:
        CATALOGUE.check(CATALOGUE.find(tool), {**GOOD[tool], **changes})
    except ContractError:
        return False
    return True


def step(**changes):
    return {"steps": [{**RUNBOOK_STEP, **changes}]}


def bound(value):
    return step(parameters={"weight": value})


def test_each_tool_is_what_the_table_says():
    assert set(CATALOGUE.names()) == set(KINDS) == set(GOOD)
    for tool, expected in KINDS.items():
        one = CATALOGUE.find(tool)
        kind = (one.category, one.executor, one.idempotency, one.reversibility)
        assert (*kind, one.credential, one.rate_per_hour, one.fenced) == expected, tool
        assert one.uses_grant
        assert one.deadline_seconds == 60


def test_what_sets_a_tool_apart_is_said_of_that_tool_alone():
    def those(test):
        return {contract.name for contract in DEVOPS_CONTRACTS if test(contract)}

    assert those(lambda contract: contract.read) == {"get_ci_run", "get_job_logs"}
    assert those(lambda contract: contract.untrusted_output) == {"get_ci_run", "get_job_logs"}
    assert those(lambda contract: contract.exposure_reducing) == {"abort_canary", "rollback_deployment"}
    assert those(lambda contract: not contract.read and not (contract.undo and contract.expected)) == set()
    assert CATALOGUE.find("promote_canary").undo == "abort_canary"


@pytest.mark.parametrize("tool", GOOD)
def test_rule_12_the_key_comes_from_what_is_asked(tool):
    assert CATALOGUE.find(tool).key_for(GOOD[tool]) == KEYS.get(tool, "")


@pytest.mark.parametrize(("tool", "name"), [(tool, name) for tool, values in GOOD.items() for name in values])
def test_every_parameter_is_needed_and_has_a_shape(tool, name):
    assert takes(tool)
    for value in (None, {"a": 1}, 1.5):
        assert not takes(tool, **{name: value})
    with pytest.raises(ContractError):
        CATALOGUE.check(CATALOGUE.find(tool), {key: value for key, value in GOOD[tool].items() if key != name})
    assert not takes(tool, undeclared=1)


@pytest.mark.parametrize(
    ("tool", "name"), [(tool, name) for tool, values in GOOD.items() for name in values if name in NAMES]
)
def test_a_name_is_one_word_that_cannot_imitate_two(tool, name):
    for value in ("a", "0", "Zz9._/@-", "a" * 128):
        assert takes(tool, **{name: value})
    for value in ("", "a" * 129, "a:b", "a b", "-a", ".a", "a\n", "\u00e4", 7):
        assert not takes(tool, **{name: value})


@pytest.mark.parametrize("tool", ["start_runbook"])
@pytest.mark.parametrize("name", ["service", "environment"])
def test_a_runbook_names_its_place(tool, name):
    assert takes(tool, **{name: "s" * 128})
    assert not takes(tool, **{name: "s" * 129})


@pytest.mark.parametrize(
    ("tool", "last", "beyond"),
    [
        ("get_job_logs", {"max_bytes": 1}, {"max_bytes": 0}),
        ("get_job_logs", {"max_bytes": 67_108_864}, {"max_bytes": 67_108_865}),
        ("get_job_logs", {"max_bytes": 1}, {"max_bytes": "1"}),
        ("rerun_job", {"release_gate": True}, {"release_gate": "yes"}),
        ("create_fix_pr", {"title": "t" * 512}, {"title": "t" * 513}),
        ("create_fix_pr", {"title": ""}, {"title": 5}),
        ("create_fix_pr", {"files": [FILE]}, {"files": []}),
        ("create_fix_pr", {"files": [FILE] * 64}, {"files": [FILE] * 65}),
        ("create_fix_pr", {"files": [FILE]}, {"files": [{"path": "x"}]}),
        ("create_fix_pr", {"files": [FILE]}, {"files": [{"sha256": A}]}),
        ("create_fix_pr", {"files": [FILE]}, {"files": [{**FILE, "mode": 1}]}),
        ("create_fix_pr", {"files": [FILE]}, {"files": [{**FILE, "sha256": "a"}]}),
        ("create_fix_pr", {"files": [{**FILE, "path": "p" * 512}]}, {"files": [{**FILE, "path": "p" * 513}]}),
        ("create_fix_pr", {"files": [FILE]}, {"files": FILE}),
        ("create_fix_pr", {"files": [FILE]}, {"files": ["src/app.py"]}),
        ("promote_canary", {"target_percentage": 0}, {"target_percentage": -1}),
        ("promote_canary", {"target_percentage": 100}, {"target_percentage": 101}),
        ("promote_canary", {"deployment_id": C}, {"deployment_id": "canary-1"}),
        ("promote_canary", {"evidence_hash": C}, {"evidence_hash": "none"}),
        ("abort_canary", {"deployment_id": C}, {"deployment_id": "canary-1"}),
        ("abort_canary", {"to": C}, {"to": "stable"}),
        ("rollback_deployment", {"to": C}, {"to": "stable"}),
        ("rollback_deployment", {"deployment_id": C}, {"deployment_id": "canary-1"}),
        ("toggle_feature_flag", {"state": "on"}, {"state": "maybe"}),
        ("toggle_feature_flag", {"state": "off"}, {"state": "OFF"}),
        ("start_runbook", {"uses": 1}, {"uses": 0}),
        ("start_runbook", {"uses": 100}, {"uses": 101}),
        ("start_runbook", {"uses": 1}, {"uses": "1"}),
        ("start_runbook", {"valid_seconds": 60}, {"valid_seconds": 59}),
        ("start_runbook", {"valid_seconds": 2_592_000}, {"valid_seconds": 2_592_001}),
        ("start_runbook", {"valid_seconds": 60}, {"valid_seconds": "60"}),
        ("start_runbook", {"steps": [RUNBOOK_STEP] * 32}, {"steps": [RUNBOOK_STEP] * 33}),
        ("start_runbook", {"steps": [RUNBOOK_STEP]}, {"steps": []}),
        ("start_runbook", {"steps": [RUNBOOK_STEP]}, {"steps": RUNBOOK_STEP}),
        ("start_runbook", {"steps": [RUNBOOK_STEP]}, {"steps": ["set_canary_weight"]}),
        ("start_runbook", step(tool="a"), step(tool="Set")),
        ("start_runbook", step(tool="a_9" + "x" * 61), step(tool="a" * 65)),
        ("start_runbook", step(tool="a"), step(tool="")),
        ("start_runbook", step(tool="a"), step(tool="9a")),
        ("start_runbook", step(tool="a"), step(tool=5)),
        ("start_runbook", step(parameters={}), {"steps": [{"tool": "a"}]}),
        ("start_runbook", step(parameters={}), {"steps": [{"parameters": {}}]}),
        ("start_runbook", step(parameters={}), step(more=1)),
        ("start_runbook", step(parameters={}), step(parameters=[])),
        (
            "start_runbook",
            step(parameters={f"p{number}": {"equals": 1} for number in range(32)}),
            step(parameters={f"p{number}": {"equals": 1} for number in range(33)}),
        ),
        ("start_runbook", bound({"equals": "x"}), bound("x")),
        ("start_runbook", bound({"equals": {"any": 1}}), bound({"is": "x"})),
        ("start_runbook", bound({"min": 0, "max": 5}), bound({"min": 0, "max": 5, "equals": 1})),
        ("start_runbook", bound({"min": 0.5}), bound({"min": "0"})),
        ("start_runbook", bound({"max": 0.5}), bound({"max": "0"})),
        ("start_runbook", bound({"one_of": []}), bound({"one_of": "ab"})),
    ],
)
def test_a_tool_takes_the_last_value_within_its_bounds_and_none_beyond(tool, last, beyond):
    assert takes(tool, **last)
    assert not takes(tool, **beyond)


CANARY = {"canary": A, "stable": B, "weight": 25}


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        (CANARY, ()),
        ({"canary": B}, ("deployment_is_canary",)),
        ({"canary": ""}, ("canary_exists", "deployment_is_canary")),
        ({}, ("canary_exists", "deployment_is_canary")),
    ],
)
def test_rule_15_a_canary_is_promoted_only_while_it_is_one(shown, left):
    assert unmet(CATALOGUE.find("promote_canary").preconditions, GOOD["promote_canary"], shown) == left
    assert [contract.name for contract in DEVOPS_CONTRACTS if contract.preconditions] == ["promote_canary"]


@pytest.mark.parametrize(
    ("tool", "shown", "left"),
    [
        ("promote_canary", CANARY, ()),
        ("promote_canary", {"weight": 26}, ("weight_not_above",)),
        ("promote_canary", {}, ("weight_not_above",)),
        ("abort_canary", {"canary": ""}, ()),
        ("abort_canary", CANARY, ("no_canary",)),
        ("rollback_deployment", CANARY, ()),
        ("rollback_deployment", {"stable": A}, ("to_is_stable",)),
        ("cancel_workflow", {}, ()),
        ("toggle_feature_flag", {}, ()),
    ],
)
def test_rule_15_what_must_be_true_after(tool, shown, left):
    assert unmet(CATALOGUE.find(tool).postconditions, GOOD[tool], shown) == left
