"""The list of tools and the policy agree: what is not listed is denied whatever is asked, and nothing else is left out.

The list is made in Python from the same tables; here the policy itself is asked, for every tool, place and pattern.
"""

import pytest
from knowledge import ACTION, asking, bundle, fixture, merged

from bywire.gateway.contract import Contract
from bywire.identity.registration import Pattern, Registration
from bywire.model.connected import Place
from bywire.policy.engine import PolicyEngine
from bywire.wiring.catalogue import BUILT_IN_CONTRACTS
from bywire.wiring.listing import Lister

ENGINE = PolicyEngine(bundle())
ENVIRONMENTS = ("non-production", "staging", "production")
# What no parameter, grant, retreat or approval changes.
OUTRIGHT = {
    "action.environment_unknown",
    "action.forbidden",
    "action.secret_mutation",
    "action.tests_disabled",
    "action.unknown_tool",
    "contract.unreviewed",
    "principal.pattern_forbids",
}


def connected(category, *, reviewed=True):
    return Contract(
        f"up.{category}",
        category,
        "upstream:up",
        {},
        upstream="up",
        reviewed=reviewed,
        read=category == "read",
        exposure_reducing=category == "exposure_reducing",
    )


CONNECTED = [
    connected(category, reviewed=reviewed) for category in bundle().tables["connected"] for reviewed in (True, False)
]
UNLISTED = Contract("reboot_everything", "environment_write", "target", {})


def questions(contract, environment, pattern):
    """What an agent of this pattern could ask, with whatever could speak for it."""
    about = {"reviewed": contract.reviewed, "upstream": "up", "definition": "current", "risk": "low"}
    action = {"environment": environment, **({"connected": about, "findings": []} if contract.upstream else {})}
    registration = {"tools": [contract.name], "environments": [environment], "pattern": str(pattern)}
    plain = asking(
        contract.name,
        contract.category,
        {"to": fixture("retreat")["last_good"]},
        action=action,
        principal={"registration": registration},
    )
    yield plain
    yield merged(plain, {"grant": fixture("runbook_grant")})
    yield merged(plain, {"retreat": fixture("retreat")})


def denied_outright(contract, environment, pattern):
    told = (ENGINE.decide(ACTION, question).reasons for question in questions(contract, environment, pattern))
    return all(any(reason.rule in OUTRIGHT for reason in reasons) for reasons in told)


def listed(contract, environment, pattern):
    if contract.upstream:
        place = Place("storefront", environment)
        contract = Contract(
            **{name: getattr(contract, name) for name in contract.__struct_fields__ if name != "place"}, place=place
        )
    registration = Registration(
        principal="agent:release-controller",
        owner="person:dana",
        pattern=pattern,
        tools=(contract.name,),
        environments=(environment,),
    )
    return bool(Lister("storefront", environment).shown([contract], registration, bundle()))


@pytest.mark.parametrize("pattern", list(Pattern))
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_is_listed_is_what_the_policy_does_not_deny_outright(environment, pattern):
    wrong = [
        (contract.name, contract.reviewed)
        for contract in (*BUILT_IN_CONTRACTS, *CONNECTED, UNLISTED)
        if listed(contract, environment, pattern) is denied_outright(contract, environment, pattern)
    ]
    assert wrong == []
