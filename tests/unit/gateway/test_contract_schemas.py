"""Contracts: closed, bounded, and refused before anything is decided."""

import copy

import pytest

from bywire.gateway.contract import PARAMETERS_BYTES_MAX, Catalogue, Contract, ContractError, Idempotency, parameters
from bywire.gateway.contracts import CONTRACTS
from bywire.model.errors import BywireError

CATALOGUE = Catalogue(CONTRACTS)
DIGEST = "a" * 64
GOOD = {
    "get_deployment_status": {},
    "read_telemetry": {"since_interval": 0},
    "create_fix_branch": {
        "branch": "bywire/fix/1",
        "base": "c" * 40,
        "files": [{"path": "deploy/policy.yaml", "sha256": DIGEST}],
    },
    "start_rollout": {
        "service": "storefront",
        "environment": "production",
        "artifact": DIGEST,
        "last_good": "",
        "steps": [{"weight": 5, "segments": ["ios"]}, {"weight": 100, "segments": []}],
        "ceiling": 100,
        "warm": False,
        "origin": "bywire.yaml",
    },
    "deploy_release": {"artifact": DIGEST},
    "warm_release": {"artifact": DIGEST},
    "set_canary_weight": {"artifact": DIGEST, "weight": 5, "segments": [], "lease_seconds": 30},
    "renew_canary_lease": {"artifact": DIGEST, "lease_seconds": 30},
    "promote_release": {"artifact": DIGEST},
    "rollback_release": {"to": DIGEST},
    "settle_release": {"artifact": DIGEST},
}
BAD_DIGESTS = ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, DIGEST + "\n", "\n" + DIGEST, None, 5, [DIGEST]]


def refused(tool, values):
    with pytest.raises(BywireError) as caught:
        CATALOGUE.check(CATALOGUE.find(tool), values)
    assert caught.value.code in {"contract_violated", "not_canonical"}
    assert caught.value.next_step
    return caught.value


def test_every_contract_is_covered_here():
    assert set(CATALOGUE.names()) == set(GOOD)


@pytest.mark.parametrize("tool", GOOD)
def test_a_call_that_fits_is_taken(tool):
    CATALOGUE.check(CATALOGUE.find(tool), copy.deepcopy(GOOD[tool]))


@pytest.mark.parametrize("tool", GOOD)
def test_a_parameter_that_nobody_declared_is_refused(tool):
    for name in ("extra", "", "$ref", "__proto__", "weight\u200b"):
        refused(tool, {**GOOD[tool], name: 1})


@pytest.mark.parametrize(("tool", "name"), [(tool, name) for tool, values in GOOD.items() for name in values])
def test_a_missing_parameter_is_refused(tool, name):
    refused(tool, {key: value for key, value in GOOD[tool].items() if key != name})


def test_objects_inside_are_closed_too():
    refused("start_rollout", {**GOOD["start_rollout"], "steps": [{"weight": 5, "segments": [], "extra": 1}]})
    refused("create_fix_branch", {**GOOD["create_fix_branch"], "files": [{"path": "x", "sha256": DIGEST, "mode": 1}]})


@pytest.mark.parametrize("digest", BAD_DIGESTS)
def test_digests_are_64_lower_case_hex_digits(digest):
    for tool in ("deploy_release", "warm_release", "promote_release", "settle_release"):
        refused(tool, {"artifact": digest})
    refused("rollback_release", {"to": digest})
    refused("set_canary_weight", {**GOOD["set_canary_weight"], "artifact": digest})
    refused("create_fix_branch", {**GOOD["create_fix_branch"], "files": [{"path": "x", "sha256": digest}]})
    if digest != "":
        refused("start_rollout", {**GOOD["start_rollout"], "last_good": digest})


