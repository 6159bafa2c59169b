"""The contracts of the delivery flow in rows: what each is, the last value it takes, what must hold around it."""

import pytest

from bywire.gateway.condition import unmet
from bywire.gateway.contract import Catalogue, ContractError, Idempotency, Reversibility
from bywire.gateway.contracts import CONTRACTS

CATALOGUE = Catalogue(CONTRACTS)
A, B = "a" * 64, "b" * 64
NATIVE, QUERYABLE = Idempotency.NATIVE, Idempotency.QUERYABLE
REVERSIBLE = Reversibility.REVERSIBLE
WRITE, PRODUCTION, REDUCING = "repo_write", "production_orchestration", "exposure_reducing"
# tool: category, executor, how an interrupted call is settled, what undoing takes, deadline in seconds
KINDS = {
    "get_deployment_status": ("read", "target", NATIVE, REVERSIBLE, 60),
    "read_telemetry": ("read", "target", NATIVE, REVERSIBLE, 60),
    "create_fix_branch": (WRITE, "repository", QUERYABLE, REVERSIBLE, 60),
    "start_rollout": (PRODUCTION, "target", NATIVE, REVERSIBLE, 60),
    "deploy_release": (PRODUCTION, "target", NATIVE, REVERSIBLE, 120),
    "warm_release": (PRODUCTION, "target", NATIVE, REVERSIBLE, 120),
    "set_canary_weight": (PRODUCTION, "target", NATIVE, REVERSIBLE, 60),
    "renew_canary_lease": (PRODUCTION, "target", NATIVE, REVERSIBLE, 60),
    "promote_release": (PRODUCTION, "target", NATIVE, REVERSIBLE, 60),
    "rollback_release": (REDUCING, "target", NATIVE, REVERSIBLE, 60),
    "settle_release": ("environment_write", "target", NATIVE, REVERSIBLE, 60),
}
FILE = {"path": "deploy/policy.yaml", "sha256": A}
STEP = {"weight": 5, "segments": ["ios"]}
GOOD = {
    "get_deployment_status": {},
    "read_telemetry": {"since_interval": 0},
    "create_fix_branch": {"branch": "bywire/fix/1", "base": "c" * 40, "files": [FILE]},
    "start_rollout": {
        "service": "storefront",
        "environment": "production",
        "artifact": A,
        "last_good": B,
        "steps": [STEP],
        "ceiling": 100,
        "warm": False,
        "origin": "bywire.yaml",
    },
    "deploy_release": {"artifact": A},
    "warm_release": {"artifact": A},
    "set_canary_weight": {"artifact": A, "weight": 5, "segments": [], "lease_seconds": 30},
    "renew_canary_lease": {"artifact": A, "lease_seconds": 30},
    "promote_release": {"artifact": A},
    "rollback_release": {"to": A},
    "settle_release": {"artifact": A},
}


def takes(tool, **changes):
    try:
        CATALOGUE.check(CATALOGUE.find(tool), {**GOOD[tool], **changes})
    except ContractError:
        return False
    return True


def test_each_tool_is_what_the_table_says():
    assert set(CATALOGUE.names()) == set(KINDS)
    for tool, expected in KINDS.items():
        contract = CATALOGUE.find(tool)
        kind = (contract.category, contract.executor, contract.idempotency, contract.reversibility)
        assert (*kind, contract.deadline_seconds) == expected, tool


def test_what_sets_a_tool_apart_is_said_of_that_tool_alone():
    def those(test):
        return {contract.name for contract in CONTRACTS if test(contract)}

    assert those(lambda contract: contract.read) == {"get_deployment_status", "read_telemetry"}
    assert those(lambda contract: contract.exposure_reducing) == {"rollback_release"}
    assert those(lambda contract: not contract.fenced) == {"create_fix_branch"}
    assert those(lambda contract: not contract.uses_grant) == {"renew_canary_lease"}
    assert those(lambda contract: contract.untrusted_output or contract.credential or contract.rate_per_hour) == set()
    assert those(lambda contract: contract.key_template) == set()