@pytest.mark.parametrize("weight", [-1, 101, 5.5, "5", None, True, 10**400, float("nan"), float("inf")])
def test_a_weight_is_a_whole_percentage(weight):
    refused("set_canary_weight", {**GOOD["set_canary_weight"], "weight": weight})
    refused("start_rollout", {**GOOD["start_rollout"], "ceiling": weight})
    refused("start_rollout", {**GOOD["start_rollout"], "steps": [{"weight": weight, "segments": []}]})


@pytest.mark.parametrize("lease", [0, -1, 3_601, 0.5, "30", None])
def test_a_lease_has_bounds(lease):
    refused("set_canary_weight", {**GOOD["set_canary_weight"], "lease_seconds": lease})
    refused("renew_canary_lease", {**GOOD["renew_canary_lease"], "lease_seconds": lease})


@pytest.mark.parametrize("segments", [["x" * 65], ["ios"] * 65, "ios", [1], None])
def test_segments_have_bounds(segments):
    refused("set_canary_weight", {**GOOD["set_canary_weight"], "segments": segments})


def test_lists_and_texts_have_bounds():
    refused("start_rollout", {**GOOD["start_rollout"], "steps": [{"weight": 5, "segments": []}] * 33})
    refused("start_rollout", {**GOOD["start_rollout"], "origin": "x" * 513})
    refused("create_fix_branch", {**GOOD["create_fix_branch"], "files": []})
    refused("create_fix_branch", {**GOOD["create_fix_branch"], "files": GOOD["create_fix_branch"]["files"] * 65})
    refused("create_fix_branch", {**GOOD["create_fix_branch"], "base": "HEAD"})
    refused("create_fix_branch", {**GOOD["create_fix_branch"], "base": "c" * 39})


@pytest.mark.parametrize("values", [{"text": "x" * PARAMETERS_BYTES_MAX}, {"text": ["y"] * PARAMETERS_BYTES_MAX}])
def test_size_is_bounded_before_the_schema_is_asked(values):
    loose = Contract("loose", "read", "target", {"type": "object"})
    with pytest.raises(ContractError) as caught:
        Catalogue((loose,)).check(loose, values)
    assert "too large" in caught.value.message


@pytest.mark.parametrize("values", [{"since_interval": 2**60}, {"since_interval": "\ud800"}, {"\udfff": 1}])
def test_what_has_no_canonical_form_is_refused(values):
    refused("read_telemetry", values)


@pytest.mark.parametrize("values", [None, [], "text", 5])
def test_parameters_are_an_object(values):
    refused("get_deployment_status", values)


def test_an_error_does_not_repeat_a_secret():
    secret = "ghp_" + "a1B2" * 9
    for tool, values in (
        ("deploy_release", {"artifact": secret}),
        ("set_canary_weight", {**GOOD["set_canary_weight"], "segments": secret}),
        ("get_deployment_status", {secret: 1}),
    ):
        error = refused(tool, values)
        assert secret not in error.message


def test_a_tool_without_a_contract_does_not_exist():
    assert CATALOGUE.find("rm_rf") is None
    assert CATALOGUE.find("") is None


def test_rule_12_every_write_says_how_an_interrupted_call_is_settled():
    for tool in CATALOGUE.names():
        contract = CATALOGUE.find(tool)
        assert contract.idempotency in Idempotency
        assert contract.deadline_seconds > 0
        if not contract.read:
            assert contract.undo
            assert contract.expected
            # What cannot be fenced must not be re-sent blindly (RULES 13).
            assert contract.fenced or contract.idempotency is not Idempotency.NATIVE


def test_rule_16_only_a_retreat_counts_as_exposure_reducing():
    reducing = [tool for tool in CATALOGUE.names() if CATALOGUE.find(tool).exposure_reducing]
    assert reducing == ["rollback_release"]


def test_a_schema_made_here_is_closed():
    made = parameters({"b": {}, "a": {}}, {"c": {}})
    assert made["additionalProperties"] is False
    assert made["required"] == ["a", "b"]