@pytest.mark.parametrize(
    ("tool", "name", "last", "beyond"),
    [
        ("read_telemetry", "since_interval", 0, -1),
        ("read_telemetry", "since_interval", 9, "9"),
        ("set_canary_weight", "weight", 0, -1),
        ("set_canary_weight", "weight", 100, 101),
        ("set_canary_weight", "lease_seconds", 1, 0),
        ("set_canary_weight", "lease_seconds", 600, 601),
        ("renew_canary_lease", "lease_seconds", 600, 601),
        ("set_canary_weight", "segments", ["s" * 64] * 64, ["s"] * 65),
        ("set_canary_weight", "segments", ["s"], ["s" * 65]),
        ("set_canary_weight", "segments", [""], [1]),
        ("start_rollout", "service", "s" * 512, "s" * 513),
        ("start_rollout", "environment", "s" * 512, 5),
        ("start_rollout", "origin", "s" * 512, "s" * 513),
        ("start_rollout", "last_good", "", "b"),
        ("start_rollout", "ceiling", 100, 101),
        ("start_rollout", "warm", True, "yes"),
        ("start_rollout", "steps", [STEP] * 32, [STEP] * 33),
        ("start_rollout", "steps", [], STEP),
        ("start_rollout", "steps", [{**STEP, "weight": 100}], [{**STEP, "weight": 101}]),
        ("start_rollout", "steps", [{**STEP, "segments": []}], [{**STEP, "segments": "ios"}]),
        ("start_rollout", "steps", [STEP], [{"weight": 5}]),
        ("start_rollout", "steps", [STEP], [{"segments": []}]),
        ("start_rollout", "steps", [STEP], [{**STEP, "more": 1}]),
        ("start_rollout", "steps", [STEP], ["5%"]),
        ("create_fix_branch", "base", "c" * 64, "c" * 65),
        ("create_fix_branch", "base", "c" * 40, "c" * 39),
        ("create_fix_branch", "base", "0" * 40, 5),
        ("create_fix_branch", "branch", "b" * 512, "b" * 513),
        ("create_fix_branch", "files", [FILE], []),
        ("create_fix_branch", "files", [FILE] * 64, [FILE] * 65),
        ("create_fix_branch", "files", [FILE], FILE),
        ("create_fix_branch", "files", [FILE], [f"{A}  deploy/policy.yaml"]),
        ("create_fix_branch", "files", [FILE], [{"path": "x"}]),
        ("create_fix_branch", "files", [FILE], [{"sha256": A}]),
        ("create_fix_branch", "files", [FILE], [{**FILE, "mode": 1}]),
        ("create_fix_branch", "files", [{**FILE, "path": "p" * 512}], [{**FILE, "path": "p" * 513}]),
        ("create_fix_branch", "files", [FILE], [{**FILE, "sha256": "a"}]),
    ],
)
def test_a_tool_takes_the_last_value_within_its_bounds_and_none_beyond(tool, name, last, beyond):
    assert takes(tool, **{name: last})
    assert not takes(tool, **{name: beyond})


@pytest.mark.parametrize(("tool", "name"), [(tool, name) for tool, values in GOOD.items() for name in values])
def test_every_parameter_has_a_shape(tool, name):
    assert takes(tool)
    for value in (None, {"a": 1}, 1.5):
        assert not takes(tool, **{name: value})


CANARY, STABLE = {"canary": A, "stable": B, "weight": 5}, {"canary": "", "stable": A, "weight": 0}
NEEDS_CANARY = {"warm_release", "set_canary_weight", "renew_canary_lease", "promote_release"}


@pytest.mark.parametrize("tool", GOOD)
def test_rule_15_what_must_be_true_before(tool):
    before = CATALOGUE.find(tool).preconditions
    assert unmet(before, GOOD[tool], CANARY) == ()
    assert unmet(before, GOOD[tool], STABLE) == (("artifact_is_canary",) if tool in NEEDS_CANARY else ())


@pytest.mark.parametrize(
    ("tool", "shown", "left"),
    [
        ("set_canary_weight", CANARY, ()),
        ("set_canary_weight", {**CANARY, "weight": 4}, ()),
        ("set_canary_weight", {**CANARY, "weight": 6}, ("weight_not_above",)),
        ("set_canary_weight", {**CANARY, "canary": B}, ("artifact_is_canary",)),
        ("set_canary_weight", {}, ("artifact_is_canary", "weight_not_above")),
        ("promote_release", STABLE, ()),
        ("promote_release", CANARY, ("artifact_is_stable",)),
        ("rollback_release", STABLE, ()),
        ("rollback_release", {**STABLE, "canary": B}, ("no_canary",)),
        ("rollback_release", CANARY, ("to_is_stable", "no_canary")),
    ],
)
def test_rule_15_what_must_be_true_after(tool, shown, left):
    assert unmet(CATALOGUE.find(tool).postconditions, GOOD[tool], shown) == left


def test_the_other_tools_promise_nothing_that_the_target_shows():
    promising = {contract.name for contract in CONTRACTS if contract.postconditions}
    assert promising == {"set_canary_weight", "promote_release", "rollback_release"}
